"""What can be wrong with a data set's files, each by its kind, so that a check can count them."""

from __future__ import annotations

from collections.abc import Callable

from eomtlib.core.errors import DataError

KINDS = (
    "missing image",
    "missing mask",
    "unreadable image",
    "unreadable mask",
    "size mismatch",
    "unknown id",
    "unknown class",
    "duplicate id",
    "malformed entry",
    "empty annotation",
    "zero-area segment",
    "classes differ",
    "same picture in both splits",
    "unusable data set",
)


class FileError(DataError):
    """One thing that is wrong with one file.

    Args:
        kind: of ``KINDS``.
        where: the file, as ``Store.where`` names it.
        what: what is wrong with it and what to do.
    """

    def __init__(self, kind: str, where: str, what: str) -> None:
        # All three, so that the error can be pickled on its way out of a worker.
        super().__init__(kind, where, what)
        self.kind, self.where, self.what = kind, where, what

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


Report = Callable[[FileError], None]
"""What a reader does with a problem that it finds when it is opened: raise it, or note it down."""


def refuse(problem: FileError) -> None:
    """Raises the problem: nothing is read of a data set that is not in order."""
    raise problem


def skip(problem: FileError) -> None:
    """Passes over the problem: the image that it is of is left out (``data.skipping``)."""


def looks_at_all(report: Report) -> bool:
    """Whether images without segments are wanted too, by whoever checks a data set."""
    return report is not refuse and report is not skip
