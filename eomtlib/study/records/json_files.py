"""Records as JSON, one entry a line: what is written is read again, and what is read is checked."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from eomtlib.core.errors import RecordError
from eomtlib.study.records.kinds import KINDS, SCHEMA_VERSION, Record, field_error


def from_json(content: bytes) -> Record:
    """A record from the content of a file; fields that are not known are passed over.

    Raises:
        RecordError: when it is no valid record; names the field, what was expected and what found.
    """
    try:
        data = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"This is no JSON file ({error}).") from error
    if not isinstance(data, dict) or data.get("kind") not in list(KINDS):
        found = data.get("kind") if isinstance(data, dict) else data
        raise field_error("kind", f"one of {', '.join(KINDS)}", found)
    if data.get("schema_version") != SCHEMA_VERSION:
        raise field_error("schema_version", str(SCHEMA_VERSION), data.get("schema_version"))
    for name in ("id", "created"):
        data.setdefault(name, None)  # which no file may leave to be made up
    try:
        return msgspec.convert(data, KINDS[data["kind"]])
    except msgspec.ValidationError as error:
        raise RecordError(f"{data['kind']} record: {error}.") from error


def to_json(record: Record) -> bytes:
    """The content of a file that ``from_json`` reads."""
    head = {"kind": record.kind, "schema_version": SCHEMA_VERSION}
    return as_json(head | msgspec.to_builtins(record, enc_hook=np.generic.item))


def as_json(content: dict[str, Any]) -> bytes:
    """Standard JSON, one entry a line: tuples as lists, what is not finite as null."""
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
