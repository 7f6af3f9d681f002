import io
import multiprocessing
import os
import pickle
import tarfile
import zipfile

import pytest

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.archives import ArchiveStore, FolderStore

CONTENT = {f"maps/{i:03d}.png": bytes([i]) * (1000 + i) for i in range(20)}


def write_zip(path, content, compression):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def nested(tmp_path, request):
    """An archive in an archive, the inner one stored or deflated."""
    inner = write_zip(tmp_path / "inner.zip", CONTENT, zipfile.ZIP_DEFLATED)
    outer = {"other.txt": b"x" * 5000, "annotations/inner.zip": inner.read_bytes()}
    path = write_zip(tmp_path / "outer.zip", outer, request.param)
    return ArchiveStore(path, "annotations").nested("inner.zip", "maps")


def check_all(store, results):
    same = all(store.read(name.removeprefix("maps/")) == data for name, data in CONTENT.items())
    results.put(same)


def test_nested_archive_gives_what_was_packed(nested):
    assert nested.names() == sorted(name.removeprefix("maps/") for name in CONTENT)
    for name, data in CONTENT.items():
        assert nested.read(name.removeprefix("maps/")) == data


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_read_at_the_same_time(nested, start):
    nested.read("000.png")  # the parent's handle is open when the children start
    context = multiprocessing.get_context(start)
    results = context.Queue()
    children = [context.Process(target=check_all, args=(nested, results)) for _ in range(2)]
    for child in children:
        child.start()
    check_all(nested, results)
    assert [results.get(timeout=60) for _ in range(3)] == [True] * 3
    for child in children:
        child.join()


def test_pickled_store_inflates_again_where_the_temporary_file_is_gone(nested, tmp_path):
    packed = pickle.dumps(nested)
    if nested._path != tmp_path / "outer.zip":
        os.remove(nested._path)
    assert pickle.loads(packed).read("003.png") == CONTENT["maps/003.png"]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "..\\x", "", "a//b"])
def test_no_name_leaves_its_store(tmp_path, name):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "set").mkdir()
    archive = write_zip(tmp_path / "a.zip", {"ok": b"1", "../secret": b"2"}, 0)
    for store in (FolderStore(tmp_path / "set"), ArchiveStore(archive)):
        with pytest.raises(DataError, match="file name below"):
            store.read(name)


def test_damage_is_found_and_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"x.png": b"0123456789" * 100}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.zip/x\.png: damaged"):
        ArchiveStore(path).read("x.png")
    path.write_bytes(data[:600])
    with pytest.raises(DataError, match=r"a\.zip: is no complete zip"):
        ArchiveStore(path)


def test_a_size_that_lies_is_no_bomb(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"x": b"\0" * 100_000}, zipfile.ZIP_DEFLATED)
    data = path.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        ArchiveStore(path).read("x")


def test_folder_names_reach_below(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").write_bytes(b"1")
    (tmp_path / "c.png").write_bytes(b"2")
    store = FolderStore(tmp_path)
    assert store.names() == ["a/b.png", "c.png"]
    assert store.read("a/b.png") == b"1"
    with pytest.raises(DataError, match=r"gone\.png: cannot be read"):
        store.read("gone.png")


def write_tar(path, content, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("maps/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.mark.parametrize("prefix", ["", "./"])
def test_tar_gives_what_was_packed(tmp_path, prefix):
    content = {prefix + name: data for name, data in (CONTENT | {"x": b"1"}).items()}
    path = write_tar(tmp_path / "a.tar", content)
    store = pickle.loads(pickle.dumps(ArchiveStore(path, "maps")))
    assert store.names() == sorted(name.removeprefix("maps/") for name in CONTENT)
    for name, data in CONTENT.items():
        assert store.read(name.removeprefix("maps/")) == data
        assert name.removeprefix("maps/") in store
    assert "link" not in store
    for name in ("../secret", "/etc/passwd", "gone.png"):
        with pytest.raises(DataError, match=r"file name below|no such file"):
            store.read(name)


def test_tar_that_cannot_be_read_in_place_is_named(tmp_path):
    packed = write_tar(tmp_path / "packed.tar", CONTENT, "w:gz")
    with pytest.raises(DataError, match=r"packed\.tar: is no complete uncompressed tar"):
        ArchiveStore(packed)
    path = write_tar(tmp_path / "a.tar", CONTENT)
    whole = path.read_bytes()
    for length in (5000, 5120, 4700, 20 * 1536, 100, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.tar: is no complete uncompressed tar"):
            ArchiveStore(path, "maps")


def test_the_beginning_of_a_file_is_read_alone(tmp_path):
    content = {"a": bytes(range(256)) * 400, "b": b"123"}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    stores = [
        FolderStore(tmp_path),
        ArchiveStore(write_tar(tmp_path / "s.tar", content)),
        *(ArchiveStore(write_zip(tmp_path / f"{kind}.zip", content, kind)) for kind in (0, 8)),
    ]
    for store in stores:
        assert store.head("a", 24) == content["a"][:24]
        assert store.head("b", 24) == b"123"
        assert "a" in store
        assert "c" not in store
        with pytest.raises(DataError, match="c: "):
            store.head("c", 4)
