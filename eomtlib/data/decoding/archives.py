"""Files in a folder or in an archive, read the same way; an archive is never unpacked.

A zip inside a zip (COCO's panoptic PNGs come so) is read in place where it is merely stored, and
inflated once into a temporary file where it is deflated. Every store can be pickled and forked, and
read by many processes and threads: none holds a file open.
"""

from __future__ import annotations

import os
import shutil
import struct
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.archive_entries import (
    DEFLATED,
    NO_CHECKSUM,
    UNUSABLE,
    Entry,
    tar_entries,
    zip_entries,
)
from eomtlib.data.decoding.checksums import checksums
from eomtlib.data.decoding.names import check_name, files_below, is_hidden

MAX_FILE_BYTES = 4 << 30
"""More than any file of a data set that is read into memory whole; stops zip bombs."""

_LOCAL_HEADER_BYTES = 30
_STATS_AT_ONCE = 16


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

    def lengths(self, names: Sequence[str]) -> np.ndarray:
        """``[N]`` int64, bytes of each file; errors as of ``read``."""

    def checksums(self, names: Sequence[str]) -> np.ndarray:
        """``[N]`` int64, the CRC-32 of each file; errors as of ``read``."""

    def where(self, name: str) -> str:
        """How an error message names the file."""

    def __contains__(self, name: str) -> bool: ...


