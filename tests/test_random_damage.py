"""Files from outside, damaged at random: words that name the file, and never a traceback.

Each of the seeded mutations is read by everything that reads such files.
"""

import json
import random
import shutil
import signal
import warnings
import zipfile
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch

from eomtlib.core.errors import EomtlibError
from eomtlib.data.checking import Findings, check_split
from eomtlib.data.exports.conversion import convert
from eomtlib.data.registry import open_dataset, open_files
from eomtlib.models.build import build_model
from eomtlib.models.checkpoints import ModelConfig, load_model, save_model
from eomtlib.study.records.store import ResultStore
from eomtlib.training.loop.resuming import sound_state
from tests.data.custom_files import write_instances, write_masks, write_panoptic
from tests.data.export_files import WRITERS
from tests.samples import evaluation, timing, training

SECONDS = 20
STRANGE = (None, True, -1, 0, 1.5, 10**30, 1e308, "", "0", "é\0", [], [[]], {}, {"a": [1]})


def flipped(content, draw):
    """Some bytes are others."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def cut(content, draw):
    """It ends early."""
    return content[: draw.randrange(len(content))]


def shifted(content, draw):
    """A part is missing, or is there twice."""
    first, last = sorted(draw.sample(range(len(content)), 2))
    return content[:last] + content[draw.choice((first, last, len(content) - 1)) :]


def rewritten(content, draw):
    """JSON in which a field is missing, or of another type."""
    data = json.loads(content)
    for _ in range(draw.randint(1, 3)):
        place = data
        for _ in range(draw.randint(0, 5)):
            inner = list(place.values()) if isinstance(place, dict) else place
            inner = [value for value in inner if isinstance(value, dict | list) and value]
            if not inner:
                break
            place = draw.choice(inner)
        key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if draw.random() < 0.4:
            del place[key]
        else:
            place[key] = deepcopy(draw.choice(STRANGE))
        if not data:
            break
    return json.dumps(data).encode()


@contextmanager
def in_time():
    def late(*_):
        raise AssertionError(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_all(name, task, root, **options):
    dataset = open_dataset(name, "val", task=task, data_path=root, **options)
    dataset.digest()
    for index in range(len(dataset)):
        dataset.read(index)


def read_set(name, task, root):
    said = []
    findings = Findings(said.append)
    for look in (
        lambda: read_all(name, task, root),
        lambda: read_all(name, task, root, on_bad="skip"),
        lambda: check_split(name, "val", task=task, data_path=root, findings=findings),
    ):
        try:
            look()
        except EomtlibError as error:
            said.append(str(error))
    return [text for text in said if not text.startswith("note: ")]


def coco_zips(root):
    folder = write_panoptic(root / "plain").parent / "coco"
    zips = root / "zips"
    zips.mkdir()
    for name, parts in (
        ("val2017.zip", ["val2017"]),
        ("annotations/panoptic_val2017.zip", ["panoptic_val2017"]),
    ):
        (zips / name).parent.mkdir(exist_ok=True)
        base = folder if "annotations" not in name else folder / "annotations"
        with zipfile.ZipFile(zips / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in parts:
                for path in sorted((base / part).iterdir()):
                    archive.write(path, path.relative_to(base))
    shutil.copy(folder / "annotations/panoptic_val2017.json", zips / "annotations")
    return zips


def masks(root):
    write_masks(root)
    return root


def checkpoint(root):
    config = ModelConfig(
        rung="eomt",
        size="nano",
        pretraining="none",
        image_size=(64, 64),
        num_queries=3,
        class_names=("a", "b"),
        is_thing=(True, False),
        task="panoptic",
        masking="annealed",
    )
    with torch.random.fork_rng():
        model = build_model(
            "eomt",
            size="nano",
            pretraining="none",
            image_size=(64, 64),
            num_classes=2,
            num_queries=3,
        )
    save_model(root / "model", model, config)
    return root


def read_checkpoint(root):
    try:
        load_model(root / "model")
    except EomtlibError as error:
        return [str(error)]
    return []


def records(root):
    store = ResultStore(root)
    for make in (training, evaluation, timing):
        store.write(make())
    return root


def read_records(root):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for record in ResultStore(root).records():
            record.key  # noqa: B018
    return [str(warning.message) for warning in caught]


def state(root):
    content = {"state_dict": {"w": torch.ones(9)}, "optimizer_states": [{}], "global_step": 3}
    torch.save(content, root / "resume.ckpt")
    return root


def read_state(root):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sound_state(root)
    return [str(warning.message) for warning in caught]


def exported(form):
    def write(root):
        WRITERS[form](root)
        return root

    return write


def read_export(form, root):
    """Converts it as it is, and without what is wrong; what is written is read."""
    said, folder = [], root.parent / "converted"
    for on_bad in ("refuse", "skip"):
        try:
            convert(root, folder, form=form, on_bad=on_bad, say=said.append)
            for split in ("train", "val"):
                files = open_files("custom", split, task="instance", data_path=folder)
                for index in range(len(files)):
                    files.read_segments(index)
        except EomtlibError as error:
            said.append(str(error))
        shutil.rmtree(folder, ignore_errors=True)
    own = [text for text in said if not text.startswith("note: ")]
    # Of a split without any object that is in order.
    return [text for text in own if "converted" not in text]


KINDS = {
    "panoptic": (write_panoptic, lambda root: read_set("custom", "panoptic", root), 500),
    "instances": (write_instances, lambda root: read_set("custom", "instance", root), 400),
    "masks": (masks, lambda root: read_set("custom", "semantic", root), 400),
    "zips": (coco_zips, lambda root: read_set("coco", "panoptic", root), 250),
    "checkpoints": (checkpoint, read_checkpoint, 100),
    "records": (records, read_records, 250),
    "states": (state, read_state, 100),
} | {form: (exported(form), partial(read_export, form), 150) for form in WRITERS}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path / "cache"))
    write, read, count = KINDS[kind]
    place = tmp_path / "place"
    place.mkdir()
    root = write(place)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    assert len(read(root)) <= 1  # an image without objects, which is no damage
    listed = {path for path in tmp_path.rglob("*") if path.parts[len(tmp_path.parts)] == "place"}
    draw = random.Random(kind)
    for number in range(count):
        path = draw.choice(files)
        content = path.read_bytes()
        ways = [flipped, cut, shifted] + 3 * [rewritten] * (path.suffix == ".json")
        way = draw.choice(ways)
        path.write_bytes(way(content, draw))
        try:
            with in_time(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                said = read(root)
        except BaseException as error:
            kept = Path(f"{path}.{number}")
            path.replace(kept)
            raise AssertionError(f"number {number}: {kept}, {way.__name__}: {error!r}") from error
        where = str(root) if kind != "checkpoints" else "model"
        assert all(where in text for text in said), said
        path.write_bytes(content)
        after = {p for p in tmp_path.rglob("*") if p.parts[len(tmp_path.parts)] == "place"}
        assert after == listed
