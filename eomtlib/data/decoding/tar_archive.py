"""Files in an uncompressed tar archive, read in place."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.archives import MAX_FILE_BYTES, MAX_NAME_BYTES, FileWindow, check_name


class TarStore:
    """The files of a tar archive below a folder of it; methods as of ``archives.Store``.

    Args:
        path: the archive. Links and devices in it are passed over.
        folder: only names below it count, and are given without it; empty for all.

    Raises:
        DataError: when the file is no uncompressed tar archive.
    """

    def __init__(self, path: Path, folder: str = "") -> None:
        self.path = Path(path)
        self._prefix = f"{folder.strip('/')}/" if folder else ""
        found: dict[bytes, tuple[int, int]] = {}
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isreg() and name.startswith(self._prefix):
                        place = (member.offset_data, member.size)
                        found[name[len(self._prefix) :].encode(errors="replace")] = place
                end = archive.offset
            # Of a file that ends within a header, tarfile takes it to be the end.
            if FileWindow(path).read(end, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise ValueError("it ends early")
        except (tarfile.TarError, OSError, ValueError) as error:
            raise DataError(
                f"{path}: is no complete, uncompressed tar archive ({error}); fetch it again."
            ) from error
        kept = sorted(name for name in found if len(name) <= MAX_NAME_BYTES)
        self._names = np.array(kept, np.bytes_)
        self._places = np.array([found[name] for name in kept], np.int64).reshape(-1, 2)
        self._window = FileWindow(self.path)

    def names(self) -> list[str]:
        """As in ``Store``."""
        return [name.decode() for name in self._names.tolist()]

    def read(self, name: str) -> bytes:
        """As in ``Store``."""
        return self.head(name, MAX_FILE_BYTES)

    def head(self, name: str, count: int) -> bytes:
        """As in ``Store``."""
        entry = self._find(check_name(name, self.path))
        if entry is None:
            raise DataError(f"{self.where(name)}: the archive has no such file; fetch it again.")
        offset, size = self._places[entry].tolist()
        data = self._window.read(offset, min(size, count))
        if len(data) < min(size, count):
            raise DataError(f"{self.where(name)}: damaged in its archive; fetch it again.")
        return data

    def where(self, name: str) -> str:
        """As in ``Store``."""
        return f"{self.path}/{self._prefix}{name}"

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def _find(self, name: str) -> int | None:
        position = int(np.searchsorted(self._names, name.encode()))
        there = position < len(self._names) and self._names[position] == name.encode()
        return position if there else None
