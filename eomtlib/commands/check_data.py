"""``check-data``: whether a data set's files are there and agree, and what is in them."""

from __future__ import annotations

import argparse
from pathlib import Path

from eomtlib.core.errors import ConfigurationError, DataError, check_choice
from eomtlib.core.words import SIZES
from eomtlib.data.checking import Findings, check_both, check_split
from eomtlib.data.dataset import SPLITS
from eomtlib.data.feed.loaders import shared_memory_remark
from eomtlib.data.registry import DATASETS
from eomtlib.data.sets.custom import custom_form, custom_parts
from eomtlib.data.tally import Tally
from eomtlib.evaluation.official_files import save_png
from eomtlib.report.contents import describe
from eomtlib.report.plots.contact_sheet import contact_sheet
from eomtlib.study.defaults import default_queries
from eomtlib.study.parsing import read_split

_EXAMPLES = 12
"""Images of each split on a sheet."""


def run(chosen: argparse.Namespace) -> int:
    """Checks, prints each finding, a summary and what is there; 1 where there is any finding."""
    check_choice("dataset", chosen.dataset, DATASETS)
    root = Path(chosen.data_path).expanduser() if chosen.data_path else None
    findings = Findings(print)
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
    print(f"{chosen.dataset}: {findings.summary()}")
    for split, (task, tally) in looked.items():
        print(f"\n{split}, for {task} segmentation")
        queries = _default_queries(chosen.dataset, task, len(tally.dataset.classes))
        print(*describe(tally, queries), sep="\n")
    if sheet is not None and looked:
        parts = []
        for split, (task, tally) in looked.items():
            viewed = DATASETS[chosen.dataset][task].view(tally.dataset)
            parts.append((f"{split} of {chosen.dataset}", viewed, tally.examples(_EXAMPLES)))
        save_png(contact_sheet(parts), sheet)
        print(f"\nWritten: {sheet}")
    return 1 if findings.kinds else 0


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
