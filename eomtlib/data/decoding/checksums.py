"""CRC-32 of files, which tells what they hold wherever they lie; each file is read for it once."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from eomtlib.core.console import progress
from eomtlib.core.files.atomic_files import write_atomically
from eomtlib.core.files.cache_folder import default_cache

_READERS = 8
_SETTLED_NS = 2 * 10**9
"""What was written later than that before it was read may yet be written again within one tick of
its file system's clock."""


def checksums(
    place: Path, names: Sequence[str], states: np.ndarray, read: Callable[[str], bytes]
) -> np.ndarray:
    """The CRC-32 of some files of one place.

    They are remembered in the user's cache, so that a file is read again only where its size or its
    time has changed.

    Args:
        place: a folder or an archive.
        names: ``N``, of files in it.
        states: ``[N, 2]`` int64, the size of each in bytes and when it was written in nanoseconds.
        read: the content of a file by its name.

    Returns:
        ``[N]`` int64.
    """
    memory = default_cache() / "checksums" / f"{_key(place)}.npz"
    known = _remembered(memory)
    found = np.array(
        [
            known[name][2] if known.get(name, ())[:2] == tuple(state) else -1
            for name, state in zip(names, states.tolist(), strict=True)
        ],
        np.int64,
    )
    missing = np.flatnonzero(found < 0)
    if not len(missing):
        return found
    with ThreadPoolExecutor(_READERS) as threads:
        values = threads.map(lambda index: zlib.crc32(read(names[index])), missing.tolist())
        bar = progress(values, f"reading {place.name} once", total=len(missing), delay=3)
        found[missing] = np.fromiter(bar, np.int64, len(missing))
    settled = states[:, 1] < time.time_ns() - _SETTLED_NS
    encoded = np.array([name.encode(errors="surrogateescape") for name in names], np.bytes_)
    content = {"names": encoded[settled], "states": states[settled], "values": found[settled]}
    with suppress(OSError):  # a cache that cannot be written is none
        write_atomically(memory, lambda file: np.savez(file, **content))
    return found


def _key(place: Path) -> str:
    return hashlib.sha256(str(place.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]


def _remembered(memory: Path) -> dict[str, tuple[int, int, int]]:
    """Name → size, time and CRC-32."""
    try:
        with np.load(memory) as kept:
            names, states, values = (kept[part].tolist() for part in ("names", "states", "values"))
        texts = [name.decode(errors="surrogateescape") for name in names]
        parts = zip(texts, states, values, strict=True)
        return {name: (*state, value) for name, state, value in parts}
    except Exception:  # none yet, or damaged in one of many ways: it is made again
        return {}
