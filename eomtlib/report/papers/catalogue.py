"""The papers' tables as data: which of our models stands behind each printed row and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from eomtlib.core.words import NUM_CLASSES, VALIDATION_IMAGES
from eomtlib.models.ladder import HEAD_SIZES, LADDER, masking_after
from eomtlib.study.records.keys import Architecture

COSTS = ("params_m", "gmacs", "fps")

_ACCURACIES = ("pq", "pq_things", "pq_stuff", "ap", "ap_large", "ap_medium", "ap_small", "miou")
_FIGURES = {
    **{name: name for name in (*COSTS, *_ACCURACIES)},
    **{
        f"{where}_{name}": name
        for where in ("coco", "ade", "cityscapes")
        for name in ("gmacs", "fps", "pq", "miou")
    },
    "pq_eomt": "pq",
    "pq_vit_adapter_m2f": "pq",
    "pq_figure1": "pq",
    "fps_figure1": "fps",
    "fps_compile_default": "fps:compiled",
    "fps_compile_max_autotune": "fps:max-autotune",
    "value": "metric",
}
"""Column → what it is called in records, with a timing mode behind a colon where one is printed;
``metric`` where the row's column of that name says which it is."""


@dataclass(frozen=True)
class ModelRow:
    """The model of ours that a printed figure is of.

    Attributes:
        rung, size, pretraining: of the model.
        dataset, task: that accuracies are on.
        image_size: height and width, of costs and of accuracies.
        masking, inference_masking: where the row says; the rung's own otherwise.
        query_blocks: likewise.
    """

    rung: str
    size: str = "large"
    pretraining: str = "dinov2"
    dataset: str = "coco"
    task: str = "panoptic"
    image_size: tuple[int, int] = (640, 640)
    masking: str | None = None
    inference_masking: str | None = None
    query_blocks: int | None = None

    @property
    def num_queries(self) -> int:
        """As the papers have it."""
        return 100 if self.task == "semantic" else 200

    @property
    def num_classes(self) -> int:
        """Of the data set, without "no object"."""
        return NUM_CLASSES[self.dataset, self.task]

    @property
    def num_images(self) -> int:
        """Of the whole validation set, which printed accuracies are on."""
        return VALIDATION_IMAGES[self.dataset]

    @property
    def trained_masking(self) -> str:
        """How its attention is masked in training."""
        return self.masking or LADDER[self.rung].masking

    @property
    def architecture(self) -> Architecture:
        """What is run, whatever its task and the number of its classes."""
        is_own = self.query_blocks in (None, HEAD_SIZES[self.size].query_blocks)
        return Architecture.of_rung(
            self.rung,
            size=self.size,
            pretraining=self.pretraining,
            num_queries=self.num_queries,
            masking=self.inference_masking or masking_after(self.trained_masking),
            options={} if is_own else {"query_blocks": self.query_blocks},
        )


@dataclass(frozen=True)
class PrintedTable:
    """One table of a paper.

    Attributes:
        name: of its CSV file.
        title: paper, number and subject.
        find: a row and a column of figures → the model; None where it is no model of ours.
    """

    name: str
    title: str
    find: Callable[[Mapping[str, Any], str], ModelRow | None] | None = None

    @property
    def note(self) -> str:
        """What a reader must know; empty where models of ours stand in the table."""
        return "" if self.find else "Printed figures only."

    def figure(self, row: Mapping[str, Any], column: str) -> tuple[str, ModelRow] | None:
        """What a cell says, in the words of records, and of which model; None where of none."""
        name = _FIGURES.get(column)
        is_found = name and self.find and not pd.isna(row[column])
        model = self.find(row, column) if is_found else None
        return None if model is None else (row["metric"] if name == "metric" else name, model)


_COMPARED = {
    ("Mask2Former", "ViT-Adapter-L"): ("vit-adapter-m2f", "large"),
    ("Mask2Former", "ViT-Adapter-g"): ("vit-adapter-m2f", "giant"),
    ("EoMT", "ViT-L"): ("eomt", "large"),
    ("EoMT", "ViT-g"): ("eomt", "giant"),
}
"""Method and backbone → rung and size."""


def _compared(row: Mapping[str, Any], column: str, *, task: str) -> ModelRow | None:
    rung_size = _COMPARED.get((row["method"], row["backbone"]))
    # Table 5 prints one number of parameters for two data sets.
    if rung_size is None or (task, column) == ("semantic", "params_m"):
        return None
    prefix = column.split("_")[0]
    dataset = {"ade": "ade20k", "cityscapes": "cityscapes"}.get(prefix, "coco")
    side = int(row.get(f"{prefix}_input", row.get("input", row.get("coco_input"))))
    return ModelRow(*rung_size, dataset=dataset, task=task, image_size=(side, side))


def _masked(row: Mapping[str, Any], column: str) -> ModelRow:
    own = "eomt-masked" if row["train"] == "masked" else "eomt"
    rung = "vit-adapter-m2f" if column == "pq_vit_adapter_m2f" else own
    return ModelRow(rung, masking=row["train"], inference_masking=row["inference"])


def _listed(row: Mapping[str, Any], column: str, *, rung: str) -> ModelRow:
    named = {name: row[name] for name in ("size", "dataset", "task")}
    return ModelRow(rung, pretraining="dinov3", image_size=(int(row["input"]),) * 2, **named)


def _ladder(row: Mapping[str, Any], column: str) -> ModelRow:
    named = {key: row[key] for key in ("size", "pretraining") if key in row}
    task = "instance" if column.startswith("ap") else "panoptic"
    return ModelRow(row["rung"], task=task, **named)


def _blocks(row: Mapping[str, Any], column: str) -> ModelRow:
    return ModelRow("eomt", query_blocks=int(row["query_blocks"]))


_in_panoptic, _in_semantic, _in_instance = (
    partial(_compared, task=task) for task in ("panoptic", "semantic", "instance")
)
_eomt, _pmt = partial(_listed, rung="eomt"), partial(_listed, rung="pmt")

_BESIDE = "segmentation beside other methods"
_TABLES = (
    ("eomt_table1_ladder", "EoMT, Tables 1 and B: from ViT-Adapter + Mask2Former to EoMT", _ladder),
    ("eomt_table2_pretraining", "EoMT, Table 2: pretraining", _ladder),
    ("eomt_table3_size", "EoMT, Table 3 and Figure 1: model size", _ladder),
    ("eomt_table4_panoptic", f"EoMT, Table 4: panoptic {_BESIDE}", _in_panoptic),
    ("eomt_table5_semantic", f"EoMT, Table 5: semantic {_BESIDE}", _in_semantic),
    ("eomt_table6_instance", f"EoMT, Table 6: instance {_BESIDE}", _in_instance),
    ("eomt_table7_mask_annealing", "EoMT, Table 7: mask annealing", _masked),
    ("eomt_tableC_m2f_masking", "EoMT, Table C: masking in ViT-Adapter + Mask2Former", _masked),
    ("eomt_tableD_query_blocks", "EoMT, Table D: blocks that process queries", _blocks),
    ("eomt_table8_ood", "EoMT, Table 8: out of distribution"),
    ("eomt_table9_token_merging", "EoMT, Table 9: token merging"),
    ("eomt_modelzoo_dinov3", "EoMT: the released models with DINOv3", _eomt),
    ("pmt_image", "PMT: the released models", _pmt),
    ("pmt_video", "PMT: video"),
    ("videomt_table1_ladder", "VidEoMT, Table 1: video"),
)
PRINTED_TABLES = tuple(PrintedTable(*table) for table in _TABLES)
