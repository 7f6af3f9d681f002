"""``check-data``: whether a data set's files are all there and agree with each other."""

from __future__ import annotations

import argparse
from pathlib import Path

from eomtlib.core.console import deliver, show
from eomtlib.core.errors import DataError, check_choice
from eomtlib.data.checking import Findings, check_both, check_split
from eomtlib.data.dataset import SPLITS
from eomtlib.data.feed.loaders import shared_memory_remark
from eomtlib.data.registry import DATASETS
from eomtlib.data.sets.custom import custom_form, custom_parts
from eomtlib.study.parsing import read_split


def run(chosen: argparse.Namespace) -> int:
    """Checks, prints a line for each finding and a summary; 1 where there is any finding."""
    check_choice("dataset", chosen.dataset, DATASETS)
    root = Path(chosen.data_path).expanduser() if chosen.data_path else None
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        show(line)

    findings = Findings(tell)
    named = {"train": chosen.train_data, "val": chosen.val_data}
    opened = []
    for split in [chosen.split] if chosen.split else SPLITS:
        files = read_split(f"{split}_data", named.get(split, ""))
        opened.append(
            check_split(
                chosen.dataset,
                split,
                task=chosen.task or _default_task(chosen.dataset, root, split, files),
                data_path=root,
                files=files,
                findings=findings,
                exif=chosen.exif,
                workers=None if chosen.workers < 0 else chosen.workers,
            )
        )
    if len(opened) == len(SPLITS) and all(opened):
        check_both(*opened, findings=findings)
    if remark := shared_memory_remark():
        findings.remark(remark)
    show(f"{chosen.dataset}: {findings.summary()}")
    counts = {"images": findings.images, "segments": findings.segments}
    deliver({"dataset": chosen.dataset, **counts, "findings": findings.kinds, "lines": lines})
    return 1 if findings.kinds else 0


def _default_task(name: str, root: Path | None, split: str, files: str) -> str:
    if name == "custom" and (root is not None or files):
        try:
            return custom_form(custom_parts(root, split, files))
        except DataError:
            pass  # it is found again, and counted, when the set is opened
    return next(iter(DATASETS[name]))
