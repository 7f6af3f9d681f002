"""Files in a folder or in a zip archive, read the same way; an archive is never unpacked.

A zip inside a zip (COCO's panoptic PNGs come so) is read in place where it is merely stored, and
inflated once into a temporary file where it is deflated. Every store can be pickled and forked: a
process opens its own handle when it first reads.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from eomtlib.core.errors import DataError

MAX_NAME_BYTES = 255
MAX_FILE_BYTES = 4 << 30
"""More than any file of a data set that is read into memory whole; stops zip bombs."""

_LOCAL_HEADER_BYTES = 30
_BAD_ARCHIVE = (zipfile.BadZipFile, ValueError, OverflowError, struct.error)


class Store(Protocol):
    """A flat or nested set of named files."""

    def names(self) -> list[str]:
        """All names, sorted, with ``/`` between folders."""

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            DataError: when there is no such file, it is damaged, or the name leaves the store.
        """

    def head(self, name: str, count: int) -> bytes:
        """The first ``count`` bytes of a file, fewer where it is shorter; errors as of ``read``."""

    def where(self, name: str) -> str:
        """How an error message names the file."""

    def __contains__(self, name: str) -> bool: ...


def check_name(name: str, where: object) -> str:
    """Returns ``name`` if it is a plain relative path that stays below its store.

    Raises:
        DataError: naming the file that holds the name.
    """
    parts = name.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or any(character in name for character in "\\:\0")
        or any("\ud800" <= character <= "\udfff" for character in name)
        or len(name.encode(errors="replace")) > MAX_NAME_BYTES
    ):
        raise DataError(
            f"{where}: {name[:80]!r} is no file name below the data set's folder; use a plain "
            "relative name such as '000000000139.png'."
        )
    return name


