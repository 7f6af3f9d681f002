import pytest

from eomtlib.files import write_atomically


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
