"""What is said: results, notices, warnings, and how far something is. All that speaks does it here.

Results go to stdout and all else to stderr, so that a pipe gets results alone. In a notebook
notices stand among the results, as Jupyter shows stderr like a failure.
"""

from __future__ import annotations

import shutil
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self, TextIO, TypeVar

import msgspec
from tqdm.auto import tqdm

_T = TypeVar("_T")
_IN_NOTEBOOK = any("notebook" in base.__module__ for base in tqdm.__mro__)
_GOING = (
    "{desc} {percentage:3.0f} % |{bar}| {n_fmt} of {total_fmt}{unit}, {remaining} left{postfix}"
)
_DONE = "{desc} {percentage:3.0f} % |{bar}| {n_fmt} of {total_fmt}{unit} in {elapsed}{postfix}"
_ENDLESS = "{desc} {n_fmt}{unit}, {elapsed}{postfix}"
_WIDEST = 100
# In a file: a line with every tenth, if these seconds have passed, and one at least so often.
_BETWEEN_LINES, _LONGEST_SILENCE = 5.0, 60.0


@dataclass(frozen=True)
class Manner:
    """How this process speaks.

    Attributes:
        quiet: results and errors only.
        as_json: stdout is for one JSON object; results in words go to stderr.
    """

    quiet: bool = False
    as_json: bool = False


_manner: ContextVar[Manner] = ContextVar("manner", default=Manner())  # noqa: B039 (frozen)


def manner() -> Manner:
    """How this process speaks."""
    return _manner.get()


@contextmanager
def speaking(how: Manner, *, as_who: str) -> Iterator[None]:
    """Speaks so for what is within; warnings are one line, in the name of ``as_who``."""
    token = _manner.set(how)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"{as_who}: warning: {message}")
        try:
            yield
        finally:
            _manner.reset(token)


def show(text: str) -> None:
    """Prints a result, in words."""
    if not manner().as_json:
        _write(text, sys.stdout)
    elif not manner().quiet:
        _write(text, sys.stderr)


def deliver(outcome: Mapping[str, Any]) -> None:
    """Prints the outcome as one line of JSON where that was asked for: what is not finite as null.

    Args:
        outcome: all that ``show`` says in words, by name; called once by a verb.
    """
    if manner().as_json:
        _write(msgspec.json.encode(outcome, enc_hook=str).decode(), sys.stdout)


def say(text: str) -> None:
    """Prints a notice of what is going on."""
    if not manner().quiet:
        _write(text, sys.stdout if _IN_NOTEBOOK else sys.stderr)


def complain(text: str) -> None:
    """Prints an error, whatever was asked for."""
    _write(text, sys.stderr)


def _write(text: str, stream: TextIO) -> None:
    tqdm.write(text, file=stream)  # above any bar
    stream.flush()


def counted(number: int, what: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


class Progress:
    """How far something is: a bar, a widget in a notebook, in a file a line now and then.

    Args:
        what: is done, in a word or a few.
        total: how many there are to do; None where nobody knows.
        already: how many of them were done before.
        unit: of what, such as ``images``.
        shown: whether it is shown at all.
        delay: seconds before it shows; what is over before never does.
        kept: whether it stays once it is over.
    """

    def __init__(
        self,
        what: str,
        *,
        total: int | None,
        already: int = 0,
        unit: str = "",
        shown: bool = True,
        delay: float = 0.0,
        kept: bool = True,
    ) -> None:
        self._what, self._total, self._delay = what, total, delay
        self._unit = f" {unit}" if unit else ""
        self._already = self._done = already
        self._note = ""
        self._started = time.monotonic()
        self._line_at, self._line_done = self._started + delay, already
        is_shown = shown and not manner().quiet
        has_bar = _IN_NOTEBOOK or sys.stderr.isatty()
        self._writes_lines = is_shown and kept and not has_bar
        self._bar = tqdm(
            desc=what,
            total=total,
            initial=already,
            unit=self._unit,
            delay=delay,
            leave=kept,
            bar_format=_GOING if total else _ENDLESS,
            ncols=None if _IN_NOTEBOOK else min(_WIDEST, shutil.get_terminal_size().columns),
            disable=not (is_shown and has_bar),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it; called once."""
        if self._total:
            self._bar.bar_format = _DONE
        self._bar.close()
        seconds = time.monotonic() - self._started
        if self._writes_lines and seconds >= self._delay:
            say(f"{self._counted} in {_clock(seconds)}{self._note}")

    def update(self, count: int = 1) -> None:
        """So many more are done; 0 to show what was noted all the same."""
        self._done += count
        if count:
            self._bar.update(count)
        else:
            self._bar.refresh()
        if not self._writes_lines or self._done == self._total:
            return
        since, now = time.monotonic() - self._line_at, time.monotonic()
        tenth = self._total and 10 * (self._done - self._line_done) >= self._total
        if since >= _LONGEST_SILENCE or (tenth and since >= _BETWEEN_LINES):
            self._line_at, self._line_done = now, self._done
            left = ""
            if self._total and self._done > self._already:
                rate = (now - self._started) / (self._done - self._already)
                left = f", {_clock(rate * (self._total - self._done))} left"
            say(f"{self._counted}{left}{self._note}")

    def note(self, text: str) -> None:
        """What stands behind the count."""
        self._note = f", {text}" if text else ""
        self._bar.set_postfix_str(text, refresh=False)

    @property
    def _counted(self) -> str:
        if not self._total:
            return f"{self._what}: {self._done}{self._unit}"
        share = 100 * self._done / self._total
        return f"{self._what}: {share:.0f} %, {self._done} of {self._total}{self._unit}"


def progress(items: Iterable[_T], what: str, **options: Any) -> Iterator[_T]:
    """Goes through items and shows how far it is; see ``Progress``, ``total`` by default theirs."""
    total = options.pop("total", len(items) if isinstance(items, Sized) else None)
    with Progress(what, total=total, **options) as bar:
        for item in items:
            yield item
            bar.update()


_clock = tqdm.format_interval
