"""The viewer inside a page that needs neither network nor server."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

JS, CSS = ((files(__package__) / name).read_text("utf-8") for name in ("viewer.js", "viewer.css"))


def viewer_html(
    data: Mapping[str, Any], *, element_id: str, start: Mapping[str, Any] | None = None
) -> str:
    """A part of an HTML page: an element, and the module that fills it.

    Args:
        data: as ``viewer_data`` makes it.
        element_id: of the element, one of its kind in the page.
        start: what is chosen at first, such as ``{"model": 5, "against": "target"}``.
    """
    name = html.escape(element_id)
    call = f"mount(document.getElementById({_json(element_id)}), {_json(data)}, "
    return (
        f'<div id="{name}"></div>\n<style>\n{CSS}</style>\n'
        f'<script type="module">\n{JS}{call}{{ start: {_json(start or {})} }});\n</script>\n'
    )


def _json(value: Any) -> str:
    """JSON that ends no script element, whatever texts are in it."""
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")
