"""Text from outside, such as class names, file names and devices, as what shows it reads it.

HTML and LaTeX are escaped by pandas' Styler, in ``report.tables.formats``.
"""

from __future__ import annotations

import html
import re

_MARKDOWN = re.compile(r"([\\`*_\[\]|$~])")


def for_markdown(text: str) -> str:
    """One line that Markdown, Jupyter's with formulas and HTML included, shows as it is."""
    line = html.escape(" ".join(text.split()), quote=False)
    return _MARKDOWN.sub(r"\\\1", line)


def for_matplotlib(text: str) -> str:
    """Text in which a dollar starts no formula."""
    return text.replace("$", r"\$")


def for_terminal(text: str) -> str:
    """One line without what a terminal would obey, such as escape sequences."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
