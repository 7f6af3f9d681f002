"""Loops over pixels that NumPy has no call for, compiled by Numba on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

_Loop = TypeVar("_Loop", bound=Callable)


def compiled(loop: _Loop) -> _Loop:
    """Compiles a loop for one thread; the result is kept, beside the source or in a user's cache.

    Array bounds are not checked in what it returns: the caller checks its arguments.
    """
    try:
        return njit(loop, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # nowhere to write to: each process compiles for itself, in seconds
        return njit(loop, nogil=True, error_model="numpy")
