"""The report of a study: one HTML file that needs nothing else and no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eomtlib.core.files.atomic_files import write_file
from eomtlib.core.words import ACCURACIES
from eomtlib.report.answers import Answer
from eomtlib.report.explore.sources import Picture, val_pictures
from eomtlib.report.frame import accuracy_of
from eomtlib.report.leading import Leading
from eomtlib.report.pages import template_values
from eomtlib.report.pages.images import viewer
from eomtlib.report.pages.recorded import RecordedStudy
from eomtlib.report.pages.saying import recorded_answer, recorded_leading
from eomtlib.report.pages.templates import render
from eomtlib.report.tables.brief import caption
from eomtlib.report.tables.measured import measured_table
from eomtlib.study.records.store import ResultStore
from eomtlib.study.study import Study


def write_report(
    path: Path,
    study: RecordedStudy,
    store: ResultStore,
    *,
    pictures: Sequence[Picture] = (),
    no_pictures: str = "",
    device: str = "cpu",
    others: Sequence[RecordedStudy] = (),
    answer: Answer | None = None,
    leading: Leading | None = None,
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
        answer: of the study; by default what its records say.
        leading: the plot that leads; likewise.

    Returns:
        The page.
    """
    results, frame = study.results, template_values.model_frame(study.results)
    headings, rows = template_values.table(frame)
    timings = [result.timing for result in results if result.timing is not None]
    label = "; ".join(dict.fromkeys(r.training.label for r in results if r.training))
    leading = leading or recorded_leading(frame, timings, label=label)
    of_first_seed = {name: results[i] for i, name in frame["model"].drop_duplicates().items()}
    shown, unshown = viewer(store, of_first_seed, pictures, device=device)
    page = render(
        "report.html.j2",
        answer=answer or recorded_answer(frame, label=label),
        summary=_summary(frame, study),
        others=", ".join(f"{other.name} ({len(other.results)} runs)" for other in others),
        leading=leading,
        pareto=template_values.pareto(leading),
        headings=headings,
        rows=rows,
        label=label,
        table_note=[caption(measured_table(frame, ["model"])), leading.note],
        viewer=shown,
        no_images=no_pictures or unshown,
        curves=template_values.curves(frame, results),
        classes=template_values.classes(frame, results),
        taken=template_values.taken(frame, results),
        losses=template_values.losses(frame, results),
        accuracy=ACCURACIES[accuracy_of(frame)],
        configuration=template_values.configuration(results),
        recipes={r.training.id: r.training.config for r in results if r.training},
    )
    write_file(path, page)
    return path


def write_study_report(
    path: Path, study: Study, *, answer: Answer, leading: Leading, num_images: int = 4
) -> Path:
    """``write_report`` of a study that is at hand, with its first validation images."""
    val_set = study.first_runs[0].materials.val_set
    return write_report(
        path,
        RecordedStudy(study.name, study.results),
        study.store,
        pictures=val_pictures(val_set, num_images, task=study.settings.task),
        device=study.settings.device,
        answer=answer,
        leading=leading,
    )


def _summary(frame: pd.DataFrame, study: RecordedStudy) -> str:
    counts = {"models": frame["model"].nunique()}
    counts["seeds"] = frame["seed"].nunique() if "seed" in frame else 0
    said = [f"{n} {what if n > 1 else what[:-1]}" for what, n in counts.items() if n]
    return f"{', '.join(said)}: {study.name}, {study.created[:10]}."
