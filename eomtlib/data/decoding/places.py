"""Where the parts of a data set may lie: in folders, or in the archives that publishers give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.archives import ArchiveStore, FolderStore, Store


@dataclass(frozen=True)
class Place:
    """One place where a part may lie.

    Attributes:
        path: a folder or an archive, below the data set's own folder.
        folder: for an archive, the folder in it.
        nested: an archive in that folder of the archive, which holds the files.
        nested_folder: the folder in the nested archive.
        holds: a file without which the part does not lie there; empty for any.
    """

    path: str
    folder: str = ""
    nested: str = ""
    nested_folder: str = ""
    holds: str = ""

    def open(self, root: Path) -> Store | None:
        """The part's files; None where they do not lie here.

        Raises:
            DataError: for a damaged archive.
        """
        path = root / self.path
        store: Store | None = None
        if path.is_dir():
            store = FolderStore(path)
        elif path.is_file():
            store = ArchiveStore(path, self.folder)
        if self.nested and isinstance(store, ArchiveStore):
            there = self.nested in store
            store = store.nested(self.nested, self.nested_folder) if there else None
        if store is None or (self.holds and self.holds not in store):
            return None
        # An empty folder is what an interrupted unzip leaves, or a mount that is not there.
        return store if store.names() else None

    def __str__(self) -> str:
        if "." not in Path(self.path).name:
            return f"{self.path}/{self.holds}" if self.holds else f"the folder {self.path}/"
        inner = "/".join(part for part in (self.folder, self.nested or self.holds) if part)
        return f"{self.path} with {inner} in it" if inner else self.path


def open_part(root: Path, part: str, places: Sequence[Place], *, download: str) -> Store:
    """The first of the places that has the part.

    Args:
        root: the data set's folder.
        part: how an error names it.
        places: in the order in which they are tried.
        download: where the part comes from, for the error.

    Raises:
        DataError: naming the places, when none has it.
    """
    for place in places:
        store = place.open(root)
        if store is not None:
            return store
    raise DataError(
        f"{root}: no {part}. Expected {', or '.join(map(str, places))}; set data_path to the "
        f"folder that holds them (downloads: {download})."
    )
