"""What an unfinished run must remember beside its state: a small file in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eomtlib.core.files.atomic_files import write_file

PLAN_FILE = "plan.json"


def read_plan(run_dir: Path) -> dict[str, Any]:
    """What is remembered; nothing where there is no file, or a damaged one."""
    try:
        found = json.loads((run_dir / PLAN_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_plan(run_dir: Path, **values: Any) -> None:
    """Remembers values by name, beside those that are there."""
    write_file(run_dir / PLAN_FILE, json.dumps(read_plan(run_dir) | values))


def saved_steps(run_dir: Path) -> int | None:
    """The number of steps that an interrupted run had decided on, if it had."""
    steps = read_plan(run_dir).get("steps")
    return steps if isinstance(steps, int) and steps > 0 else None
