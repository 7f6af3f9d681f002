"""How fast a training is, and how long it waits for its data."""

from __future__ import annotations

import time


class Pace:
    """Images a second and the share of time spent in waiting, since it was last asked.

    What is done between a step and the next wait, such as writing a state, counts as neither.
    """

    def __init__(self) -> None:
        self._waiting_since: float | None = None
        self._began = 0.0
        self._reset()

    def _reset(self) -> None:
        self._waited = self._worked = 0.0
        self._images = 0

    def step_begins(self) -> None:
        """The batch is there."""
        self._began = time.perf_counter()
        if self._waiting_since is not None:
            self._waited += self._began - self._waiting_since

    def step_ends(self, images: int) -> None:
        """It has been learned from; ``images`` of it, on all processes."""
        self._worked += time.perf_counter() - self._began
        self._images += images

    def waiting_begins(self) -> None:
        """The next batch is asked for."""
        self._waiting_since = time.perf_counter()

    def figures(self) -> dict[str, float]:
        """``images_per_second``, and ``data_wait`` as a share in [0, 1]."""
        total = max(self._waited + self._worked, 1e-9)
        found = {"images_per_second": self._images / total, "data_wait": self._waited / total}
        self._reset()
        return found
