"""Parameters and GMACs of every printed row that a model of ours stands behind.

Both are counted on the meta device: nothing is computed and no memory is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import torch

from eomtlib.evaluation.architecture_costs import count_costs
from eomtlib.evaluation.costs import count_gmacs
from eomtlib.models.ladder import HEAD_SIZES
from eomtlib.models.parts.pixel_decoder import PixelDecoder
from eomtlib.report.papers import compared_model
from eomtlib.study.store import load_paper_table, paper_models

PARAMS_TOLERANCE_M = {"giant": 1.5}
"""Size → largest accepted difference in millions; 1.0 for the others (the papers truncate some)."""

UNRECONCILED = ("1", "no-adapter", "large")
"""Table, rung and size of the one row whose printed GMACs do not follow from its structure."""

NOTES = (
    "All rows: inference of one image, 200 queries; 133 classes (COCO panoptic) or 80 (instance).",
    "GMACs: half of PyTorch's operator count, attention products included, plus 5 multiply-"
    "accumulates for each point and channel that deformable attention samples. Masked attention is "
    "counted as published, with its masks in every pixel; ours resizes first and needs fewer.",
    "ViT-Adapter, where the paper leaves a choice: stem of width 64; 4 injectors and 4 + 2 "
    "extractors; as many deformable heads as the ViT has; 4 points; deform ratio 0.5; FFN ratio "
    "0.25. One rule for all four sizes.",
    "Mask2Former: pyramid at the ViT's full width with 1×1 projections to 256; pixel decoder of 6 "
    "layers with FFN 1024; decoder of 9 layers with FFN 2048.",
    "Step 1 (no-adapter): the paper prints 700 GMACs. Its parameters fit, and so do the steps "
    "before and after it. 700 fits only when the deformable layers of the pixel decoder are left "
    "out, and step 0's 830 only when they are counted.",
)


@dataclass(frozen=True)
class PrintedCost:
    """One printed row: which model it is of, and what the paper says of it.

    Attributes:
        table: of the EoMT paper.
        rung, size, pretraining, query_blocks: as ``build_model`` takes them.
        image_size: side of the square input.
        num_classes: without "no object".
        params_m: printed, in millions.
        gmacs: printed (as "GFLOPs").
    """

    table: str
    rung: str
    size: str
    pretraining: str
    image_size: int
    num_classes: int
    params_m: float
    gmacs: float
    query_blocks: int | None = None

    @property
    def is_unreconciled(self) -> bool:
        """Whether the printed GMACs are known not to follow from the structure."""
        return (self.table, self.rung, self.size) == UNRECONCILED


def printed_costs() -> list[PrintedCost]:
    """The rows of Tables 1, 2, 3, 4, 6 and D of the EoMT paper that are of models of ours."""
    return [
        *_rows("1", "eomt_table1_ladder"),
        *_rows("2", "eomt_table2_pretraining"),
        *_rows("3", "eomt_table3_size"),
        *_method_rows("4", "eomt_table4_panoptic", "coco_input", "coco_gmacs", num_classes=133),
        *_method_rows("6", "eomt_table6_instance", "input", "gmacs", num_classes=80),
        *_rows("D", "eomt_tableD_query_blocks"),
    ]


def cost_table() -> pd.DataFrame:
    """Ours beside the paper's, a row for each of ``printed_costs``.

    Columns: the model; ``params_m`` and ``gmacs``, each computed, printed and their difference;
    ``agrees``, which is empty for the row that cannot.
    """
    rows = []
    for row in printed_costs():
        params_m, gmacs = count_costs(
            row.rung,
            size=row.size,
            pretraining=row.pretraining,
            image_size=row.image_size,
            num_classes=row.num_classes,
            num_queries=200,
            query_blocks=row.query_blocks,
        )
        rows.append(
            {
                "table": row.table,
                "rung": row.rung,
                "size": row.size,
                "pretraining": row.pretraining,
                "image size": row.image_size,
                "query blocks": row.query_blocks,
                "params (M)": params_m,
                "params printed": row.params_m,
                "params difference": params_m - row.params_m,
                "GMACs": gmacs,
                "GMACs printed": row.gmacs,
                "GMACs difference": gmacs - row.gmacs,
                "agrees": agrees(row, params_m, gmacs),
            }
        )
    table = pd.DataFrame(rows)
    return table.astype({"query blocks": "Int64", "agrees": "boolean"})


def summary(table: pd.DataFrame) -> str:
    """How many rows of ``cost_table`` agree, in a sentence of Markdown."""
    return (
        f"**{table['agrees'].sum()} of {len(table)} rows agree**: parameters within 1.0 M (1.5 M "
        "for giant), GMACs within 0.6 % or 0.6 G, whichever is larger."
    )


def unreconciled_row(table: pd.DataFrame) -> str:
    """What is known of the one row of ``cost_table`` that does not agree, in Markdown."""
    row = table[table["agrees"].isna()].iloc[0]
    left_out = deformable_encoder_gmacs()
    return (
        f"Counted: **{row['GMACs']:.1f} GMACs**, printed {row['GMACs printed']:.0f}, although the "
        f"parameters fit ({row['params (M)']:.1f} M, printed {row['params printed']:.0f}). The "
        f"deformable layers of its pixel decoder cost {left_out:.1f} GMACs; without them it would "
        f"have {row['GMACs'] - left_out:.1f}. Step 0 has the same pixel decoder, and its printed "
        "830 is met only with these layers. So the printed 700 seems to leave them out; what this "
        "step saves is the adapter, and no more."
    )


def agrees(row: PrintedCost, params_m: float, gmacs: float) -> bool | None:
    """Whether counted costs agree with a printed row; None where its GMACs cannot be reconciled.

    Parameters within 1.0 M (1.5 M for giant), GMACs within 0.6 % or 0.6 G.
    """
    same_params = abs(params_m - row.params_m) <= PARAMS_TOLERANCE_M.get(row.size, 1.0)
    if row.is_unreconciled and same_params:
        return None
    return same_params and abs(gmacs - row.gmacs) <= max(0.6, 0.006 * row.gmacs)


def _rows(table: str, name: str) -> Iterator[PrintedCost]:
    """Rows of a table whose columns are named as ours."""
    for printed in paper_models(name):
        yield PrintedCost(
            table=table,
            rung=printed["rung"],
            size=printed["size"],
            pretraining=printed["pretraining"],
            image_size=640,
            num_classes=133,
            params_m=printed["params_m"],
            gmacs=printed["gmacs"],
            query_blocks=printed.get("query_blocks"),
        )


def _method_rows(
    table: str, name: str, size_column: str, gmacs_column: str, *, num_classes: int
) -> Iterator[PrintedCost]:
    """Rows of a comparison with other methods; ours are EoMT and Mask2Former on a ViT-Adapter."""
    for printed in load_paper_table(name).to_dict("records"):
        model = compared_model(printed)
        if model is None:
            continue
        yield PrintedCost(
            table=table,
            rung=model[0],
            size=model[1],
            pretraining=printed["pretraining"].lower(),
            image_size=int(printed[size_column]),
            num_classes=num_classes,
            params_m=printed["params_m"],
            gmacs=printed[gmacs_column],
        )


def deformable_encoder_gmacs() -> float:
    """GMACs of the pixel decoder's deformable layers at ViT-L and 640, which step 1's row lacks."""
    config = HEAD_SIZES["large"].pixel_decoder

    def run(decoder: PixelDecoder, images: torch.Tensor) -> object:
        sides = [images.shape[-1] // stride for stride in (4, 8, 16, 32)]
        return decoder(tuple(torch.empty(1, 1024, side, side) for side in sides))

    with_layers, with_one = (
        count_gmacs(
            partial(PixelDecoder, 1024, config=replace(config, num_layers=layers)), 640, call=run
        )
        for layers in (config.num_layers, 1)
    )
    return (with_layers - with_one) * config.num_layers / (config.num_layers - 1)
