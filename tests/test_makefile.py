"""What the Makefile does beside calling what is tested elsewhere."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path):
    """The Makefile, one notebook, and an environment whose JupyterLab says what it was given."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "a.ipynb").write_text("first")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    jupyter = tmp_path / ".venv" / "bin" / "jupyter"
    jupyter.parent.mkdir(parents=True)
    jupyter.write_text('#!/bin/sh\necho opened "$@"\n')
    jupyter.chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


def lab(project):
    done = subprocess.run(["make", "lab"], cwd=project, capture_output=True, text=True, check=True)
    return done.stdout


def test_lab_opens_copies_that_keep_what_was_played(project):
    source, copy = (
        project / "notebooks" / "a.ipynb",
        project / "results" / "runs" / "lab" / "a.ipynb",
    )
    assert "opened lab results/runs/lab" in lab(project)
    copy.write_text("played")
    lab(project)
    assert (source.read_text(), copy.read_text()) == ("first", "played")

    source.write_text("second")
    later = copy.stat().st_mtime + 10
    os.utime(source, (later, later))
    lab(project)
    assert copy.read_text() == "second"
    assert (copy.parent / "before-a.ipynb").read_text() == "played"
