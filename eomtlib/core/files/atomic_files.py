"""Writing files, and folders of them, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
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
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:
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
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to fill under a temporary name beside ``path``; then it is synced and renamed.

    Args:
        path: the final name; its parents are made if need be.
        replace: whether an older folder of that name gives way.

    Yields:
        The temporary folder. If the body raises, nothing is left behind.

    Raises:
        ConfigurationError: when there is something of that name, and it is not to be replaced.
        OSError: when something of that name came meanwhile, or nothing can be written there.
    """
    if path.exists() and not replace:
        raise ConfigurationError(f"{path} exists already; choose another folder, or remove it.")
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        for inside in (*temporary.rglob("*"), temporary):
            _sync(inside)
        if replace and path.exists():
            # Moved aside first, so that there is a whole folder at every moment.
            aside = path.with_name(f".{path.name}.old")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
            temporary.rename(path)
            shutil.rmtree(aside)
        else:
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


def _temporary(path: Path) -> Path:
    """A name beside ``path`` that nobody else has; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
