"""``report``: one HTML page of what lies in a results folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from eomtlib.core.console import deliver, show
from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.machine.precision import resolve_device
from eomtlib.report.explore import open_pictures
from eomtlib.report.explore.sources import Picture
from eomtlib.report.pages import recorded_studies, write_report
from eomtlib.report.pages.recorded import RecordedStudy
from eomtlib.study.parameters.parsing import resolve_results_dir
from eomtlib.study.records.store import ResultStore


def run(chosen: argparse.Namespace) -> None:
    """Writes the page, and says where it is and what else could be reported."""
    output = Path(chosen.output).expanduser()
    if output.is_dir():
        raise ConfigurationError(f"output={chosen.output!r} is a folder; name a file in it.")
    store = ResultStore(resolve_results_dir(chosen.results_dir))
    studies = recorded_studies(store)
    name = check_choice("study", chosen.study or next(iter(studies)), studies)
    study, others = studies.pop(name), list(studies.values())
    pictures, no_pictures = _pictures(chosen, study)
    page = write_report(
        output,
        study,
        store,
        pictures=pictures,
        no_pictures=no_pictures,
        device=resolve_device(chosen.device),
        others=others,
    )
    show(f"Written: {page}, of {study.name} ({len(study.results)} runs)")
    for other in others:
        show(f"Also there: --study {other.name} ({len(other.results)} runs)")
    deliver({"written": page, "study": study.name, "others": [other.name for other in others]})


def _pictures(chosen: argparse.Namespace, study: RecordedStudy) -> tuple[list[Picture], str]:
    """The validation images to show, or why there are none."""
    trainings = [result.training for result in study.results if result.training is not None]
    if not trainings or not chosen.num_images:
        return [], "None were asked for." if trainings else "Nothing was trained."
    first = trainings[0]
    if first.dataset != "shapes" and not (chosen.data_path or chosen.val_data):
        return [], f"--data-path says where {first.dataset} is; without it no image can be shown."
    pictures, _ = open_pictures(
        "",
        dataset=first.dataset,
        task=first.task,
        data_path=chosen.data_path,
        val_data=chosen.val_data,
        image_size=first.image_size,
        count=chosen.num_images,
    )
    return pictures, ""
