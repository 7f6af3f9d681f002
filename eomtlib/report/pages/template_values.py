"""What a report shows of a study's records, as the values that its template takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import accuracy_of, of_results
from eomtlib.report.leading import Leading
from eomtlib.report.pages.recorded import variants
from eomtlib.report.plots.curves import LOSS, running_loss
from eomtlib.report.plots.pareto import pareto_front
from eomtlib.report.plots.style import RUNG_COLORS, RUNG_MARKERS
from eomtlib.report.screen import confusions
from eomtlib.report.tables.formats import HEADINGS, cell
from eomtlib.report.tables.measured import measured_table
from eomtlib.study.records.kinds import EvaluationRecord
from eomtlib.study.records.store import RunResult
from eomtlib.training.loop.fit import read_curves

_COLUMNS = ("fps", "fps_end_to_end", "params_m", "gmacs", "train_minutes")
_POINTS_OF_A_CURVE = 100
_MOST_LOSSES = 12
_SETTINGS = {
    "rung": "models",
    "size": "size of the encoder",
    "pretraining_used": "pretraining",
    "dataset": "data set",
    "task": "task",
    "image_size": "image size",
    "steps": "steps",
    "epochs": "epochs",
    "batch_size": "batch size",
    "seed": "seeds",
    "label": "note",
}
_VERSIONS = ("eomtlib", "commit", "python", "torch", "timm", "lightning", "driver")


def model_frame(results: Sequence[RunResult]) -> pd.DataFrame:
    """``frame.of_results`` with a column ``model``: a rung's title, and what is chosen in it."""
    frame, chosen = of_results(results), variants(results)
    titles = [LADDER[rung].title for rung in frame["rung"]]
    names = [f"{t} ({c})" if c else t for t, c in zip(titles, chosen, strict=True)]
    return frame.assign(model=names)


def table(frame: pd.DataFrame) -> tuple[list[str], list[list[dict[str, Any]]]]:
    """Headings, and of each model its cells: a ``text``, and a ``value`` to sort by.

    Args:
        frame: of ``model_frame``.
    """
    means, figure = measured_table(frame, ["model", "rung"]), accuracy_of(frame)
    columns = [name for name in (figure, *_COLUMNS) if name in means and means[name].notna().any()]
    headings = [HEADINGS[name] for name in columns]
    rows = []
    for place, ((model, rung), row) in enumerate(means.iterrows()):
        cells = [{"text": model, "value": place, "color": _color(rung)}]
        for name, heading in zip(columns, headings, strict=True):
            spread = row[f"{figure}_std"] if name == figure else float("nan")
            value = None if pd.isna(row[name]) else row[name]
            cells.append({"text": cell(heading, row[name], spread), "value": value})
        rows.append(cells)
    return ["model", *headings], rows


def pareto(leading: Leading) -> dict[str, Any] | None:
    """The plot that leads: accuracy over speed, with the line through what nothing else beats.

    Args:
        leading: chosen; None comes of one that has no accuracy.
    """
    shown = leading.points
    if leading.kind == "speed" or "fps" not in shown or shown[accuracy_of(shown)].isna().all():
        return None
    figure = accuracy_of(shown)
    shown = shown.dropna(subset=["fps", figure]).reset_index(drop=True)
    heading = f"{ACCURACIES[figure]} (%)" + (", printed" if leading.kind == "printed" else "")
    series = []
    for row in shown.to_dict("records"):
        spread = row.get(f"{figure}_std", float("nan"))
        beside = "" if pd.isna(spread) else f" ± {spread:.1f}"
        point = [row["fps"], row[figure], None if pd.isna(spread) else spread]
        name = row.get("model", LADDER[row["rung"]].title)
        name += f", {row[leading.along]}" if leading.along else ""
        said = [f"{heading}: {row[figure]:.1f}{beside}", f"FPS: {row['fps']:.3g}"]
        series.append(_series(name, row["rung"], [point]) | {"said": said})
    front = shown.iloc[pareto_front(shown["fps"].to_numpy(float), shown[figure].to_numpy(float))]
    return {
        "x": {"label": "images per second (FPS), model alone, logarithmic", "log": True},
        "y": {"label": heading, "log": False, "least": 10},
        "series": series,
        "front": front[["fps", figure]].to_numpy().tolist(),
        "alt": leading.alt,
    }


