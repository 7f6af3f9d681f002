"""``look``: the runs of ``make ablation`` where they stand after a few minutes."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import psutil
import torch

from eomtlib.core.console import deliver, say, show
from eomtlib.core.errors import ConfigurationError, EomtlibError
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.report.answers import Answer, speed_sentences
from eomtlib.report.explore.sources import val_pictures
from eomtlib.report.leading import Leading
from eomtlib.report.pages import RecordedStudy, write_report
from eomtlib.report.pages.template_values import model_frame
from eomtlib.report.plots import save_figure
from eomtlib.report.timings import measured_under
from eomtlib.study.parameters.parsing import parse_rungs, resolve_results_dir
from eomtlib.study.parameters.settings import PARAMETERS
from eomtlib.study.records.kinds import TimingRecord
from eomtlib.study.records.store import RunResult
from eomtlib.study.study import Study
from eomtlib.study.timing_rounds import TimingJob, time_in_rounds
from eomtlib.training.loop.fit import trained_steps

_ROUNDS = 3
"""Of timing: a third of the study's, which times its models anew."""


def run(chosen: argparse.Namespace) -> None:
    """Times the models, trains until it is time to end, and draws where the runs stand then."""
    began, seconds = psutil.Process().create_time(), 60 * chosen.minutes
    if not seconds > 0:
        raise ConfigurationError(f"minutes={chosen.minutes:g} must be more than 0.")
    study, rungs = Study(jobs=0, results_dir=chosen.results_dir), parse_rungs(chosen.rungs)
    say(f"A look at {len(rungs)} of the {len(study.runs)} runs of make ablation.")
    timings = time_rungs(study, rungs)
    # What comes after training takes about as long as what came before it, and a little more.
    now = time.time()
    ends = now + max(seconds / 3, seconds - 2.2 * (now - began))
    folders = [run.folder for run in study.first_runs if run.rung in rungs]

    def is_over() -> bool:
        # On a crowded machine a look takes longer, rather than to show nothing.
        return time.time() > ends and all(map(trained_steps, folders))

    threads = study.begin(rungs, is_over=is_over)
    torch.set_num_threads(threads)  # as the study evaluates
    results = standing(study, timings)
    if not results:
        raise EomtlibError(
            f"no run in {study.results_dir} has come to a state yet; other processes may be at "
            f"them. Look again later, or go on with the study: {_next_command(study)}"
        )
    write_look(study, results)


def time_rungs(study: Study, rungs: Sequence[str]) -> dict[str, TimingRecord]:
    """Rung → its timing, in turns and in the study's first way; nothing is written."""
    runs = [run for run in study.first_runs if run.rung in rungs]
    jobs = [TimingJob(run, *run.identity.variants[0]) for run in runs]
    return {record.rung: record for record in time_in_rounds(jobs, most=_ROUNDS)}


def standing(study: Study, timings: dict[str, TimingRecord]) -> list[RunResult]:
    """What the runs of some rungs come to now, those that have come to anything."""
    runs = [run for run in study.first_runs if run.rung in timings]
    results = [run.standing([timings[run.rung]]) for run in runs]
    return [result for result in results if result.evaluation is not None]


def write_look(study: Study, results: Sequence[RunResult]) -> None:
    """Draws and says where runs stand, and what to type next.

    Args:
        study: that they are of.
        results: of ``standing``, at least one.
    """
    settings, root = study.settings, study.results_dir
    frame, figure = model_frame(results), FIGURES[settings.task][0]
    timings = [result.timing for result in results]
    leading = Leading(
        kind="measured",
        points=frame[["model", "rung", "fps", figure]].assign(
            unfinished=[result.unfinished for result in results]
        ),
        along=None,
        title=f"{ACCURACIES[figure]} × FPS: where the runs stand, not what they come to",
        subtitle=f"{settings.size} · {settings.dataset} · {measured_under(timings)}",
        note="Each had the same time, in which a faster model does more steps.",
    )
    what = (
        "These runs of the ablation study are shown where they stand, which is no result yet; "
        "this trains them to their end, and the other rungs:"
    )
    command = _next_command(study)
    answer = Answer(
        question="Does a segmentation model need more than a ViT? A first look",
        sentences=(*speed_sentences(frame), "Accuracies are of trainings that have not ended."),
        next_steps=((what, command),),
    )
    drawn = leading.draw()
    written = save_figure(drawn, root / "figures" / "look" / "pareto")
    plt.close(drawn)
    page = write_report(
        root / "look.html",
        RecordedStudy(f"a look at {study.name}", list(results)),
        study.store,
        pictures=val_pictures(study.first_runs[0].materials.val_set, 4, task=settings.task),
        device=settings.device,
        answer=answer,
        leading=leading,
    )
    rows: list[dict[str, Any]] = []
    for model, result in zip(frame["model"], results, strict=True):
        metrics, fps = result.evaluation.metrics, result.timing.fps_model
        show(f"{model}: {ACCURACIES[figure]} {metrics[figure]:.1f}, {fps:.3g} images a second")
        row = {"rung": result.timing.rung, "unfinished": result.unfinished}
        rows.append(row | {"metrics": metrics, "fps": fps})
    for path in (page, *written):
        show(f"Written: {path}")
    show(f"\n{what}\n  {command}")
    deliver({"runs": rows, "written": [page, *written], "next": command})


def _next_command(study: Study) -> str:
    usual = resolve_results_dir(PARAMETERS["results_dir"].default)
    where = [] if study.results_dir == usual else [f"OUT={study.results_dir}"]
    return shlex.join(["make", "ablation", *where])
