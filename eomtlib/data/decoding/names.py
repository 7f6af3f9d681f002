"""Names of files: which there are below a folder, and what an annotation may call them."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from eomtlib.core.errors import ConfigurationError, DataError

MAX_NAME_BYTES = 255
"""Of a file or folder, which no file system exceeds."""


def files_below(folder: Path) -> list[str]:
    """Names of all files below a folder, sorted, with ``/`` between folders.

    Links are followed, but into no folder twice on one way down. Hidden files and folders are
    passed over, and names that are no text.
    """
    found: list[str] = []
    ways: dict[str, frozenset[tuple[int, int]]] = {}
    for place, folders, files in os.walk(folder, followlinks=True):
        state = os.stat(place)
        above = ways.get(os.path.dirname(place), frozenset())
        if (state.st_dev, state.st_ino) in above:  # a link to a folder that it lies in
            folders.clear()
            continue
        ways[place] = above | {(state.st_dev, state.st_ino)}
        folders[:] = [name for name in folders if name[0] != "."]
        below = os.path.relpath(place, folder)
        prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
        found += [prefix + name for name in files if name[0] != "." and _is_text(prefix + name)]
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Whether a file or a folder above it is, such as ``__MACOSX/._a.png``."""
    return any(part[0] == "." for part in name.split("/") if part)


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def plain_name(name: str, where: object) -> str:
    """A name as an annotation file gives it → as stores do: without ``./``, and with ``/``.

    Raises:
        DataError: when it is no relative name below its store; names the annotation file.
    """
    return check_name(posixpath.normpath(name.replace("\\", "/")), where)


def check_name(name: str, where: object) -> str:
    """Returns ``name`` if it is a plain relative path that stays below its store.

    Raises:
        DataError: naming the file that holds the name.
    """
    parts = name.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or any(character in name for character in ("\\:\0" if os.name == "nt" else "\\\0"))
        or not _is_text(name)
        or max(len(part.encode()) for part in parts) > MAX_NAME_BYTES
    ):
        raise DataError(
            f"{where}: {name[:80]!r} is no file name below the data set's folder; use a plain "
            "relative name such as '000000000139.png'."
        )
    return name


def split_paths(parameter: str, text: str) -> list[str]:
    """The paths of ``IMAGES:ANNOTATIONS``, or of three; separated as those of ``PATH`` are.

    Raises:
        ConfigurationError: naming the parameter, for any other number of them.
    """
    parts = [part.strip() for part in text.split(os.pathsep)]
    if len(parts) not in (2, 3) or not all(parts):
        raise ConfigurationError(
            f"{parameter}={text!r} names no images and annotations; write "
            f"IMAGES{os.pathsep}ANNOTATIONS, a folder and a JSON file or folder of PNGs."
        )
    return parts


def as_spelled(wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    """Names as a store spells them, which may compose letters with their marks otherwise.

    macOS takes them apart where JSON does not. A name that is not there stays as it is.
    """
    there = set(there)
    composed = {unicodedata.normalize("NFC", name): name for name in there if not name.isascii()}
    return [
        name if name in there else composed.get(unicodedata.normalize("NFC", name), name)
        for name in wanted
    ]
