"""The house stays one that can be drawn: bounds on its files and folders."""

from collections import defaultdict
from pathlib import Path

import eomtlib

ROOT = Path(eomtlib.__file__).parent


def test_files_and_folders_stay_small():
    folders = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        folders[path.parent].append(path)
    crowded = {str(f): len(paths) for f, paths in folders.items() if len(paths) > 16}
    assert not crowded, "more than 15 modules side by side: give some of them a folder"
    lines = {str(p): len(p.read_text().splitlines()) for ps in folders.values() for p in ps}
    assert not {p: n for p, n in lines.items() if n > 350}, "split what is two concepts"
    loose = {path.name for path in folders[ROOT]} - {"__init__.py", "__main__.py"}
    assert len(loose) <= 1, "a module belongs into a room"
