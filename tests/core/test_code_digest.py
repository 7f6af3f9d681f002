"""The digest of the code: what changes it, and what does not."""

import ast
import shutil
from pathlib import Path

import pytest

import eomtlib
from eomtlib.core.code_digest import ROOMS, code_digest

CODE = '''"""What it is."""

LIMIT = 3
"""What limits."""


class Ring:
    """A class."""

    def area(self, radius: float) -> float:
        """A method."""
        return 3.14 * radius**2 if radius < LIMIT else f"{radius!r:>10} is too large"
'''


def digest(folder, code, name="a.py"):
    (folder / "core" / "inner").mkdir(parents=True)
    (folder / "core" / "inner" / name).write_text(code)
    return code_digest(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A method.", "Another text."),
        ('    """A class."""\n\n', ""),
        ('"""What limits."""\n', "# In centimetres.\n"),
        ("LIMIT = 3", "LIMIT = (\n    3\n)  # type: ignore"),
        ('f"{radius!r:>10} is too large"', "f'{radius!r:>10} ' 'is too large'"),
        ("3.14", "3.140"),
    ],
)
def test_what_does_not_run_leaves_it(tmp_path, old, new):
    assert CODE.count(old) == 1
    assert digest(tmp_path / "a", CODE) == digest(tmp_path / "b", CODE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("LIMIT = 3", "LIMIT = None"),
        ("LIMIT = 3", 'LIMIT = "3"'),
        ("**", "*"),
        ("is too large", "is too Large"),
        ("self, radius", "self, *, radius"),
        ("else f", "else b'' or f"),
    ],
)
def test_what_runs_changes_it(tmp_path, old, new):
    assert digest(tmp_path / "a", CODE) != digest(tmp_path / "b", CODE.replace(old, new, 1))


def test_files_have_names_and_places(tmp_path):
    first = digest(tmp_path / "a", CODE)
    assert first != digest(tmp_path / "b", CODE, name="b.py")
    folder = tmp_path / "c"
    shutil.copytree(tmp_path / "a", folder)
    for left_out in ("report", "commands"):
        (folder / left_out).mkdir()
        (folder / left_out / "more.py").write_text("x = 1")
    assert code_digest(folder) == first


def test_new_fields_of_a_later_python_leave_it(tmp_path, monkeypatch):
    """As 3.12 gave every function ``type_params``, empty in code of before."""
    first = digest(tmp_path / "a", CODE)
    fields = ast.FunctionDef._fields
    monkeypatch.setattr(ast.FunctionDef, "_fields", (*fields, "later", "later_list"))
    monkeypatch.setattr(ast.FunctionDef, "later", None, raising=False)
    monkeypatch.setattr(ast.FunctionDef, "later_list", [], raising=False)
    assert digest(tmp_path / "b", CODE) == first


def test_the_rooms_are_there():
    package = Path(eomtlib.__file__).parent
    assert all((package / room / "__init__.py").is_file() for room in ROOMS)
    assert code_digest() == code_digest(package)
