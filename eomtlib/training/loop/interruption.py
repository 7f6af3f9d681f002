"""Who asks a training to stop: Ctrl-C, SIGTERM, and in a notebook the end of what executes it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Any

from traitlets.log import get_logger

_PARENT_IS_GONE = "Parent appears to have exited"
"""What a notebook's kernel logs before it exits, at most a second after papermill has ended."""

_SECONDS_FOR_A_STATE = 300.0


class StopRequest(logging.Filter):
    """Listens to whoever asks this process to stop, until it is closed.

    A second Ctrl-C does not wait for an answer. A kernel whose papermill is gone is kept from
    exiting until the answer, or for five minutes: it logs that it will exit, and waits in here.

    Attributes:
        asked: whether it was asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._answered = threading.Event()
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGTERM, signal.SIGINT)
            self._before = {number: signal.signal(number, self._ask) for number in numbers}
        self._kernel = get_logger() if "ipykernel" in sys.modules else None
        if isinstance(self._kernel, logging.LoggerAdapter):
            self._kernel = self._kernel.logger
        if self._kernel is not None:
            self._kernel.addFilter(self)

    def answer(self) -> None:
        """Says that what can be kept is kept."""
        self._answered.set()

    def close(self) -> None:
        """Gives signals back to whoever had them before."""
        self.answer()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._kernel is not None:
            self._kernel.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Called with what the kernel logs, in the thread that would end it."""
        if _PARENT_IS_GONE in record.getMessage():
            self.asked = True
            self._answered.wait(_SECONDS_FOR_A_STATE)
        return True

    def _ask(self, number: int, _: Any) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