def curves(frame: pd.DataFrame, results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Plots of the first seed's loss, and of its figures while it trained, where they are logged.

    Args:
        frame: of ``model_frame``.
        results: the same runs; those whose folder is gone are left out.
    """
    figure = accuracy_of(frame)
    loss, validated = [], []
    for row, result in zip(frame.to_dict("records"), results, strict=True):
        if result.folder is None or row.get("seed") != frame["seed"].min():
            continue
        logged = read_curves(result.folder)
        loss.append(_line(row, *running_loss(logged)))
        if f"val_{figure}" in logged:
            known = logged.dropna(subset=[f"val_{figure}"])
            validated.append(_line(row, known["step"] + 1, known[f"val_{figure}"]))
    named = {LOSS: loss, f"{ACCURACIES[figure]} (%) on validation images": validated}
    return [
        {
            "x": {"label": "step", "log": False},
            "y": {"label": label, "log": label == LOSS},
            "series": [line for line in lines if line["points"]],
        }
        for label, lines in named.items()
        if any(line["points"] for line in lines)
    ]


def classes(frame: pd.DataFrame, results: Sequence[RunResult]) -> pd.DataFrame:
    """The accuracy of each class by each model in percent, means over seeds, the worst class last.

    Args:
        frame: of ``model_frame``.
        results: the same runs.
    """
    figure = accuracy_of(frame)

    def of_class(evaluation: EvaluationRecord) -> dict[str, float | None]:
        own = {"miou": "iou"}.get(figure, figure)
        return {name: figures.get(own) for name, figures in evaluation.per_class.items()}

    return _by_model(frame, results, of_class)


def losses(frame: pd.DataFrame, results: Sequence[RunResult]) -> pd.DataFrame:
    """Points that each model lost by kind of error or, of mIoU, by pair of classes; most first.

    Args:
        frame: of ``model_frame``.
        results: the same runs; those whose records do not say are left out.
    """

    def lost(evaluation: EvaluationRecord) -> dict[str, float | None]:
        pairs = evaluation.errors.get("pairs", ())
        taken = {f"{pair['true']} → {pair['predicted']}": pair["loss"] for pair in pairs}
        return evaluation.errors.get("kinds", {}) | taken

    return _by_model(frame, results, lost)[:_MOST_LOSSES]


def taken(frame: pd.DataFrame, results: Sequence[RunResult]) -> pd.DataFrame:
    """What each class is taken for most, in percent of its pixels, where the records say it.

    Args:
        frame: of ``model_frame``.
        results: the same runs.
    """

    def shares(evaluation: EvaluationRecord) -> dict[str, float | None]:
        rows = confusions(evaluation).itertuples()
        return {f"{row.true} → {row.predicted}": row.share for row in rows}

    return _by_model(frame, results, shares)[:_MOST_LOSSES]


def _by_model(
    frame: pd.DataFrame,
    results: Sequence[RunResult],
    figures_of: Callable[[EvaluationRecord], Mapping[str, float | None]],
) -> pd.DataFrame:
    """A column for each model of which there is anything, means over seeds; the largest on top."""
    columns = [
        pd.Series(figures_of(result.evaluation), name=model, dtype=float)
        for model, result in zip(frame["model"], results, strict=True)
        if result.evaluation is not None
    ]
    if not any(column.any() for column in columns):
        return pd.DataFrame()  # nothing, or zeros alone
    found = pd.concat(columns, axis=1).T.groupby(level=0, sort=False).mean().T.dropna(how="all")
    return found.loc[found.mean(axis=1).sort_values(ascending=False, kind="stable").index]


def configuration(results: Sequence[RunResult]) -> dict[str, dict[str, str]]:
    """What was run, with which versions, and where: a heading → names → values."""
    trainings = [r.training for r in results if r.training is not None]
    evaluations = [r.evaluation for r in results if r.evaluation is not None]
    timings = [timing for r in results for timing in r.timings]
    records = [*trainings, *evaluations, *timings]
    run = {said: _listed(trainings or timings, name) for name, said in _SETTINGS.items()}
    minutes = sum(training.wall_time_s for training in trainings) / 60
    run["training, in total"] = f"{minutes:.1f} min" if trainings else ""
    run["validation images"] = _listed(evaluations, "num_images")
    timed = {name: _listed(timings, name) for name in ("mode", "dtype", "attention_kernel")}
    timed["image size"] = _listed(timings, "cost_image_size")
    versions = {name: _listed([r.environment for r in records], name) for name in _VERSIONS}
    where = {"trained on": _listed(trainings, "machine"), "timed on": _listed(timings, "machine")}
    where["records"] = " to ".join(
        dict.fromkeys(f(r.created[:10] for r in records) for f in (min, max))
    )
    parts = {"What was trained": run, "How it was timed": timed, "Where": where}
    parts["Versions"] = versions
    return {
        head: {name: value for name, value in values.items() if value}
        for head, values in parts.items()
    }


def _line(row: Mapping[str, Any], x: pd.Series, y: pd.Series) -> dict[str, Any]:
    every = max(1, -(-len(x) // _POINTS_OF_A_CURVE))
    points = np.column_stack([x, y.round(4)])[::-1][::every][::-1]  # the last one is kept
    return _series(row["model"], row["rung"], points[np.isfinite(points).all(axis=1)].tolist())


def _series(name: str, rung: str, points: list[Any]) -> dict[str, Any]:
    style = {"color": _color(rung), "marker": RUNG_MARKERS[rung]}
    return {"name": name, **style, "points": points}


def _color(rung: str) -> str:
    """Black, which nobody sees on a dark page, is the colour of the text there."""
    return RUNG_COLORS[rung].replace("#000000", "currentColor")


def _listed(items: Sequence[Any], name: str) -> str:
    """All values of an attribute that occur."""
    values = [getattr(item, name, None) for item in items]
    texts = [
        "×".join(map(str, v)) if isinstance(v, tuple) else f"{v:g}" if isinstance(v, float) else v
        for v in values
        if v not in (None, "")
    ]
    return ", ".join(dict.fromkeys(map(str, texts)))
