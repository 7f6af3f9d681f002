"""The whole study: every notebook, executed one after the other, and a page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import papermill

from eomtlib.core.errors import ConfigurationError
from eomtlib.report.gallery import write_index


@dataclass(frozen=True)
class Chapter:
    """One notebook of the study.

    Attributes:
        notebook: its name, without an ending.
        cpu, cuda: parameters on a machine of that kind, beside those that all have.
        takes_seeds: whether it trains, and with how many seeds is asked.
    """

    notebook: str
    cpu: Mapping[str, Any] = field(default_factory=dict)
    cuda: Mapping[str, Any] = field(default_factory=dict)
    takes_seeds: bool = True

    def parameters(self, kind: str) -> Mapping[str, Any]:
        """On a ``cpu`` or on ``cuda``."""
        return {"cpu": self.cpu, "cuda": self.cuda}[kind]


_NANO, _SMALL = {"size": "nano"}, {"size": "small"}
_OWN = {"pretrainings": "none,mim"}  # a GPU's node may have no network
_HERE = {"records": "{results_dir}"}

CHAPTERS: tuple[Chapter, ...] = (
    Chapter("ablation", _NANO, _SMALL),
    Chapter("pretraining", _NANO, _SMALL | _OWN | {"rungs": "all"}),
    Chapter("model_size", {"sizes": "nano,micro"}, {"sizes": "small,base,large", "rungs": "all"}),
    Chapter("mask_annealing", _NANO, _SMALL),
    Chapter("query_blocks", _NANO, _SMALL),
    Chapter("frozen_encoder", _NANO, _SMALL | {"pretraining": "mim"}),
    Chapter("speed", {"sizes": "nano"}, takes_seeds=False),
    Chapter("fidelity", takes_seeds=False),
    Chapter("paper_tables", _HERE, _HERE, takes_seeds=False),
    Chapter("explore", _NANO, _SMALL, takes_seeds=False),
)
"""The study: ``shapes``, at sizes that an hour or two of the machine can train."""


def run_study(
    notebooks: Path,
    *,
    results_dir: Path,
    device: str,
    seeds: str = "0",
    only: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Executes the notebooks of the study and writes the page that shows them.

    What an earlier notebook or an interrupted study has finished is found again.

    Args:
        notebooks: the folder of their sources.
        results_dir: records, figures and tables go there, executed notebooks to its folder
            ``notebooks``.
        device: ``cpu``, ``cuda``, ...; it decides the size of the study.
        seeds: of those that train, comma-separated.
        only: names of notebooks; all when empty.
        parameters: for all notebooks that have them, over what the study says.
        say: gets a line for each notebook.

    Returns:
        The page, ``README.md`` in ``results_dir``.

    Raises:
        ConfigurationError: when a notebook is not of the study, or its source is missing.
        PapermillExecutionError: when a notebook fails; what it had finished is kept.
    """
    root = notebooks.resolve().parent  # where kernels run
    results_dir = results_dir.resolve()
    inside = results_dir.is_relative_to(root)
    named = results_dir.relative_to(root) if inside else results_dir
    kind = device.partition(":")[0]
    chapters = _chosen(CHAPTERS, only)
    for chapter in chapters:
        if not _source(notebooks, chapter).is_file():
            raise ConfigurationError(
                f"{_source(notebooks, chapter)} does not exist; run this inside the repository."
            )
    out = results_dir / "notebooks"
    out.mkdir(parents=True, exist_ok=True)
    for number, chapter in enumerate(chapters, start=1):
        say(f"{number} of {len(chapters)}: {chapter.notebook}")
        source = _source(notebooks, chapter)
        given = {
            name: str(value).format(results_dir=named)
            for name, value in chapter.parameters(kind).items()
        }
        given |= {"results_dir": str(named), "device": device}
        given |= {"seeds": seeds} if chapter.takes_seeds else {}
        given |= parameters or {}
        known = papermill.inspect_notebook(source)
        papermill.execute_notebook(
            source,
            out / source.name,
            parameters={name: value for name, value in given.items() if name in known},
            kernel_name="python3",
            cwd=root,
            progress_bar=False,
        )
    return write_index(results_dir)


def _chosen(chapters: Sequence[Chapter], only: Sequence[str]) -> list[Chapter]:
    names = [chapter.notebook for chapter in chapters]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ConfigurationError(
            f"only={','.join(only)}: {unknown[0]!r} is no notebook of the study; choose from "
            f"{', '.join(names)}."
        )
    return [chapter for chapter in chapters if not only or chapter.notebook in only]


def _source(notebooks: Path, chapter: Chapter) -> Path:
    return notebooks / f"{chapter.notebook}.ipynb"
