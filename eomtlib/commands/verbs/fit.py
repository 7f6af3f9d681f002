"""``fit``: training and evaluation of rungs, on one device or many."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from eomtlib.commands.next_commands import OF_DATA, next_commands
from eomtlib.core.console import deliver, say, show
from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.hyperparameters import value_of
from eomtlib.core.machine import distributed
from eomtlib.core.words import FIGURES
from eomtlib.models.checkpoints.own import MODEL
from eomtlib.study.parameters.overriding import overrides_of
from eomtlib.study.parameters.parsing import plain
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.parameters.settings import (
    PARAMETERS,
    Settings,
    StudyParameters,
    parameters_of,
)
from eomtlib.study.records.kinds import EvaluationRecord
from eomtlib.study.records.store import RunResult
from eomtlib.study.runs.identity import chosen_recipe
from eomtlib.study.study import Study
from eomtlib.training.hyperparameters import HYPERPARAMETERS

_IN_FULL = 2
"""Runs whose classes are shown one by one; of more, each gets a line."""


def run(chosen: argparse.Namespace) -> None:
    """Trains and evaluates what is not finished, and says what came out."""
    given = read_configuration(chosen)
    if chosen.print_config:
        shown = given if chosen.raw else resolved(given)
        show((write_configuration(shown) + ("" if chosen.raw else write_recipes(shown))).rstrip())
        deliver({name: _plain(name, value) for name, value in shown.items()})
        return
    distributed.join(str(given.get("device", "auto")))
    try:
        _fit({"rungs": "eomt", "jobs": 0} | given)
    finally:
        distributed.leave()


def _fit(parameters: dict[str, Any]) -> None:
    study = Study(**parameters)
    plan = study.plan(timed=False)  # all processes look for records together
    if distributed.is_first():
        say("\n".join(plan.said))
    results = study.learn()
    if distributed.is_first():
        _tell(study, results)


def _tell(study: Study, results: Sequence[RunResult]) -> None:
    """Says what came of each run, draws what it gets wrong, and ends in what to type next."""
    # Drawing libraries come with it, which --print-config does not need.
    from eomtlib.report.evaluated import write_figures
    from eomtlib.report.losses import loss_sentences
    from eomtlib.report.screen import class_lines, headline, never_found

    for one, result in zip(study.runs, results, strict=True):
        record, folder = result.evaluation, study.store.root / "figures" / result.folder.name
        show(f"\n{one.rung}, seed {one.settings.seed}: {headline(record.task, record.metrics)}")
        if len(results) <= _IN_FULL:
            lines = class_lines(record, rest=str(study.store.path(record)))
            show("\n".join([*loss_sentences(record.errors), "", *lines, ""]))
        else:
            show(never_found(record))
        show(f"Written: {result.folder / MODEL}")
        if record.confusion and not _is_drawn(folder, record):
            segmenter = one.maker.segmenter(one.maker.trained(result.folder / MODEL))
            write_figures(folder, record, dataset=one.materials.val_set, segmenter=segmenter)
        if record.confusion:
            show(f"Written: {folder} (confusion, worst images)")
    answer = _answer(study) if study.factors else []
    for line in answer:
        show(line)
    runs = [
        {
            "rung": one.rung,
            "seed": one.settings.seed,
            "task": one.settings.task,
            "metrics": result.evaluation.metrics,
            "per_class": result.evaluation.per_class,
            "model": result.folder / MODEL,
        }
        for one, result in zip(study.runs, results, strict=True)
    ]
    deliver({"runs": runs, "answer": answer, "label": study.label})
    best = max(results, key=lambda result: _figure(result.evaluation))
    one = study.runs[list(results).index(best)]
    given = {name: getattr(one.settings, name) for name in OF_DATA}
    say(
        next_commands(
            best.folder.name,
            given | {"results_dir": study.store.root},
            evaluated=one.materials.val_set,
            split="val",
            num_images=best.evaluation.num_images,
        )
    )


def _is_drawn(folder: Path, record: EvaluationRecord) -> bool:
    """Whether the figures of an evaluation are there, and not of an earlier one."""
    figure = folder / "confusion.png"
    made = datetime.fromisoformat(record.created).timestamp()
    return figure.is_file() and figure.stat().st_mtime >= made


def _figure(record: EvaluationRecord) -> float:
    figure = record.metrics[FIGURES[record.task][0]]
    return -1.0 if math.isnan(figure) else figure


def _answer(study: Study) -> list[str]:
    """What the values of what was varied come to, as a table and in words."""
    # Drawing libraries come with it, which no other fit needs.
    from eomtlib.report.answers import own_answer
    from eomtlib.report.frame import accuracies, accuracy_of
    from eomtlib.report.uncertainty import over_seeds

    frame, factors = accuracies(study), list(study.factors)
    figure = accuracy_of(frame)
    table = over_seeds(frame, factors)[[figure, f"{figure}_std", "seeds"]]
    answer = own_answer(study, frame, factors)
    return [table.round(2).to_string(), *answer.sentences, *answer.doubts]


def read_configuration(chosen: argparse.Namespace) -> dict[str, Any]:
    """What was given: the parameters of the file, under those that were given one by one.

    Raises:
        ConfigurationError: when the file cannot be read, or names something else.
    """
    given = _read_file(Path(chosen.config).expanduser()) if chosen.config else {}
    known = [name for name in PARAMETERS if name not in ("seed", "train")] + list(HYPERPARAMETERS)
    for name in given:
        check_choice(f"{chosen.config}: parameter", name, known)
    given |= {name: value for name, value in vars(chosen).items() if name in known}
    return {name: value for name, value in given.items() if plain(value) is not None}


def resolved(given: dict[str, Any]) -> dict[str, Any]:
    """Everything that decides a run, given or not, checked.

    Raises:
        ConfigurationError: naming the parameter, its value and the fix.
    """
    own = parameters_of(StudyParameters)
    study = StudyParameters(
        **{"rungs": "eomt"} | {name: value for name, value in given.items() if name in own}
    )
    settings = resolve_settings(**{n: value for n, value in given.items() if n not in own})
    values = {name: getattr(study, name) for name in own}
    values |= {name: getattr(settings, name) for name in parameters_of(Settings)}
    return {name: value for name, value in values.items() if name not in ("train", "seed")}


def write_recipes(values: dict[str, Any]) -> str:
    """The hyper-parameters of each rung as comments of YAML, and which of them were given.

    Args:
        values: as ``resolved`` returns them.
    """
    settings = Settings(
        **{name: values[name] for name in parameters_of(Settings) if name in values}
    )
    own, lines = overrides_of(settings.overrides), []
    for rung in values["rungs"]:
        recipe = chosen_recipe(rung, settings)
        lines.append(f"# hyper-parameters of {rung}:")
        for name, known in HYPERPARAMETERS.items():
            source = "given" if name in own else "recipe"
            lines.append(f"#   {name}: {value_of(recipe, known)} ({source})")
    return "\n".join(lines) + "\n"


def write_configuration(parameters: dict[str, Any]) -> str:
    """As YAML, which ``--config`` reads; without what was not said."""
    said = {
        name: _plain(name, value)
        for name, value in parameters.items()
        if value not in (None, "", ())
    }
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return ("x" if name == "image_size" else ",").join(map(str, value))
    return value


def _read_file(path: Path) -> dict[str, Any]:
    try:
        # JSON is YAML. All values stay texts, as on the command line: YAML makes numbers of
        # folders and of times, and False of "off".
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"config={str(path)!r} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"config={str(path)!r} must hold names and values, such as 'size: large'."
        )
    for name, value in content.items():
        parts = [value] if isinstance(value, str) else list(_leaves(name, value))
        if not all(isinstance(part, str) for part in parts):
            raise ConfigurationError(
                f"config={str(path)!r}: {name} must be a number, a text, true, false, or a list "
                f"of these, and is {value!r}."
            )
    return content


def _leaves(name: str, value: Any) -> Iterator[Any]:
    """What is in a list, or behind the names of ``overrides`` and ``vary``."""
    if isinstance(value, list):
        yield from value
    elif name in ("overrides", "vary") and isinstance(value, dict):
        for item in value.values():
            yield from item if isinstance(item, list) else [item]
    else:
        yield value
