"""The book: every notebook, executed one after the other, and a page that shows what came out."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import papermill

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.escaping import for_markdown
from eomtlib.core.files.atomic_files import write_file
from eomtlib.core.words import SHIPPED
from eomtlib.study.parameters.defaults import GALLERY_DURATION
from eomtlib.study.parameters.settings import PARAMETERS


@dataclass(frozen=True)
class Chapter:
    """One question of the study, and the notebook that answers it.

    Attributes:
        notebook: its name, without an ending.
        cpu, cuda: parameters on a machine of that kind, beside those that all have.
        takes_seeds: whether it trains, and with how many seeds is asked.
        gallery: parameters for the gallery, over those.
        name: of the executed notebook, where several chapters execute one; such chapters are the
            gallery's alone.
        question: where the notebook's title does not say it.
    """

    notebook: str
    cpu: Mapping[str, Any] = field(default_factory=dict)
    cuda: Mapping[str, Any] = field(default_factory=dict)
    takes_seeds: bool = True
    gallery: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    question: str = ""

    @property
    def file(self) -> str:
        """Of the executed notebook."""
        return f"{self.name or self.notebook}.ipynb"

    def parameters(self, kind: str) -> Mapping[str, Any]:
        """On a ``cpu`` or on ``cuda``."""
        return {"cpu": self.cpu, "cuda": self.cuda}[kind]

    def source(self, folder: Path) -> Path:
        """Its file in the folder of notebooks."""
        return folder / f"{self.notebook}.ipynb"


_NANO, _SMALL = {"size": "nano"}, {"size": "small"}
_OWN = {"pretrainings": "none,mim"}  # a GPU's node may have no network
_HERE = {"records": "{results_dir}"}
_HERE_AND_ON_A_GPU = {"records": "{results_dir},results/gallery/gpu"}
_THREE, _FIVE, _ALL = {"seeds": "0,1,2"}, {"seeds": "0,1,2,3,4"}, {"rungs": "all"}
_GAP = "vit-adapter-m2f,eomt"


def _own_question(question: str, vary: str, name: str = "") -> Chapter:
    own = _THREE | {"vary": vary}
    return Chapter("own_question", _NANO, _SMALL, gallery=own, name=name, question=question)


CHAPTERS: tuple[Chapter, ...] = (
    Chapter("ablation", _NANO, _SMALL, gallery=_FIVE),
    Chapter(
        "ablation",
        gallery=_FIVE | _NANO | {"duration": ""},
        name="ablation-short",
        question="What is left of it in ten minutes?",
    ),
    Chapter("pretraining", _NANO, _SMALL | _OWN | _ALL, gallery=_FIVE | {"rungs": f"{_GAP},pmt"}),
    Chapter(
        "pretraining",
        gallery=_THREE | {"size": "micro", "pretrainings": f"none,{SHIPPED}", "rungs": _GAP},
        name="pretraining-micro",
        question="Does it hold for a larger ViT?",
    ),
    Chapter(
        "model_size",
        {"sizes": "nano,micro"},
        {"sizes": "small,base,large"} | _ALL,
        gallery=_THREE | {"rungs": _GAP},
    ),
    Chapter("mask_annealing", _NANO, _SMALL, gallery=_FIVE | {"models": "eomt"}),
    Chapter("query_blocks", _NANO, _SMALL),
    Chapter("frozen_encoder", _NANO, _SMALL | {"pretraining": "mim"}),
    _own_question("Is the learning rate the right one?", "lr=1e-3,5e-4,2e-3"),
    _own_question("How much of the encoder must learn?", "freeze=none,3,encoder", "frozen-blocks"),
    _own_question(
        "Do empty queries weigh too little, with masks and without?",
        "no_object_weight=0.1,0.4; rung=eomt,eomt-masked",
        "masking-and-empty-queries",
    ),
    Chapter("speed", {"sizes": "nano"}, takes_seeds=False),
    Chapter("fidelity", takes_seeds=False, gallery={"encoder_sizes": "small,base,large,giant"}),
    Chapter("paper_tables", _HERE, _HERE, takes_seeds=False, gallery=_HERE_AND_ON_A_GPU),
    Chapter("explore", _NANO, _SMALL, takes_seeds=False),
)
"""The study in the order of its questions: ``shapes``, at sizes that an hour or two of the machine
can train. The gallery takes some hours more."""


def run_study(
    notebooks: Path,
    *,
    results_dir: Path,
    device: str,
    seeds: str = "",
    only: Sequence[str] = (),
    for_gallery: bool = False,
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
        seeds: of those that train, comma-separated; 0 when empty, or what the gallery has.
        only: names of notebooks; all when empty.
        for_gallery: whether with the gallery's parameters, and all of its questions.
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
    chapters = [chapter for chapter in CHAPTERS if for_gallery or not chapter.name]
    names = list(dict.fromkeys(chapter.notebook for chapter in chapters))
    if unknown := [name for name in only if name not in names]:
        raise ConfigurationError(
            f"only={','.join(only)}: {unknown[0]!r} is no notebook of the study; choose from "
            f"{', '.join(names)}."
        )
    chapters = [chapter for chapter in chapters if not only or chapter.notebook in only]
    for source in (chapter.source(notebooks) for chapter in chapters):
        if not source.is_file():
            raise ConfigurationError(f"{source} does not exist; run this inside the repository.")
    out = results_dir / "notebooks"
    out.mkdir(parents=True, exist_ok=True)
    for number, chapter in enumerate(chapters, start=1):
        say(f"{number} of {len(chapters)}: {chapter.name or chapter.notebook}")
        source = chapter.source(notebooks)
        given = {"results_dir": str(named), "device": device, "seeds": "0"}
        given |= chapter.parameters(kind)
        given |= {"duration": GALLERY_DURATION} if for_gallery and kind == "cpu" else {}
        given |= chapter.gallery if for_gallery else {}
        given |= {"seeds": seeds} if seeds else {}
        given = {name: str(value).format(results_dir=named) for name, value in given.items()}
        given |= parameters or {}
        known = papermill.inspect_notebook(source)
        began = time.time()
        executed = papermill.execute_notebook(
            source,
            out / chapter.file,
            parameters={name: value for name, value in given.items() if name in known},
            kernel_name="python3",
            cwd=root,
            progress_bar=False,
        )
        executed.metadata["eomtlib"] = {"folders": _written_since(began, results_dir)}
        write_file(out / chapter.file, nbformat.writes(executed))
    return write_index(results_dir)


_ABOVE = "<!-- What stands above this line is written by hand and kept. -->"
_LEFT_OUT = (".svg", ".tex")
"""What is for papers, and is not shown on a page."""
_COPIED = {"notebooks": "*.ipynb", "figures": "*/*", "tables": "*/*", "records": "*.json"}
_LEADING = ("gaps", "factors", "pareto", "accuracy", "changes", "attention", "speed")
_LEADING += ("schedules", "layers")
"""Names of figures: the first of them that a notebook has is shown, all others are linked."""


def write_index(folder: Path) -> Path:
    """Writes ``README.md`` into a folder: of each notebook its question, its answer and a figure.

    What was written by hand is kept: what stands above the mark, or a whole page without one.

    Args:
        folder: a results folder, or one of several, whose notebooks ``run_study`` has executed.

    Returns:
        The page.
    """
    page = folder / "README.md"
    above = "# What was measured\n"
    if page.is_file():
        above = page.read_text().partition(_ABOVE)[0].rstrip() + "\n"
    order = [chapter.file for chapter in CHAPTERS]
    found = sorted(folder.rglob("notebooks/*.ipynb"))
    found.sort(key=lambda path: order.index(path.name) if path.name in order else len(order))
    write_file(page, "\n".join([above, f"{_ABOVE}\n", *(_section(path, folder) for path in found)]))
    return page


def _section(notebook: Path, page: Path) -> str:
    """A question, its answer, a figure; then in small print whatever else there is."""
    content = json.loads(notebook.read_text())
    folders = content["metadata"].get("eomtlib", {}).get("folders", [])
    tables, figures = (
        [path for name in folders for path in sorted((notebook.parents[1] / kind / name).glob(end))]
        for kind, end in (("tables", "*.md"), ("figures", "*.png"))
    )
    question, said = _asked(content)
    own = [c.question for c in CHAPTERS if c.file == notebook.name and c.question]
    question = for_markdown(*own) if own else question
    shown = [path for name in _LEADING for path in figures if path.stem == name][:1]
    pictures = [f"![{question}]({_address(path, page)})\n" for path in shown]
    small = [f"[notebook]({_address(notebook, page)})"]
    others = [path for path in figures if path not in shown]
    for kind, paths in (("tables", tables), ("figures", others)):
        links = ", ".join(f"[{for_markdown(p.stem)}]({_address(p, page)})" for p in paths)
        small += [f"{kind}: {links}"] if links else []
    small += [for_markdown(name) for name in folders]
    return "\n".join(
        [f"## {question}\n", f"{said}\n", *pictures, f"<sub>{' · '.join(small)}</sub>\n"]
    )


def _asked(notebook: Mapping[str, Any]) -> tuple[str, str]:
    """The title, and the answer; where there is none, what the notebook says of the question.

    The answer is what a cell tagged ``answer`` shows, or one that ends in ``display(answer)``.
    """
    cells = [(cell, "".join(cell["source"]).strip()) for cell in notebook["cells"]]
    texts = [text for cell, text in cells if cell["cell_type"] == "markdown"]
    head = next((text for text in texts if text.startswith("# ")), "# Untitled")
    title, _, about = head.removeprefix("# ").partition("\n")
    said = re.sub(r"[^.]*:$", "", about.strip().partition("\n\n")[0]).strip()  # before a list
    for cell, text in cells:
        tags = cell["metadata"].get("tags", [])
        if "answer" in tags or text.endswith("display(answer)"):
            shown = [output.get("data", {}).get("text/markdown") for output in cell["outputs"]]
            said = "".join(next(filter(None, shown), said))
    first, _, rest = said.partition("\n\n")
    # Below its heading the question is not said again.
    return for_markdown(title), rest if first.startswith("**") and first.endswith("**") else said


def collect(results_dir: Path, target: Path) -> Path:
    """Copies notebooks, figures, tables and records, without weights, and writes a page.

    Args:
        results_dir: of a study.
        target: of the page; copies go to its folder ``study``. What is in it already stays, files
            of the same name are replaced.

    Returns:
        The page.
    """
    for name, pattern in _COPIED.items():
        for path in sorted((results_dir / name).glob(pattern)):
            if path.is_file() and not path.name.startswith(".") and path.suffix not in _LEFT_OUT:
                copy = target / "study" / name / path.relative_to(results_dir / name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix == ".ipynb":
                    _copy_notebook(path, copy, results_dir)
                else:
                    shutil.copyfile(path, copy)
    return write_index(target)


def _copy_notebook(path: Path, copy: Path, results_dir: Path) -> None:
    """A notebook without what it says of where it lay; results are said to be in the default."""
    notebook = json.loads(path.read_text())
    told = notebook["metadata"].get("papermill", {})
    for name in ("input_path", "output_path"):
        if name in told:
            told[name] = Path(told[name]).name
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    write_file(copy, text.replace(str(results_dir.resolve()), PARAMETERS["results_dir"].default))


def _written_since(began: float, results_dir: Path) -> list[str]:
    """The folders of figures and tables that have something written since then."""
    paths = [path for kind in ("figures", "tables") for path in (results_dir / kind).glob("*/*")]
    return sorted({path.parent.name for path in paths if path.stat().st_mtime >= began})


def _address(path: Path, page: Path) -> str:
    """Of a file below the folder of a page."""
    return quote(path.relative_to(page).as_posix())
