"""Pages that need no network: a template, one style, and small scripts, in one file."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **values: Any) -> str:
    """A page. All values are escaped; what a script reads is JSON in which no tag can end.

    Args:
        template: a file of this folder.
        values: as the template names them.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["source"] = _source
    return made


def _source(name: str) -> Markup:
    """A style or script of ours, written into the page as it is."""
    return Markup(files(__package__).joinpath(name).read_text("utf-8"))
