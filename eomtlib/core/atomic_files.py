"""Writing files, and folders of them, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from eomtlib.core.errors import ConfigurationError


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes to a temporary file beside ``path``, syncs it, and renames it into place.

    Args:
        path: the final name; its folder is made if need be.
        write: is given the open file. If it raises, nothing is left behind and an older file of
            that name stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        # Temporary files are private; a result is readable as any other file would be.
        os.fchmod(descriptor, 0o666 & ~_umask())
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The rename itself is durable once the folder is synced.
    _sync(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill under a temporary name beside ``path``; then it is synced and renamed.

    Args:
        path: the final name; its parents are made if need be.

    Yields:
        The temporary folder. If the body raises, nothing is left behind.

    Raises:
        ConfigurationError: when there is something of that name.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists already; choose another folder, or remove it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        for inside in (*temporary.rglob("*"), temporary):
            _sync(inside)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(path.parent)


def write_file(path: Path, content: bytes | str) -> None:
    """``write_atomically`` of what is in memory; texts in UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    write_atomically(path, lambda file: file.write(data))


def config_hash(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that depend on the values and not on the order of the keys.

    Raises:
        ConfigurationError: when a value has no JSON form.
    """
    try:
        text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"The configuration has no JSON form: {error}.") from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
