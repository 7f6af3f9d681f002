"""``check-data``: whether a data set's files are there and agree, and what is in them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eomtlib.core.console import deliver, show
from eomtlib.core.errors import ConfigurationError, DataError, check_choice
from eomtlib.core.words import SIZES, SPLITS
from eomtlib.data.checking import Findings, check_both, check_split
from eomtlib.data.feed.loaders import shared_memory_remark
from eomtlib.data.registry import DATASETS
from eomtlib.data.sets.custom import custom_form, custom_parts
from eomtlib.data.tally import Tally
from eomtlib.evaluation.official_files import save_png
from eomtlib.report.contents import describe, in_figures
from eomtlib.report.plots.images.contact_sheet import contact_sheet
from eomtlib.study.parameters.defaults import default_queries
from eomtlib.study.parameters.parsing import read_split

_EXAMPLES = 12
"""Images of each split on a sheet."""


def run(chosen: argparse.Namespace) -> int:
    """Checks, prints each finding, a summary and what is there; 1 where there is any finding."""
    check_choice("dataset", chosen.dataset, DATASETS)
    root = Path(chosen.data_path).expanduser() if chosen.data_path else None
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        show(line)

    findings = Findings(tell)
    named = {"train": chosen.train_data, "val": chosen.val_data}
    sheet = Path(chosen.sheet).expanduser() if chosen.sheet else None
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise ConfigurationError(f"sheet={chosen.sheet!r} is no PNG; name a file that ends so.")
    looked: dict[str, tuple[str, Tally]] = {}
    splits = [chosen.split] if chosen.split else SPLITS
    for split in splits:
        files = read_split(f"{split}_data", named.get(split, ""))
        task = chosen.task or _default_task(chosen.dataset, root, split, files)
        tally = check_split(
            chosen.dataset,
            split,
            task=task,
            data_path=root,
            files=files,
            findings=findings,
            exif=chosen.exif,
            workers=None if chosen.workers < 0 else chosen.workers,
        )
        if tally is not None:
            looked[split] = task, tally
    if len(looked) == len(SPLITS):
        check_both(*(tally.dataset for _, tally in looked.values()), findings=findings)
    if remark := shared_memory_remark():
        findings.remark(remark)
    show(f"{chosen.dataset}: {findings.summary()}")
    for split, (task, tally) in looked.items():
        show(f"\n{split}, for {task} segmentation")
        queries = _default_queries(chosen.dataset, task, len(tally.dataset.classes))
        for line in describe(tally, queries):
            show(line)
    if sheet is not None and looked:
        save_png(_sheet(chosen.dataset, looked), sheet)
        show(f"\nWritten: {sheet}")
    counts = {"images": findings.images, "segments": findings.segments}
    held = {split: in_figures(tally) for split, (_, tally) in looked.items()}
    said = {"findings": findings.kinds, "lines": lines, "contents": held}
    deliver({"dataset": chosen.dataset, **counts, **said})
    return 1 if findings.kinds else 0


def _sheet(dataset: str, looked: Mapping[str, tuple[str, Tally]]) -> np.ndarray:
    """Examples of every split, as a model of the task learns them."""
    parts = []
    for split, (task, tally) in looked.items():
        chosen = tally.examples(_EXAMPLES)
        heading = f"{split} of {dataset}: {len(chosen)} of {tally.images} images"
        parts.append((heading, DATASETS[dataset][task].view(tally.dataset), chosen))
    return contact_sheet(parts)


def _default_queries(dataset: str, task: str, num_classes: int) -> dict[str, int]:
    """Sizes in words → how many queries their models have."""
    of_size = {size: default_queries(size, task, dataset, num_classes) for size in SIZES}
    return {
        ", ".join(size for size in SIZES if of_size[size] == count): count
        for count in dict.fromkeys(of_size.values())
    }


def _default_task(name: str, root: Path | None, split: str, files: str) -> str:
    if name == "custom" and (root is not None or files):
        try:
            return custom_form(custom_parts(root, split, files))
        except DataError:
            pass  # it is found again, and counted, when the set is opened
    return next(iter(DATASETS[name]))