class FolderStore:
    """The files below a folder.

    Args:
        path: the folder. In it may be symbolic links: whoever put them there could have put there
            what they lead to.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def names(self) -> list[str]:
        """As in ``Store``."""
        return files_below(self.path)

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

    def lengths(self, names: Sequence[str]) -> np.ndarray:
        """As in ``Store``."""
        return self._states(names)[:, 0]

    def checksums(self, names: Sequence[str]) -> np.ndarray:
        """As in ``Store``."""
        return checksums(self.path, names, self._states(names), self.read)

    def _states(self, names: Sequence[str]) -> np.ndarray:
        """``[N, 2]``: bytes of each file, and when it was written."""
        # Over a network each one waits for its answer.
        parts = [names[start::_STATS_AT_ONCE] for start in range(_STATS_AT_ONCE)]
        found = np.empty((len(names), 2), np.int64)
        with ThreadPoolExecutor(_STATS_AT_ONCE) as threads:
            answers = threads.map(lambda part: [self._state(name) for name in part], parts)
            for start, states in enumerate(answers):
                found[start::_STATS_AT_ONCE] = np.array(states, np.int64).reshape(-1, 2)
        return found

    def _state(self, name: str) -> tuple[int, int]:
        path = os.path.join(self.path, check_name(name, self.path))
        try:
            state = os.stat(path)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); fetch the file again."
            ) from error
        return state.st_size, state.st_mtime_ns

    def __contains__(self, name: str) -> bool:
        return (self.path / check_name(name, self.path)).is_file()

    def where(self, name: str) -> str:
        """As in ``Store``."""
        return str(self.path / name)


class ArchiveStore:
    """The files of a zip archive, or of an uncompressed tar archive, below a folder of it.

    Args:
        path: the archive; one that ends in ``.tar`` is a tar archive, whose links and devices are
            passed over.
        folder: only names below it count, and are given without it; empty for all.
        label: how errors name the archive; its path by default.
        end: where a zip archive ends that lies in this file; by default where the file ends.

    Raises:
        DataError: when the file is no such archive.
    """

    def __init__(
        self, path: os.PathLike, folder: str = "", *, label: str = "", end: int = 0
    ) -> None:
        self._path, self._label = path, label or str(path)
        self._prefix = f"{folder.strip('/')}/" if folder else ""
        self._is_tar = os.fspath(path).endswith(".tar")
        try:
            listed = tar_entries(path) if self._is_tar else zip_entries(path, end)
        except (
            *(zipfile.BadZipFile, tarfile.TarError, struct.error),
            *(ValueError, OverflowError, OSError, NotImplementedError),
        ) as error:
            kind = "uncompressed tar" if self._is_tar else "zip"
            raise DataError(
                f"{self._label}: is no complete {kind} archive ({error}); fetch it again."
            ) from error
        self._entries = {
            name.removeprefix(self._prefix).encode(errors="replace").decode(): entry
            for name, entry in sorted(listed.items())
            if name.startswith(self._prefix) and not is_hidden(name)
        }
        for name, entry in self._entries.items():
            if entry.method == UNUSABLE:
                raise DataError(
                    f"{self.where(name)}: is encrypted or packed in a way other than 'deflate'; "
                    "pack the archive again."
                )

    def nested(self, name: str, folder: str = "") -> ArchiveStore:
        """The zip archive that lies in this one under ``name``."""
        entry = self._entry(name)
        if entry.method == DEFLATED:
            return ArchiveStore(_Inflated(self, name), folder, label=self.where(name))
        with self._opened(name) as file:
            end = file.tell() + entry.size
        return ArchiveStore(self._path, folder, label=self.where(name), end=end)

    def names(self) -> list[str]:
        """As in ``Store``."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str) -> bytes:
        """As in ``Store``."""
        entry = self._entry(name)
        if entry.size > MAX_FILE_BYTES:
            raise DataError(f"{self.where(name)}: is larger than {MAX_FILE_BYTES} bytes.")
        # A byte more, to see that there is none.
        data = self.head(name, entry.size + 1)
        if len(data) != entry.size or entry.checksum not in (NO_CHECKSUM, zlib.crc32(data)):
            raise self._damaged(name, f"{len(data)} of {entry.size} bytes, or a wrong checksum")
        return data

    def head(self, name: str, count: int) -> bytes:
        """As in ``Store``."""
        entry = self._entry(name)
        with self._opened(name) as file:
            # A little more than is asked for, since it may have grown when it was packed.
            data = file.read(min(entry.packed, count + 4096))
        if entry.method == DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, count)
            except zlib.error as error:
                raise self._damaged(name, error) from error
        return data[:count]

    def lengths(self, names: Sequence[str]) -> np.ndarray:
        """As in ``Store``."""
        return np.array([self._entry(name).size for name in names], np.int64)

    def checksums(self, names: Sequence[str]) -> np.ndarray:
        """As in ``Store``; the archive's own, which ``read`` holds files to."""
        if not self._is_tar:
            return np.array([self._entry(name).checksum for name in names], np.int64)
        written = np.full(len(names), Path(self._path).stat().st_mtime_ns)
        states = np.stack([self.lengths(names), written], axis=1)
        return checksums(Path(self._path) / self._prefix, names, states, self.read)

    def where(self, name: str) -> str:
        """As in ``Store``."""
        return f"{self._label}/{self._prefix}{name}"

    def copy(self, name: str, target: BinaryIO) -> None:
        """Writes a file of a zip archive, one that lies in no other, however large it is."""
        try:
            with (
                zipfile.ZipFile(self._path) as archive,
                archive.open(self._prefix + name) as source,
            ):
                shutil.copyfileobj(source, target)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._damaged(name, error) from error

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(check_name(name, self._label))
        if entry is None:
            raise DataError(f"{self.where(name)}: the archive has no such file; fetch it again.")
        return entry

    def _opened(self, name: str) -> BinaryIO:
        """The archive's file, at the start of the content."""
        try:
            file = open(self._path, "rb")  # noqa: SIM115
        except OSError as error:
            raise self._damaged(name, error.strerror) from error
        try:
            file.seek(self._entry(name).offset)
            if not self._is_tar:
                header = file.read(_LOCAL_HEADER_BYTES)
                if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
                    raise OSError("no entry where it should be")
                file.seek(sum(struct.unpack("<HH", header[26:])), os.SEEK_CUR)
            return file
        except OSError as error:
            file.close()
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, why: object) -> DataError:
        return DataError(f"{self.where(name)}: damaged in its archive ({why}); fetch it again.")


class _Inflated(os.PathLike):
    """A deflated member as a temporary file, removed by the process that made it."""

    def __init__(self, archive: ArchiveStore, name: str) -> None:
        self._archive, self._name = archive, name
        self._path = self._inflate()

    def __fspath__(self) -> str:
        return self._path

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        # The maker's file serves every process of its machine; elsewhere there is none.
        if not os.path.exists(self._path):
            self._path = self._inflate()

    def _inflate(self) -> str:
        try:
            handle, path = tempfile.mkstemp(prefix="eomtlib-", suffix=".zip")
            weakref.finalize(self, _remove, path, os.getpid())
            with os.fdopen(handle, "wb") as file:
                self._archive.copy(self._name, file)
        except OSError as error:
            raise DataError(
                f"{self._archive.where(self._name)}: no room for it in {tempfile.gettempdir()} "
                f"({error.strerror}); set TMPDIR to a folder with room, or unpack the archive."
            ) from error
        return path


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:
        Path(path).unlink(missing_ok=True)
