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
from tqdm import tqdm

_T = TypeVar("_T")
# A kernel's shell; without IPython there is none.
_SHELL = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
_IN_NOTEBOOK = _SHELL is not None and "IPKernelApp" in _SHELL.config
_GOING = (
    "{desc} {percentage:3.0f} % |{bar}| {n_fmt} of {total_fmt}{unit}, {remaining} left{postfix}"
)
_DONE = "{desc} {percentage:3.0f} % |{bar}| {n_fmt} of {total_fmt}{unit} in {elapsed}{postfix}"
_ENDLESS = "{desc} {n_fmt}{unit}, {elapsed}{postfix}"
_WIDEST = 100
# In a file: a line with every tenth, if these seconds have passed, and one at least so often.
_BETWEEN_LINES, _LONGEST_SILENCE = 5.0, 60.0
_BETWEEN_DRAWINGS = 0.5
"""Seconds, in a notebook: its text is replaced, so that a page of it shows how it ended."""


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
    """How far something is: a bar, in a file a line now and then.

    Args:
        what: is done, in a word or a few.
        total: how many there are to do; None where nobody knows.
        already: how many of them were done before.
        unit: of what, such as ``images``.
        shown: whether it is shown at all.
        delay: seconds before it shows; what is over before never does.
        kept: whether it stays, or its last line is said, once it is over.
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
        self._what, self._total, self._kept = what, total, kept
        self._unit = f" {unit}" if unit else ""
        self._already = self._done = already
        self._note = ""
        self._began = time.monotonic()
        self._shows_at = self._line_at = self._began + delay
        self._line_done = already
        is_shown, has_bar = shown and not manner().quiet, not _IN_NOTEBOOK and sys.stderr.isatty()
        self._writes_lines, self._handle = is_shown and not has_bar, None
        self._bar = tqdm(
            desc=what,
            total=total,
            initial=already,
            unit=self._unit,
            delay=delay,
            leave=kept,
            bar_format=_GOING if total else _ENDLESS,
            ncols=min(_WIDEST, shutil.get_terminal_size().columns),
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
        now = time.monotonic()
        if not self._writes_lines or now < self._shows_at:
            return
        if _IN_NOTEBOOK and (self._kept or self._handle):
            self._draw(_DONE if self._kept else "")
        elif self._kept:
            say(f"{self._counted} in {_clock(now - self._began)}{self._note}")

    def update(self, count: int = 1) -> None:
        """So many more are done; 0 to show what was noted all the same."""
        self._done += count
        if count:
            self._bar.update(count)
        else:
            self._bar.refresh()
        now = time.monotonic()
        since = now - self._line_at
        if not self._writes_lines or since < _BETWEEN_DRAWINGS or self._done == self._total:
            return
        tenth = self._total and 10 * (self._done - self._line_done) >= self._total
        if _IN_NOTEBOOK:
            self._draw(_GOING)
        elif since >= _LONGEST_SILENCE or (tenth and since >= _BETWEEN_LINES):
            left = ""
            if self._total and self._done > self._already:
                rate = (now - self._began) / (self._done - self._already)
                left = f", {_clock(rate * (self._total - self._done))} left"
            say(f"{self._counted}{left}{self._note}")
        else:
            return
        self._line_at, self._line_done = now, self._done

    def note(self, text: str) -> None:
        """What stands behind the count."""
        self._note = f", {text}" if text else ""
        self._bar.set_postfix_str(text, refresh=False)

    def _draw(self, form: str) -> None:
        """Puts the bar into the cell, or what it comes to in place of the one before."""
        text = form and tqdm.format_meter(
            self._done,
            self._total,
            time.monotonic() - self._began,
            ncols=_WIDEST,
            prefix=self._what,
            unit=self._unit,
            bar_format=form if self._total else _ENDLESS,
            postfix=self._note.removeprefix(", "),
            initial=self._already,
        )
        if self._handle is None:
            from IPython.display import display

            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)

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
