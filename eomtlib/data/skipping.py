"""A data set without the images of which anything is wrong."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from eomtlib.core.console import progress
from eomtlib.core.errors import DataError
from eomtlib.core.files.atomic_files import config_hash, write_atomically
from eomtlib.core.files.cache_folder import default_cache
from eomtlib.data.dataset import FileDataset
from eomtlib.data.looking import look_at


def leave_out_bad(files: FileDataset, *, where: str) -> None:
    """Keeps the images that can be read and of whose annotation nothing is wrong.

    Every file is read once for this; what was found is remembered in the user's cache, and read
    again where a file has changed.

    Args:
        files: opened by a ``report`` that returns, so that what is wrong is in ``faulty``.
        where: how an error names the data set.

    Raises:
        DataError: where no image is left.
    """
    files.keep(np.flatnonzero(~files.faulty))
    content = {"data": files.digest(), "images": files.image_checksums().tolist()}
    memory = default_cache() / "readable" / f"{config_hash(content)}.npy"
    try:
        readable = np.load(memory)
    except (OSError, ValueError, EOFError):  # none yet, or damaged
        seen = look_at(files, range(len(files)))
        bar = progress(seen, "reading every image once", total=len(files), delay=3)
        readable = np.array([not image.problems for image in bar], bool)
        with suppress(OSError):  # a cache that cannot be written is none
            write_atomically(memory, lambda file: np.save(file, readable))
    files.keep(np.flatnonzero(readable))
    if not len(files):
        raise DataError(f"{where}: of no image everything can be read; see eomtlib check-data.")
