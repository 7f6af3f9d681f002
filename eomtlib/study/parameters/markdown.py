"""Parameters and hyper-parameters as the tables of docs/parameters.md."""

from __future__ import annotations

from collections.abc import Iterable

from eomtlib.study.parameters.settings import PARAMETERS
from eomtlib.training.hyperparameters import HYPERPARAMETERS


def parameters_table() -> str:
    """All parameters as a table in Markdown."""
    heads = ("parameter", "default", "what it is", "tells apart")
    return _markdown(
        heads,
        (
            (f"`{name}`", f"`{p.default!r}`", p.help, ", ".join(p.tells) or "–")
            for name, p in PARAMETERS.items()
        ),
    )


def hyperparameters_table() -> str:
    """All hyper-parameters of a recipe as a table in Markdown."""
    heads = ("hyper-parameter", "with DINOv2 on COCO", "what it is")
    known = HYPERPARAMETERS.items()
    return _markdown(heads, ((f"`{name}`", f"`{h.default!r}`", h.help) for name, h in known))


def _markdown(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (heads, ("---",) * len(heads), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
