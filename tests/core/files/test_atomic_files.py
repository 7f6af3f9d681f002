import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.files.atomic_files import new_folder, write_atomically


def test_an_interrupted_write_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "record.json"
    write_atomically(path, lambda file: file.write(b"first"))

    def interrupted(file):
        file.write(b"half of the sec")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, interrupted)
    assert path.read_bytes() == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "parent" / "folder"

    def fill(error=None):
        with new_folder(path) as inside:
            (inside / "below").mkdir()
            (inside / "below" / "file.txt").write_text("text")
            assert not path.exists()
            if error:
                raise error

    with pytest.raises(KeyboardInterrupt):
        fill(KeyboardInterrupt())
    assert list(path.parent.iterdir()) == []
    fill()
    assert (path / "below" / "file.txt").read_text() == "text"
    assert [p.name for p in path.parent.iterdir()] == ["folder"]
    with pytest.raises(ConfigurationError, match="exists already"):
        fill()
