"""The report of a study: one HTML file that needs nothing else and no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eomtlib.core.atomic_files import write_file
from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report import tables
from eomtlib.report.explore.sources import Picture, val_pictures
from eomtlib.report.frame import accuracy_of
from eomtlib.report.pages import contents
from eomtlib.report.pages.images import viewer
from eomtlib.report.pages.recorded import RecordedStudy
from eomtlib.report.pages.templates import render
from eomtlib.report.tables.speed import accuracy_beside_speed
from eomtlib.report.timings import said_of
from eomtlib.study.records.kinds import TimingRecord
from eomtlib.study.records.store import ResultStore
from eomtlib.study.study import Study

_SPEED = "images per second (FPS), model alone"


def write_report(
    path: Path,
    study: RecordedStudy,
    store: ResultStore,
    *,
    pictures: Sequence[Picture] = (),
    no_pictures: str = "",
    device: str = "cpu",
    others: Sequence[RecordedStudy] = (),
) -> Path:
    """Writes all that is known of a study into one page.

    Args:
        path: of the page; an older one is replaced.
        study: as ``recorded_studies`` finds it, or of a ``Study``'s name and results.
        store: the results folder, whose weights segment the pictures.
        pictures: to be segmented by every model.
        no_pictures: why there are none.
        device: to segment on.
        others: studies of the same folder, which are named.

    Returns:
        The page.
    """
    results, frame = study.results, contents.model_frame(study.results)
    figure = ACCURACIES[accuracy_of(frame)]
    headings, rows = contents.table(frame)
    timings = [result.timing for result in results if result.timing is not None]
    label = "; ".join(dict.fromkeys(r.training.label for r in results if r.training))
    of_first_seed = {name: results[i] for i, name in frame["model"].drop_duplicates().items()}
    shown, unshown = viewer(store, of_first_seed, pictures, device=device)
    page = render(
        "report.html.j2",
        title=_title(frame),
        summary=_summary(frame, study),
        others=", ".join(f"{s.name} ({len(s.results)} runs)" for s in others),
        note=label,
        answer={"question": "", "sentences": tables.answer(frame, ["model"]), "doubts": []},
        plots=_plots(frame, timings, label=label),
        headings=headings,
        rows=rows,
        table_note="; ".join(text for text in said_of(timings) if text),
        viewer=shown,
        no_images=no_pictures or unshown,
        curves=contents.curves(frame, results),
        classes=contents.classes(frame, results),
        accuracy=figure,
        configuration=contents.configuration(results),
        recipes=contents.recipes(results),
    )
    write_file(path, page)
    return path


def write_study_report(path: Path, study: Study, *, num_images: int = 4) -> Path:
    """``write_report`` of a study that is at hand, with its first validation images."""
    return write_report(
        path,
        RecordedStudy(study.name, study.results),
        study.store,
        pictures=val_pictures(study.first_runs[0].materials.val_set, num_images),
        device=study.settings.device,
    )


def _title(frame: pd.DataFrame) -> str:
    if frame["rung"].nunique() > 1:
        return "Does a segmentation model need more than a ViT?"
    return f"{LADDER[frame['rung'].iloc[0]].title}: what was measured"


def _summary(frame: pd.DataFrame, study: RecordedStudy) -> str:
    counts = {"models": frame["model"].nunique()}
    counts["seeds"] = frame["seed"].nunique() if "seed" in frame else 0
    said = [f"{n} {what if n > 1 else what[:-1]}" for what, n in counts.items() if n]
    return f"{', '.join(said)}: {study.name}, {study.created[:10]}."


def _plots(frame: pd.DataFrame, timings: Sequence[TimingRecord], *, label: str) -> list[Any]:
    """The plot that leads: what was measured, or what is printed where that says nothing yet."""
    points = contents.measured_points(frame)
    heading, figure = "Accuracy against speed, measured here", ACCURACIES[accuracy_of(frame)]
    caption = "The dashed line joins the models that no other beats in both."
    if points["spread"].notna().any():
        caption += " Bars are the standard deviation over seeds."
    if label or points["y"].isna().all():
        printed, figure = accuracy_beside_speed(timings), "PQ, printed"
        titles = [LADDER[rung].title for rung in printed["rung"]]
        points = printed.rename(columns={"fps": "x", "pq": "y"}).assign(model=titles)
        heading = "PQ as printed in the papers, speed measured here"
        caption += " Nothing measured here says anything of accuracy yet."
    if points.dropna(subset=["x", "y"]).empty:
        return []
    plot = contents.pareto(points, x_label=_SPEED, y_label=f"{figure} (%)")
    return [{"plot": plot, "heading": heading, "caption": caption}]
