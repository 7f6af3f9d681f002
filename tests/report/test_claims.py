"""The table of claims, from runs whose gaps are chosen by hand."""

import math
from itertools import product

import pandas as pd
import pytest

from eomtlib.models.ladder import LADDER
from eomtlib.report.claims import claim_table

GAPS = {("nano", "none"): 12.0, ("nano", "mim"): 10.0, ("nano", "shapes-ssl"): 4.0}
GAPS |= {("micro", "none"): 9.0, ("micro", "shapes-ssl"): 2.0}


def runs():
    """Three seeds of each; ``eomt`` lies behind by the gap, give or take a tenth by seed."""
    rows = [
        {"rung": rung, "size": size, "pretraining": pretraining, "seed": seed, "options": ""}
        | {"inference_masking": LADDER[rung].inference_masking}
        | {"pq": 60.0 + seed - (rung == "eomt") * (gap + seed / 10 * (pretraining != "none"))}
        for ((size, pretraining), gap), rung, seed in product(
            GAPS.items(), ("vit-adapter-m2f", "eomt"), range(3)
        )
    ]
    rows += [
        row | {"rung": "pmt", "pq": row["pq"] - (1.5 if row["size"] == "nano" else 9.0)}
        for row in rows
        if row["rung"] == "eomt"
    ]
    return pd.DataFrame(rows)


def test_gaps_close_by_pretraining_and_by_size():
    table = claim_table(runs())
    said = {
        "pretraining `none` → `mim`, `nano`": (math.nan, 2.0 - 0.1),
        "pretraining `none` → `shapes-ssl`, `nano`": (5.0, 8.0 - 0.1),  # 6.1 less 1.1
        "pretraining `none` → `shapes-ssl`, `micro`": (5.0, 7.0 - 0.1),
        "size `nano` → `micro`, `none`": (math.nan, 3.0),
        "size `nano` → `micro`, `shapes-ssl`": (4.7, 2.0),  # 5.8 less 1.1
    }
    closing = table[table.index.str.contains("gap closes")]
    assert set(closing.index) == {f"`eomt`'s gap closes, {text}" for text in said}
    for text, (printed, gain) in said.items():
        row = table.loc[f"`eomt`'s gap closes, {text}"]
        assert (row["printed"], row["gain"]) == pytest.approx((printed, gain), nan_ok=True)
        assert row["seeds"] == 3


def test_frozen_encoders_are_compared_at_nano_alone():
    table = claim_table(runs())
    frozen = table[table.index.str.startswith("encoder frozen")]
    assert [name.rsplit(", ", 1)[1] for name in frozen.index] == ["`none`", "`mim`", "`shapes-ssl`"]
    assert list(frozen["gain"]) == pytest.approx([-1.5] * 3)
