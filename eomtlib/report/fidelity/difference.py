"""How far two computations of the same thing lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True)
class Difference:
    """One comparison.

    Attributes:
        what: of ours was compared.
        against: whose computation.
        largest: absolute difference of any two values.
        magnitude: largest absolute value of the other side, to judge the difference by.
        tolerance: largest difference that counts as agreement.
    """

    what: str
    against: str
    largest: float
    magnitude: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance; one that is no number is not."""
        return self.largest <= self.tolerance


def compare(
    what: str, pairs: Iterable[tuple[Tensor, Tensor]], *, against: str, tolerance: float
) -> Difference:
    """The largest difference over pairs of (ours, theirs), of the same shapes."""
    largest, magnitude = 0.0, 0.0
    for ours, theirs in pairs:
        if ours.shape != theirs.shape:
            raise ValueError(f"{what}: {tuple(ours.shape)} is compared with {tuple(theirs.shape)}.")
        apart = torch.max((ours.double() - theirs.double()).abs()).item()
        # A difference that is no number must not be lost in a maximum.
        largest = apart if apart != apart else max(largest, apart)
        magnitude = max(magnitude, theirs.abs().max().item())
    return Difference(what, against, largest, magnitude, tolerance)


def difference_table(differences: Sequence[Difference]) -> pd.DataFrame:
    """A row for each comparison."""
    rows = [asdict(difference) | {"agrees": difference.agrees} for difference in differences]
    headings = {"what": "ours", "largest": "largest difference", "magnitude": "largest value"}
    return pd.DataFrame(rows).rename(columns=headings)
