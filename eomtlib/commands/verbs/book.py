"""``book``: every notebook, one after the other, and a page of what came out."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

from papermill import PapermillExecutionError

from eomtlib.core.console import deliver, say, show
from eomtlib.core.errors import ConfigurationError, EomtlibError
from eomtlib.core.files.atomic_files import write_file
from eomtlib.core.machine.precision import resolve_device
from eomtlib.report.book import collect, run_study
from eomtlib.report.papers.printed import paper_dir
from eomtlib.report.quoted import quote
from eomtlib.study.parameters.parsing import resolve_results_dir


def run(chosen: argparse.Namespace) -> None:
    """Executes the notebooks, and says where their page is; or writes a text's figures."""
    if chosen.figures:
        path = Path(chosen.figures)
        if not path.is_file():
            raise ConfigurationError(f"--figures {path} is no file.")
        write_file(path, quote(path.read_text(), paper_dir().parent / "gallery"))
        show(f"Written: {path}")
        deliver({"written": [path]})
        return
    results_dir = resolve_results_dir(chosen.results_dir)
    try:
        page = run_study(
            Path(chosen.notebooks),
            results_dir=results_dir,
            device=resolve_device(chosen.device),
            seeds=chosen.seeds,
            only=[name for name in chosen.only.split(",") if name],
            for_gallery=bool(chosen.gallery),
            parameters={name: literal(text) for name, text in chosen.p},
            say=say,
        )
    except PapermillExecutionError as error:
        raise EomtlibError(
            f"a notebook stopped: {error.ename}: {error.evalue} Its copy under "
            f"{results_dir / 'notebooks'} shows where; run again to go on."
        ) from error
    written = [page]
    if chosen.gallery:
        written.append(collect(results_dir, Path(chosen.gallery)))
    for path in written:
        show(f"Written: {path}")
    deliver({"written": written})


def literal(text: str) -> object:
    """A parameter as it would stand in a notebook: a number, True or False, else a text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, bool | int | float) else text
