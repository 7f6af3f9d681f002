"""``fit``: training and evaluation of rungs, on one device or many."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from eomtlib.core import distributed
from eomtlib.core.console import deliver, say, show
from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.hyperparameters import value_of
from eomtlib.study.identity import chosen_recipe
from eomtlib.study.overriding import overrides_of
from eomtlib.study.parameters import (
    PARAMETERS,
    Settings,
    StudyParameters,
    parameters_of,
)
from eomtlib.study.parsing import plain
from eomtlib.study.settings import resolve_settings
from eomtlib.study.study import Study
from eomtlib.training.hyperparameters import HYPERPARAMETERS


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
    runs = []
    for one, result in zip(study.runs, study.learn(), strict=True):
        if distributed.is_first():
            metrics = result.evaluation.metrics
            shown = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
            show(f"{one.rung}, seed {one.settings.seed}: {shown}")
            show(f"Written: {result.folder / 'model'}")
            runs.append(
                {
                    "rung": one.rung,
                    "seed": one.settings.seed,
                    "task": one.settings.task,
                    "metrics": metrics,
                    "per_class": result.evaluation.per_class,
                    "model": result.folder / "model",
                }
            )
    if not distributed.is_first():
        return
    answer = _answer(study) if study.factors else []
    for line in answer:
        show(line)
    deliver({"runs": runs, "answer": answer, "label": study.label})


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
