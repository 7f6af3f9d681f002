"""A page of what a results folder shows, and a copy of it without the weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from eomtlib.core.atomic_files import write_file

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
    lines = [above, _ABOVE, ""]
    notebooks = sorted((folder / "notebooks").glob("*.ipynb"))
    for path in notebooks:
        title = _title(path)
        lines += [f"- [{title}](notebooks/{path.name})"]
    for name in sorted(_folders(folder / "figures") | _folders(folder / "tables")):
        lines = [*lines[: -1 if lines[-1] == "" else None], "", f"## {name}", ""]
        tables = sorted((folder / "tables" / name).glob("*.md"))
        lines += [f"Tables: {', '.join(_link(folder, table) for table in tables)}", ""] * bool(
            tables
        )
        for figure in sorted((folder / "figures" / name).glob("*.png")):
            lines += [f"![{figure.stem}]({figure.relative_to(folder).as_posix()})", ""]
    text = "\n".join(lines).rstrip() + "\n"
    write_file(page, text)
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


def _folders(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*") if path.is_dir()}


def _link(folder: Path, path: Path) -> str:
    return f"[{path.stem}]({path.relative_to(folder).as_posix()})"


def _title(notebook: Path) -> str:
    """The first heading of a notebook."""
    for cell in json.loads(notebook.read_text())["cells"]:
        for line in "".join(cell["source"]).splitlines():
            if cell["cell_type"] == "markdown" and line.startswith("# "):
                return line.removeprefix("# ").strip()
    return notebook.stem
