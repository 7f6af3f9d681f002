"""What lies where in a zip archive or an uncompressed tar archive."""

from __future__ import annotations

import mmap
import os
import tarfile
import zipfile
from typing import NamedTuple

STORED, DEFLATED, UNUSABLE = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, -1
"""How an entry is packed; the last where it is encrypted, or packed otherwise."""
NO_CHECKSUM = -1
"""In the place of a tar archive's, which has none."""


class Entry(NamedTuple):
    """Where and how a file lies in an archive."""

    offset: int
    """Of the entry's header in a zip archive, of the content in a tar archive."""
    packed: int
    size: int
    method: int
    checksum: int


def zip_entries(path: os.PathLike, end: int) -> dict[str, Entry]:
    """Name → entry, of the zip archive that ends at byte ``end`` of a file; 0 for its end."""
    # zipfile finds an archive by its end, whatever lies in front of it; so of a file that holds
    # others it is shown what comes before that end.
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as part,
        zipfile.ZipFile(part) as archive,
    ):
        infos = archive.infolist()
    return {
        info.filename: Entry(
            info.header_offset,
            info.compress_size,
            info.file_size,
            info.compress_type
            if info.compress_type in (STORED, DEFLATED) and not info.flag_bits & 1
            else UNUSABLE,
            info.CRC,
        )
        for info in infos
        if not info.is_dir()
    }


def tar_entries(path: os.PathLike) -> dict[str, Entry]:
    """Name → entry, of the regular files in an uncompressed tar archive."""
    with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        found = {
            member.name.removeprefix("./"): Entry(
                member.offset_data, member.size, member.size, STORED, NO_CHECKSUM
            )
            for member in archive
            if member.isreg()
        }
        # Of a file that ends within a header, tarfile takes it to be the end.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError("it ends early")
    return found
