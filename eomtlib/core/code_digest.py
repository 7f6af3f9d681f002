"""Which code a training ran: a digest of its syntax, for the records."""

from __future__ import annotations

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path

ROOMS = ("core", "data", "models", "training")
"""The packages that decide what a training comes to."""

_NO_MEANING = {"ctx", "kind", "type_comment", "type_ignores"}


@cache
def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """16 hexadecimal digits of the syntax of ``ROOMS``, read once in a process (0.25 s).

    Comments, docstrings, line breaks and quotes do not enter it, nor does Python's version; names,
    constants and messages do.

    Args:
        package: the folder that holds the rooms.
    """
    digest = sha256()
    for room in ROOMS:
        for path in sorted((package / room).rglob("*.py")):
            syntax = _spelled(ast.parse(path.read_bytes()))
            digest.update(f"{path.relative_to(package).as_posix()}\0{syntax}\0".encode())
    return digest.hexdigest()[:16]


def _spelled(node: object) -> str:
    """As ``ast.dump``, but the same in every version: without what is empty, as new fields are."""
    if isinstance(node, list):
        return f"[{','.join(_spelled(part) for part in node if not _is_text(part))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, _spelled(value)) for name, value in ast.iter_fields(node)]
    said = [
        f"{name}={value}"
        for name, value in fields
        if value not in ("None", "[]") and name not in _NO_MEANING
    ]
    return f"{type(node).__name__}({','.join(said)})"


def _is_text(node: object) -> bool:
    """Whether it is a statement of nothing but a text: a docstring of anything."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