class FolderStore:
    """The files below a folder.

    Args:
        path: the folder. Files in it may be symbolic links: whoever put them there could have put
            the file there.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def names(self) -> list[str]:
        """As in ``Store``."""
        found = []
        for folder, _, files in os.walk(self.path):
            below = os.path.relpath(folder, self.path)
            prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
            found.extend(prefix + file for file in files)
        return sorted(found)

    def read(self, name: str) -> bytes:
        """As in ``Store``."""
        return self._read(name, -1)

    def head(self, name: str, count: int) -> bytes:
        """As in ``Store``."""
        return self._read(name, count)

    def _read(self, name: str, count: int) -> bytes:
        path = self.path / check_name(name, self.path)
        try:
            with path.open("rb") as file:
                return file.read(count)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); fetch the file again."
            ) from error

    def __contains__(self, name: str) -> bool:
        return (self.path / check_name(name, self.path)).is_file()

    def where(self, name: str) -> str:
        """As in ``Store``."""
        return str(self.path / name)


@dataclass(frozen=True)
class _Entries:
    """The files of an archive as arrays, which workers share instead of copying objects."""

    names: np.ndarray
    """Sorted, bytes."""
    offsets: np.ndarray
    compressed: np.ndarray
    sizes: np.ndarray
    deflated: np.ndarray
    crcs: np.ndarray

    def find(self, name: str) -> int | None:
        key = name.encode()
        position = int(np.searchsorted(self.names, key))
        found = position < len(self.names) and self.names[position] == key
        return position if found else None


class FileWindow:
    """A range of a file, by default the whole of it, read through one handle per thread."""

    def __init__(self, path: Path, start: int = 0, length: int | None = None) -> None:
        self.path, self.start = Path(path), start
        self.length = os.path.getsize(path) if length is None else length
        self._local = threading.local()

    def __getstate__(self) -> dict:
        return {"path": self.path, "start": self.start, "length": self.length}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _local=threading.local())

    def read(self, offset: int, count: int) -> bytes:
        handle = self._handle()
        handle.seek(self.start + offset)
        return handle.read(max(0, min(count, self.length - offset)))

    def _handle(self) -> BinaryIO:
        # A forked child shares the file position of its parent's handle, so it may not use it.
        held = self._local.__dict__.get("handle")
        if held is None or held[0] != os.getpid():
            held = self._local.handle = (os.getpid(), open(self.path, "rb", buffering=0))  # noqa: SIM115
        return held[1]


class _WindowFile:
    """A window as the seekable file that ``zipfile`` wants for its table of contents."""

    def __init__(self, window: FileWindow) -> None:
        self._window, self._position = window, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._window.length}
        position = base[whence] + offset
        if position < 0:
            raise OSError("negative position")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._window.length - self._position)
        data = self._window.read(self._position, left if count < 0 else min(count, left))
        self._position += len(data)
        return data


class _Inflated:
    """A deflated member as a temporary file, removed by the process that made it."""

    def __init__(self, archive: ZipStore, name: str) -> None:
        self._archive, self._name = archive, name
        self.window = self._inflate()

    def __getstate__(self) -> dict:
        return {"_archive": self._archive, "_name": self._name, "window": self.window}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        # The maker's file serves every process of its machine; elsewhere there is none.
        if not self.window.path.exists():
            self.window.path = self._inflate().path

    def _inflate(self) -> FileWindow:
        try:
            handle, path = tempfile.mkstemp(prefix="eomtlib-", suffix=".zip")
            weakref.finalize(self, _remove, path, os.getpid())
            with os.fdopen(handle, "wb") as file:
                for chunk in self._archive.chunks(self._name):
                    file.write(chunk)
        except OSError as error:
            raise DataError(
                f"{self._archive.where(self._name)}: no room for it in {tempfile.gettempdir()} "
                f"({error.strerror}); set TMPDIR to a folder with room, or unpack the archive."
            ) from error
        return FileWindow(Path(path))


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:
        Path(path).unlink(missing_ok=True)


class ZipStore:
    """The files of a zip archive below a folder of it.

    Args:
        path: the archive.
        folder: only names below it count, and are given without it; empty for all.

    Raises:
        DataError: when the file is no zip archive.
    """

    def __init__(self, path: Path, folder: str = "") -> None:
        self.path = Path(path)
        self._label = str(path)
        self._prefix = f"{folder.strip('/')}/" if folder else ""
        self._inflated: _Inflated | None = None
        try:
            self._window = FileWindow(self.path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
        self._entries = _read_entries(self._window, self._prefix, self._label)

    def nested(self, name: str, folder: str = "") -> ZipStore:
        """The archive that lies in this one under ``name``."""
        entry = self._entry(name)
        inner = ZipStore.__new__(ZipStore)
        inner.path = self.path
        inner._label = self.where(name)
        inner._prefix = f"{folder.strip('/')}/" if folder else ""
        if self._entries.deflated[entry]:
            inner._inflated = _Inflated(self, name)
            inner._window = inner._inflated.window
        else:
            start = self._data_offset(entry) + self._window.start
            inner._inflated = None
            inner._window = FileWindow(self._window.path, start, int(self._entries.sizes[entry]))
        inner._entries = _read_entries(inner._window, inner._prefix, inner._label)
        return inner

    def names(self) -> list[str]:
        """As in ``Store``."""
        return [name.decode() for name in self._entries.names.tolist()]

    def __contains__(self, name: str) -> bool:
        return self._entries.find(name) is not None

    def read(self, name: str) -> bytes:
        """As in ``Store``."""
        entry = self._entry(name)
        if self._entries.sizes[entry] > MAX_FILE_BYTES:
            raise DataError(f"{self.where(name)}: is larger than {MAX_FILE_BYTES} bytes.")
        return b"".join(self.chunks(name))

    def head(self, name: str, count: int) -> bytes:
        """As in ``Store``."""
        # A little more than is asked for, since it may have grown when it was packed.
        return next(iter(self.chunks(name, count + 4096)), b"")[:count]

    def chunks(self, name: str, size: int = 1 << 24) -> Iterable[bytes]:
        """The content of one file in pieces, checked against the archive's size and checksum."""
        entry = self._entry(name)
        offset, expected = self._data_offset(entry), int(self._entries.sizes[entry])
        end = offset + int(self._entries.compressed[entry])
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if self._entries.deflated[entry] else None
        crc = length = 0
        tail = b""
        while length < expected:
            chunk = tail or self._window.read(offset, min(size, end - offset))
            offset += 0 if tail else len(chunk)
            if inflate is not None:
                try:
                    chunk = inflate.decompress(chunk, min(size, expected - length))
                except zlib.error as error:
                    raise self._damaged(name, error) from error
                tail = inflate.unconsumed_tail
            if not chunk:
                break
            crc, length = zlib.crc32(chunk, crc), length + len(chunk)
            yield chunk
        if length != expected or crc != self._entries.crcs[entry]:
            raise self._damaged(name, f"{length} of {expected} bytes, or a wrong checksum")

    def where(self, name: str) -> str:
        """As in ``Store``."""
        return f"{self._label}/{self._prefix}{name}"

    def _entry(self, name: str) -> int:
        entry = self._entries.find(check_name(name, self._label))
        if entry is None:
            raise DataError(f"{self.where(name)}: the archive has no such file; fetch it again.")
        return entry

    def _data_offset(self, entry: int) -> int:
        offset = int(self._entries.offsets[entry])
        header = self._window.read(offset, _LOCAL_HEADER_BYTES)
        if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
            raise self._damaged(self._entries.names[entry].decode(), "no entry where it should be")
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return offset + _LOCAL_HEADER_BYTES + lengths

    def _damaged(self, name: str, why: object) -> DataError:
        return DataError(f"{self.where(name)}: damaged in its archive ({why}); fetch it again.")


def _read_entries(window: FileWindow, prefix: str, label: str) -> _Entries:
    try:
        with zipfile.ZipFile(_WindowFile(window)) as archive:
            infos = archive.infolist()
    except (*_BAD_ARCHIVE, OSError, NotImplementedError) as error:
        raise DataError(
            f"{label}: is no complete zip archive ({error}); fetch it again."
        ) from error
    kept = {}
    for info in infos:
        name = info.filename
        usable = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if name.startswith(prefix) and not name.endswith("/") and len(name) <= MAX_NAME_BYTES:
            if not usable or info.flag_bits & 1:
                raise DataError(
                    f"{label}/{name}: is encrypted or packed in a way other than 'deflate'; "
                    "pack the archive again."
                )
            kept[name[len(prefix) :].encode(errors="replace")] = info
    names = sorted(kept)
    ordered = [kept[name] for name in names]
    # Bytes, not str: numpy takes four bytes for each character of a str.
    return _Entries(
        names=np.array(names, dtype=np.bytes_),
        offsets=np.array([info.header_offset for info in ordered], dtype=np.int64),
        compressed=np.array([info.compress_size for info in ordered], dtype=np.int64),
        sizes=np.array([info.file_size for info in ordered], dtype=np.int64),
        deflated=np.array([info.compress_type != zipfile.ZIP_STORED for info in ordered]),
        crcs=np.array([info.CRC for info in ordered], dtype=np.uint32),
    )
