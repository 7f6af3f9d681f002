"""Texts from outside (class names, file names, labels) where something else would read them."""

from __future__ import annotations

import html
import re


def as_markdown(text: str) -> str:
    """A text as Markdown shows it, on one line, without tags, links or emphasis of its own."""
    flat = " ".join(html.escape(text, quote=False).split())
    return re.sub(r"([\\`*_{}\[\]|#~$])", r"\\\1", flat)


def as_label(text: str) -> str:
    """A text as Matplotlib draws it, its dollars no beginning of a formula."""
    return text.replace("$", r"\$")
