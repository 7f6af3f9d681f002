"""Interleaved pairs: two ways to the same end, timed in turns, and the ratio of each pair."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eomtlib.evaluation.speed import time_in_turns


@dataclass(frozen=True)
class Sides:
    """Two ways to the same end; either can be built alone, to weigh its memory.

    Attributes:
        ours: builds everything and returns one call, on a fixed input.
        theirs: the same for the peer.
        agreement: says how two outputs, ours and the peer's, compare.
    """

    ours: Callable[[], Callable[[], Any]]
    theirs: Callable[[], Callable[[], Any]]
    agreement: Callable[[Any, Any], str]


@dataclass(frozen=True)
class Comparison:
    """Ours beside a peer.

    Attributes:
        part: what was done.
        peer: who else did it.
        samples: seconds of each pair, ours and the peer's, in order.
        bar: the ratio that was aimed at; None for a row that is only informative.
        agreement: how the two outputs were compared, and what came out.
        unit: how many of what one call handles, such as ``1 image``.
        peak_mib: peak memory of ours and of the peer's, where it was measured.
        at: on a curve, the quantity that changes along it, and its value here.
    """

    part: str
    peer: str
    samples: tuple[tuple[float, float], ...]
    bar: float | None
    agreement: str
    unit: str
    peak_mib: tuple[float, float] | None = None
    at: tuple[str, int] | None = None

    @property
    def ratio(self) -> float:
        """Median over the pairs of the peer's time by ours: how many times as fast ours is."""
        return statistics.median(theirs / ours for ours, theirs in self.samples)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of that median, from order statistics; all there is for few pairs."""
        ratios = sorted(theirs / ours for ours, theirs in self.samples)
        reach = 1.96 * math.sqrt(len(ratios)) / 2
        low = max(0, math.floor(len(ratios) / 2 - reach))
        high = min(len(ratios) - 1, math.ceil(len(ratios) / 2 + reach))
        return ratios[low], ratios[high]

    @property
    def medians(self) -> tuple[float, float]:
        """Median seconds of ours and of the peer's."""
        ours, theirs = zip(*self.samples, strict=True)
        return statistics.median(ours), statistics.median(theirs)


def compare(
    sides: Sides,
    *,
    part: str,
    peer: str,
    unit: str,
    seconds: float,
    bar: float | None = None,
    min_pairs: int = 5,
    peak_mib: tuple[float, float] | None = None,
    at: tuple[str, int] | None = None,
) -> Comparison:
    """Builds both sides, looks at their first outputs, and times them in turns.

    Args:
        sides: what is compared.
        part: of the comparison, as are the next two.
        peer: see there.
        unit: likewise.
        seconds: to spend, as ``time_in_turns`` does.
        bar: of the comparison.
        min_pairs: that are made however long they take.
        peak_mib: of the comparison, measured before.
        at: likewise.
    """
    ours, theirs = sides.ours(), sides.theirs()
    agreement = sides.agreement(ours(), theirs())
    return Comparison(
        part=part,
        peer=peer,
        samples=time_in_turns((ours, theirs), device="cpu", seconds=seconds, min_rounds=min_pairs),
        bar=bar,
        agreement=agreement,
        unit=unit,
        peak_mib=peak_mib,
        at=at,
    )
