"""Two models on the same images: the difference as tables and in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.structures import ClassInfo
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.evaluation.comparison.bootstrap import Difference, difference
from eomtlib.evaluation.comparison.statistics import ImageStatistics
from eomtlib.evaluation.evaluate import evaluate
from eomtlib.models.checkpoints.own import MODEL
from eomtlib.study.runs.run import Run

FEW_IMAGES = 20
"""Below so many images that have a class, its own interval covers less than it says."""


def class_table(found: Difference, classes: Sequence[ClassInfo]) -> pd.DataFrame:
    """A row for each class that occurs: figures, their difference, its interval, its images.

    Each interval is the class's own, at 95 %; they are not corrected for being many.
    """
    table = pd.DataFrame(
        {
            "A": found.by_class[0],
            "B": found.by_class[1],
            "difference": found.by_class[1] - found.by_class[0],
            "from": found.class_intervals[0],
            "to": found.class_intervals[1],
            "images": found.support,
        },
        index=pd.Index([info.name for info in classes], name="class"),
    )
    occurs = table[["A", "B"]].notna().any(axis=1)
    return table[occurs].sort_values("difference", kind="stable")


def image_table(found: Difference, names: Sequence[object], *, most: int = 10) -> pd.DataFrame:
    """The images in which A and B differ most, with the difference in each alone."""
    table = pd.DataFrame({"image": names, "difference": found.by_image})
    order = table["difference"].abs().sort_values(ascending=False, kind="stable").index
    table = table.loc[order[:most]].dropna()
    return table[table["difference"] != 0]


def sentences(
    found: Difference, *, task: str, names: tuple[str, str], classes: Sequence[ClassInfo]
) -> list[str]:
    """What the difference is, what its interval is of, and how few images carry it."""
    figure, count = ACCURACIES[FIGURES[task][0]], len(found.by_image)
    a, b = names
    low, high = found.interval
    way = "above" if found.gain >= 0 else "below"
    ends = sorted((low, high), key=abs) if low * high > 0 else (low, high)
    shown = [f"{abs(end):.1f}" if low * high > 0 else f"{end:+.1f}" for end in ends]
    shown = [end.replace("-", "−") for end in shown]
    of_a, of_b = found.figures
    said = [
        f"{b} lies {abs(found.gain):.1f} points of {figure} {way} {a} ({of_b:.1f} and {of_a:.1f}).",
        f"Over all images like these {count} it is {' to '.join(shown)} (95 % interval).",
    ]
    if low <= 0 <= high:
        said.append("The interval holds 0: these images do not tell which of the two is better.")
    said.append(
        "This spread is of the validation images. It is not of seeds: another training of either "
        "may differ by more."
    )
    rare = [
        info.name
        for info, support, own in zip(classes, found.support, found.by_class.T, strict=True)
        if support < FEW_IMAGES and not np.isnan(own).all()
    ]
    if rare:
        few = ", ".join(rare[:8]) + (", …" if len(rare) > 8 else "")
        verb = "class occurs" if len(rare) == 1 else "classes occur"
        said.append(
            f"{len(rare)} {verb} in fewer than {FEW_IMAGES} images ({few}). A few images carry "
            "each of these, so that its own interval is too narrow."
        )
    low, high = found.class_intervals
    judged = int((~np.isnan(low)).sum())
    apart = int(((low > 0) | (high < 0)).sum())
    said.append(
        f"{apart} of {judged} classes differ by their own interval. These are not corrected for "
        f"being many: by chance alone about {judged / 20:.0f} would."
    )
    return said


def paired(a: Run, b: Run, *, resamples: int = 2000) -> Difference:
    """Two trained runs on the validation images of the first, whose spread the interval is of.

    Args:
        a: a run whose training is finished.
        b: likewise, of the same task, classes and validation images.
        resamples: how often images are drawn.

    Raises:
        ConfigurationError: when the two were not validated on the same, or one is not trained.
    """
    for name, own, other in (
        ("task", a.settings.task, b.settings.task),
        ("validation images", a.materials.data_digests["val"], b.materials.data_digests["val"]),
        ("number of them", a.materials.num_val, b.materials.num_val),
        ("finished training", *(bool(run.result().training) for run in (a, b))),
    ):
        if own != other or not own:
            raise ConfigurationError(
                f"{a.rung} and {b.rung} cannot be compared image by image: {name} is {own} and "
                f"{other}; train both on the same data first."
            )
    statistics = []
    num_images = a.materials.num_val
    for run in (a, b):
        watcher = ImageStatistics(run.settings.task, a.materials.classes)
        evaluate(
            run.maker.segmenter(run.maker.trained(run.folder / MODEL)),
            run.maker.val_loader(num_images),
            classes=a.materials.classes,
            progress=run.materials.progress,
            watchers=[watcher],
        )
        statistics.append(watcher.finished())
    return difference(*statistics, num_images=num_images, resamples=resamples)
