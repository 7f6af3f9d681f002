"""The figures of one evaluation: its confusion, and its worst images beside their targets."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.evaluation.metrics.confusion import from_texts
from eomtlib.inference.segmenter import Segmenter
from eomtlib.report.pictures import pictures_of
from eomtlib.report.plots import plot_confusion, plot_segmentations, save_figure
from eomtlib.study.records.kinds import EvaluationRecord

_PER_LINE = 5
_LONGEST_NAME = 28


def write_figures(
    folder: Path, record: EvaluationRecord, *, dataset: SegmentationDataset, segmenter: Segmenter
) -> list[Path]:
    """Draws ``confusion`` and ``worst-images`` into a folder, as PNG, what is drawn also as SVG.

    Args:
        folder: made if need be; figures of the same names are replaced.
        record: of the evaluation. What it does not hold is not drawn.
        dataset: that was evaluated on.
        segmenter: what was evaluated; it segments the worst images again.

    Returns:
        The PNG files.
    """
    figures: dict[str, Figure] = {}
    counts = from_texts(record.confusion)
    if counts.any():
        figures["confusion"] = plot_confusion(counts, list(record.per_class), note=record.label)
    if record.worst_images:
        of_id = {str(own): place for place, own in enumerate(dataset.image_ids.tolist())}
        places = [of_id[image_id] for image_id in record.worst_images]
        figure = ACCURACIES[FIGURES[record.task][0]]
        owns = zip(places, record.worst_images.values(), strict=True)
        seen = pictures_of(places, dataset, segmenter)
        figures["worst-images"] = plot_segmentations(
            seen.images,
            seen.rows,
            classes=dataset.classes,
            titles=[f"{_short(dataset.source(k)[1])}\n{figure} {own:.1f}" for k, own in owns],
            per_line=min(_PER_LINE, len(seen.images)),
        )
    written = []
    for name, figure in figures.items():
        # Photographs are no vectors.
        formats = ("png",) if name == "worst-images" else ("png", "svg")
        written.append(save_figure(figure, folder / name, formats=formats)[0])
        plt.close(figure)
    return written


def _short(file_name: str) -> str:
    """The end of a name, which tells files apart."""
    return file_name if len(file_name) <= _LONGEST_NAME else f"…{file_name[1 - _LONGEST_NAME :]}"
