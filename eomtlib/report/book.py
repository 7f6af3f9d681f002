"""The book: every notebook, executed one after the other, and a page that shows what came out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import papermill

from eomtlib.core.atomic_files import write_file
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.escaping import for_markdown


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

    def source(self, folder: Path) -> Path:
        """Its file in the folder of notebooks."""
        return folder / f"{self.notebook}.ipynb"


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
    Chapter("own_question", _NANO, _SMALL),
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
    named = results_dir.relative_to(root) if results_dir.is_relative_to(root) else results_dir
    kind = device.partition(":")[0]
    names = [chapter.notebook for chapter in CHAPTERS]
    if unknown := [name for name in only if name not in names]:
        raise ConfigurationError(
            f"only={','.join(only)}: {unknown[0]!r} is no notebook of the study; choose from "
            f"{', '.join(names)}."
        )
    chapters = [chapter for chapter in CHAPTERS if not only or chapter.notebook in only]
    for source in (chapter.source(notebooks) for chapter in chapters):
        if not source.is_file():
            raise ConfigurationError(f"{source} does not exist; run this inside the repository.")
    out = results_dir / "notebooks"
    out.mkdir(parents=True, exist_ok=True)
    for number, chapter in enumerate(chapters, start=1):
        say(f"{number} of {len(chapters)}: {chapter.notebook}")
        source = chapter.source(notebooks)
        own = chapter.parameters(kind).items()
        given = {name: str(value).format(results_dir=named) for name, value in own}
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


_ABOVE = "<!-- What stands above this line is written by hand and kept. -->"
_LEFT_OUT = (".svg", ".tex")
"""What is for papers, and is not shown on a page."""
_COPIED = {"notebooks": "*.ipynb", "figures": "*/*", "tables": "*/*", "records": "*.json"}


def write_index(folder: Path) -> Path:
    """Writes ``README.md`` into a results folder: its notebooks, then its figures and tables.

    What was written by hand is kept: what stands above the mark, or a whole page without one.

    Args:
        folder: with the folders ``notebooks``, ``figures`` and ``tables``.

    Returns:
        The page.
    """
    page = folder / "README.md"
    above = "# What was measured\n"
    if page.is_file():
        above = page.read_text().partition(_ABOVE)[0].rstrip() + "\n"
    notebooks = sorted((folder / "notebooks").glob("*.ipynb"))
    links = [f"- {_link(_title(path), path, folder)}" for path in notebooks]
    parts = [above, f"{_ABOVE}\n", "\n".join([*links, ""]) if links else ""]
    kinds = ("figures", "tables")
    inside = [path for kind in kinds for path in (folder / kind).glob("*") if path.is_dir()]
    for name in sorted({path.name for path in inside}):
        tables = sorted((folder / "tables" / name).glob("*.md"))
        figures = sorted((folder / "figures" / name).glob("*.png"))
        said = ", ".join(_link(path.stem, path, folder) for path in tables)
        parts += [f"## {for_markdown(name)}\n", f"Tables: {said}\n" if said else ""]
        parts += [f"!{_link(path.stem, path, folder)}\n" for path in figures]
    write_file(page, "\n".join(part for part in parts if part))
    return page


def collect(results_dir: Path, target: Path) -> Path:
    """Copies notebooks, figures, tables and records, without weights, and writes the page there.

    Args:
        results_dir: of a study.
        target: what is in it already stays, files of the same name are replaced.

    Returns:
        The page.
    """
    for name, pattern in _COPIED.items():
        for path in sorted((results_dir / name).glob(pattern)):
            if path.is_file() and not path.name.startswith(".") and path.suffix not in _LEFT_OUT:
                copy = target / name / path.relative_to(results_dir / name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix == ".ipynb":
                    _copy_notebook(path, copy)
                else:
                    shutil.copyfile(path, copy)
    return write_index(target)


def _copy_notebook(path: Path, copy: Path) -> None:
    """A notebook without what papermill says of where it lay."""
    notebook = json.loads(path.read_text())
    told = notebook["metadata"].get("papermill", {})
    for name in ("input_path", "output_path"):
        if name in told:
            told[name] = Path(told[name]).name
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    write_file(copy, text)


def _link(text: str, path: Path, page: Path) -> str:
    """To a file in the folder of the page."""
    return f"[{for_markdown(text)}]({quote(path.relative_to(page).as_posix())})"


def _title(notebook: Path) -> str:
    """The first heading of a notebook."""
    for cell in json.loads(notebook.read_text())["cells"]:
        for line in "".join(cell["source"]).splitlines():
            if cell["cell_type"] == "markdown" and line.startswith("# "):
                return line.removeprefix("# ").strip()
    return notebook.stem
