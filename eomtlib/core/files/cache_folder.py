"""Where what can be made again is kept."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """Where generated data is kept: ``$EOMTLIB_CACHE``, else ``eomtlib`` in the user's cache."""
    own, user = os.environ.get("EOMTLIB_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(user) if user else Path.home() / ".cache") / "eomtlib"
