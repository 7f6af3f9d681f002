"""The papers' tables as data: which of our models stands behind each printed row and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eomtlib.models.ladder import HEAD_SIZES

NUM_CLASSES = {
    ("coco", "panoptic"): 133,
    ("coco", "instance"): 80,
    ("ade20k", "panoptic"): 150,
    ("ade20k", "semantic"): 150,
    ("cityscapes", "semantic"): 19,
}
_VAL_IMAGES = {"coco": 5000, "ade20k": 2000, "cityscapes": 500}
COSTS = ("params_m", "gmacs", "fps")
_PANOPTIC = ("pq", "pq_things", "pq_stuff")


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
        return _VAL_IMAGES[self.dataset]

    @property
    def chosen_query_blocks(self) -> int | None:
        """None where the number is the size's own, as records have it."""
        return (
            None if self.query_blocks == HEAD_SIZES[self.size].query_blocks else self.query_blocks
        )


Find = Callable[[Mapping[str, Any], str], ModelRow | None]


@dataclass(frozen=True)
class PrintedTable:
    """One table of a paper.

    Attributes:
        name: of its CSV file.
        title: paper, number and subject.
        figures: the columns that are figures → what they are called in records: ``params_m``,
            ``gmacs``, ``fps`` (with a mode behind a colon where one is printed), or a metric.
        find: a row and one of these columns → the model; None where it is no model of ours.
        note: what a reader must know.
    """

    name: str
    title: str
    figures: Mapping[str, str] = field(default_factory=dict)
    find: Find = lambda row, column: None
    note: str = ""


def _same(*columns: str) -> dict[str, str]:
    return {column: column for column in columns}


def _square(side: object) -> tuple[int, int]:
    return int(side), int(side)


def compared_model(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Rung and size of a row of a comparison with other methods; None where it is not ours."""
    known = {
        ("Mask2Former", "ViT-Adapter-L"): ("vit-adapter-m2f", "large"),
        ("Mask2Former", "ViT-Adapter-g"): ("vit-adapter-m2f", "giant"),
        ("EoMT", "ViT-L"): ("eomt", "large"),
        ("EoMT", "ViT-g"): ("eomt", "giant"),
    }
    return known.get((row["method"], row["backbone"]))


def _compared(row: Mapping[str, Any], column: str, *, task: str) -> ModelRow | None:
    rung_size = compared_model(row)
    if rung_size is None or row["pretraining"] != "DINOv2":
        return None
    prefix = column.split("_")[0]
    dataset = {"ade": "ade20k", "cityscapes": "cityscapes"}.get(prefix, "coco")
    side = row.get(f"{prefix}_input", row.get("input", row.get("coco_input")))
    return ModelRow(*rung_size, dataset=dataset, task=task, image_size=_square(side))


def _masked(row: Mapping[str, Any], column: str) -> ModelRow:
    masking, inference = row["train"], row["inference"]
    if column == "pq_vit_adapter_m2f":
        rung = "vit-adapter-m2f"
    else:
        rung = "eomt-masked" if masking == "masked" else "eomt"
    return ModelRow(rung, masking=masking, inference_masking=inference)


def _listed(row: Mapping[str, Any], column: str, *, rung: str) -> ModelRow:
    return ModelRow(
        rung,
        size=row["size"],
        pretraining=row.get("pretraining", "dinov3"),
        dataset=row["dataset"],
        task=row["task"],
        image_size=_square(row["input"]),
    )


def _ladder(row: Mapping[str, Any], column: str) -> ModelRow:
    named = {key: row[key] for key in ("size", "pretraining") if key in row}
    task = "instance" if column.startswith("ap") else "panoptic"
    return ModelRow(row["rung"], task=task, **named)


PRINTED_TABLES: tuple[PrintedTable, ...] = (
    PrintedTable(
        "eomt_table1_ladder",
        "EoMT, Tables 1 and B: from ViT-Adapter + Mask2Former to EoMT",
        _same(*COSTS, *_PANOPTIC, "ap", "ap_large", "ap_medium", "ap_small"),
        _ladder,
    ),
    PrintedTable(
        "eomt_table2_pretraining", "EoMT, Table 2: pretraining", _same(*COSTS, "pq"), _ladder
    ),
    PrintedTable(
        "eomt_table3_size",
        "EoMT, Table 3 and Figure 1: model size",
        _same(*COSTS, "pq") | {"fps_figure1": "fps", "pq_figure1": "pq"},
        _ladder,
    ),
    PrintedTable(
        "eomt_table4_panoptic",
        "EoMT, Table 4: panoptic segmentation beside other methods",
        {"params_m": "params_m"}
        | {f"{where}_{name}": name for where in ("coco", "ade") for name in ("gmacs", "fps", "pq")},
        lambda row, column: _compared(row, column, task="panoptic"),
    ),
    PrintedTable(
        "eomt_table5_semantic",
        "EoMT, Table 5: semantic segmentation beside other methods",
        {
            f"{where}_{name}": name
            for where in ("cityscapes", "ade")
            for name in ("gmacs", "fps", "miou")
        },
        lambda row, column: _compared(row, column, task="semantic"),
    ),
    PrintedTable(
        "eomt_table6_instance",
        "EoMT, Table 6: instance segmentation beside other methods",
        _same(*COSTS, "ap"),
        lambda row, column: _compared(row, column, task="instance"),
    ),
    PrintedTable(
        "eomt_table7_mask_annealing",
        "EoMT, Table 7: mask annealing",
        {"gmacs": "gmacs", "fps": "fps", "pq_eomt": "pq", "pq_vit_adapter_m2f": "pq"},
        _masked,
    ),
    PrintedTable(
        "eomt_tableC_m2f_masking",
        "EoMT, Table C: masking in ViT-Adapter + Mask2Former",
        {"pq_vit_adapter_m2f": "pq"},
        _masked,
    ),
    PrintedTable(
        "eomt_tableD_query_blocks",
        "EoMT, Table D: blocks that process queries",
        _same(*COSTS, "pq"),
        lambda row, column: ModelRow("eomt", query_blocks=int(row["query_blocks"])),
    ),
    PrintedTable(
        "eomt_table8_ood", "EoMT, Table 8: out of distribution", note="Printed figures only."
    ),
    PrintedTable(
        "eomt_table9_token_merging", "EoMT, Table 9: token merging", note="Printed figures only."
    ),
    PrintedTable(
        "eomt_modelzoo_dinov3",
        "EoMT: the released models with DINOv3",
        {
            "fps_compile_default": "fps:compiled",
            "fps_compile_max_autotune": "fps:max-autotune",
            "value": "metric",
        },
        lambda row, column: _listed(row, column, rung="eomt"),
    ),
    PrintedTable(
        "pmt_image",
        "PMT: the released models",
        {"fps_compile_max_autotune": "fps:max-autotune", "value": "metric"},
        lambda row, column: _listed(row, column, rung="pmt"),
    ),
    PrintedTable("pmt_video", "PMT: video", note="Printed figures only."),
    PrintedTable("videomt_table1_ladder", "VidEoMT, Table 1: video", note="Printed figures only."),
)
