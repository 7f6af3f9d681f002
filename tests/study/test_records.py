import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eomtlib.core.errors import ConfigurationError, RecordError
from eomtlib.core.files.atomic_files import config_hash
from eomtlib.core.machine.environment import environment
from eomtlib.report.frame import to_dataframe
from eomtlib.report.papers.printed import load_paper_table, paper_dir
from eomtlib.study.records.store import ResultStore
from tests.samples import MACHINE, evaluation, timing, training


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "runs")


@pytest.mark.parametrize("make", [training, evaluation, timing])
def test_a_record_survives_its_file(store, make):
    record = make()
    assert store.write(record) == record
    path = store.path(record)
    assert store.read(path) == record
    assert store.records() == [record]
    data = json.loads(path.read_text())
    assert (data["kind"], data["schema_version"], data["id"]) == (record.kind, 1, path.stem)


def test_a_timing_from_before_samplers_were_told_apart_is_read(store):
    path = store.path(store.write(timing()))
    data = json.loads(path.read_text())
    del data["sampler"]
    path.write_text(json.dumps(data))
    assert store.read(path).sampler == "pytorch"


def test_a_training_from_before_it_named_its_code_is_read_and_found(store):
    record = store.write(training(methods={"training": 1}, code="0" * 16))
    path = store.path(record)
    data = json.loads(path.read_text())
    del data["methods"], data["code"]
    path.write_text(json.dumps(data))
    older = store.read(path)
    assert (older.methods, older.code, older.key) == ({}, "", record.key)
    assert store.find("training", key=record.key) == older


def test_what_is_not_finite_is_written_as_null(store):
    record = store.write(training(final_loss=math.nan))
    assert record.final_loss is None
    assert store.read(store.path(record)) == record
    undefined = store.write(evaluation(metrics={"pq": 1.0, "pq_stuff": math.nan}))
    path = store.path(undefined)
    assert json.loads(path.read_text())["metrics"] == {"pq": 1.0, "pq_stuff": None}
    for one in (undefined, store.read(path)):
        assert math.isnan(one.metrics["pq_stuff"])
    with pytest.raises(RecordError, match=r"Expected `float`, got `null` - at `\$.wall_time_s`"):
        store.write(training(id="not-written", wall_time_s=math.inf))
    assert len(store.records()) == 2


def test_numpy_numbers_and_lists_become_plain(store):
    record = store.write(training(steps=np.int64(7), epochs=np.float32(0.5), image_size=[64, 32]))
    assert store.read(store.path(record)) == record
    assert type(record.steps) is int
    assert record.image_size == (64, 32)


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_an_interrupted_write_leaves_what_was_there(store, monkeypatch, broken):
    old = training(id="training-1")
    store.write(old)

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        patch.setattr(Path, "replace", fail) if broken == "replace" else None
        with pytest.raises(KeyboardInterrupt):
            store.write(training(id="training-1", steps=999))
        with pytest.raises(KeyboardInterrupt):
            store.write(training(id="training-2"))
    assert store.records() == [old]
    assert [path.name for path in (store.root / "records").iterdir()] == ["training-1.json"]


def test_the_remains_of_a_kill_are_ignored(store):
    record = store.write(timing())
    path = store.path(record)
    for name in (f".{path.name}.x1y2.tmp", ".half.json"):
        path.with_name(name).write_text('{"kind": "timi')
    assert store.records() == [record]


def edited(**changes):
    def edit(data):
        data.update(changes)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (edited(steps="many"), r"training record: Expected `int`, got `str` - at `\$.steps`"),
        (edited(steps=True), r"got `bool` - at `\$.steps`"),
        (edited(steps=3.5), r"Expected `int`, got `float` - at `\$.steps`"),
        (edited(wall_time_s=None), r"Expected `float`, got `null` - at `\$.wall_time_s`"),
        (edited(wall_time_s=10**400), "out of range"),
        (edited(image_size=[64]), r"Expected `array` of length 2, got 1 - at `\$.image_size`"),
        (edited(image_size=[64, "x"]), r"Expected `int`, got `str` - at `\$.image_size\[1\]`"),
        (edited(kind="paper"), "'kind' should be one of training, evaluation, timing.*'paper'"),
        (edited(kind=["paper"]), "'kind' should be one of training, evaluation, timing"),
        (edited(schema_version=2), "'schema_version' should be 1, but is 2"),
        (edited(created="yesterday"), "'created' should be an ISO date"),
        (edited(checkpoint="/etc/passwd"), "'checkpoint' should be a path inside"),
        (edited(checkpoint="a/../../b"), "'checkpoint' should be a path inside"),
        (edited(environment=3), r"got `int` - at `\$.environment`"),
        (edited(environment={}), r"missing required field `commit` - at `\$.environment`"),
        (edited(id="../x"), "'id' should be letters"),
        (edited(id="training-other"), "is not the file's name"),
        (lambda data: data.pop("seed"), "missing required field `seed`"),
        (lambda data: data.pop("id"), r"got `null` - at `\$.id`"),
        (lambda data: data["environment"].update(threads="4"), r"at `\$.environment.threads`"),
    ],
)
def test_a_file_that_is_no_record_is_refused(store, edit, message):
    path = store.path(store.write(training()))
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    with pytest.raises(RecordError, match=message) as caught:
        store.read(path)
    assert str(path) in str(caught.value)


CONFUSED = {"confusion": ("0:3 1:4", "2:5", ""), "per_class": {"a": {}, "b": {}}}


def test_a_confusion_takes_a_line_for_each_class(store):
    path = store.path(store.write(evaluation(**CONFUSED, worst_images={"7": 0.5})))
    assert store.read(path).confusion == CONFUSED["confusion"]
    assert '"confusion": [\n  "0:3 1:4",\n  "2:5",\n  ""\n ]' in path.read_text()
    data = json.loads(path.read_text())
    for name in ("confusion", "worst_images", "variant"):  # of which older records say nothing
        del data[name]
    path.write_text(json.dumps(data))
    assert (store.read(path).confusion, store.read(path).variant) == ((), "")


@pytest.mark.parametrize("texts", [("0:3", "", "3:1"), ("0:3", "x", ""), ("0:3", "")])
def test_a_confusion_that_cannot_be_is_named(texts):
    with pytest.raises(RecordError, match="'confusion' should be"):
        evaluation(**CONFUSED | {"confusion": texts})


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe{}", b"[" * 100_000])
def test_a_foreign_file_in_the_folder_is_passed_over(store, content):
    record = store.write(training())
    foreign = store.root / "records" / "foreign.json"
    foreign.write_bytes(content)
    with pytest.warns(UserWarning, match=r"foreign\.json: .*move the file away") as warned:
        found = store.records(), store.records()
    assert found == ([record], [record])
    assert len(warned) == 1


def test_a_field_of_a_newer_version_is_passed_over(store):
    record = store.write(training())
    data = json.loads(store.path(record).read_text())
    store.path(record).write_text(json.dumps(data | {"power_w": 70.0}))
    assert store.records() == [record]


def test_records_are_found_by_their_fields(store):
    first = timing(created="2026-01-02T00:00:00+00:00")
    newer = timing(created="2026-01-02T01:00:00+00:00", fps_model=60.0)
    # Later by the clock on the wall, earlier in time.
    elsewhere = timing(
        created="2026-01-02T02:00:00+09:00",
        environment=dataclasses.replace(MACHINE, device="Some GPU"),
    )
    for record in (newer, first, elsewhere, training()):
        store.write(record)
    assert store.records("timing") == [elsewhere, first, newer]
    assert store.find("timing", machine=MACHINE.machine) == newer
    assert store.find("timing", cost_image_size=[128, 96], fps_model=50) == first
    assert store.find("timing", num_queries=41) is None
    assert len(store.records(seed=1)) == 1
    with pytest.raises(ConfigurationError, match=r"num_query.*'num_queries'"):
        store.find("timing", num_query=1)
    with pytest.raises(ConfigurationError, match="Did you mean 'timing'"):
        store.records("timings")
    assert ResultStore(store.root / "nowhere").records() == []


def test_config_hash_depends_on_values_alone():
    config = {"a": 1, "b": [1, {"c": None, "d": "é"}]}
    same = {"b": (1, {"d": "é", "c": None}), "a": 1}
    assert config_hash(config) == config_hash(same) == config_hash(json.loads(json.dumps(config)))
    assert config_hash(config) != config_hash(config | {"a": 2})
    with pytest.raises(ConfigurationError, match="no JSON form"):
        config_hash({"path": Path()})


def test_environment_names_the_machine_but_not_the_host():
    here = environment("cpu")
    text = json.dumps(dataclasses.asdict(here))
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert os.uname().nodename not in text or len(os.uname().nodename) < 4
    assert here.device in here.machine
    assert here.cpu_count >= 1
    assert environment("cpu") == here


def test_dataframe_joins_what_belongs_together():
    trained = training(id="training-1")
    # Trained and evaluated beside others, with fewer threads than it is timed with.
    beside = dataclasses.replace(MACHINE, threads=1)
    evaluated = evaluation(metrics={"pq": 31.5, "miou": 12.0}, environment=beside)
    untrained = evaluation(training_id="gone", rung="pmt")
    gpu = dataclasses.replace(MACHINE, device="Some GPU")
    timings = [
        timing(fps_model=70.0, created="2026-01-01T00:00:00+00:00"),
        timing(fps_model=50.0, created="2026-01-02T00:00:00+00:00", id="newest-eager"),
        timing(fps_model=60.0, mode="compiled", created="2026-01-01T00:00:00+00:00", id="best"),
        timing(fps_model=900.0, environment=gpu),
        timing(fps_model=901.0, num_queries=100),
        timing(fps_model=902.0, num_classes=133),
        timing(fps_model=903.0, masking="masked"),
        timing(fps_model=904.0, rung="eomt-masked"),
        timing(fps_model=905.0, cost_image_size=(32, 32), created="2025-01-01T00:00:00+00:00"),
    ]
    table = to_dataframe([*timings, evaluated, trained, untrained])
    assert len(table) == 2
    row = table[table.rung == "eomt"].iloc[0]
    assert (row.timing_id, row.fps, row["mode"], row.steps) == ("best", 60.0, "compiled", 300)
    assert (row.pq, row.miou, row.input_size, row.params_m) == (31.5, 12.0, "128x96", 3.6)
    other = table[table.rung == "pmt"].iloc[0]
    assert pd.isna(other.timing_id)
    assert pd.isna(other.fps)
    assert pd.isna(other.steps)
    assert list(to_dataframe([]).columns) == [name for name in table.columns if name != "miou"]


def test_sizes_of_one_timm_name_have_timings_of_their_own():
    kept = [training(size="micro"), timing(size="micro"), timing(size="nano")]
    table = to_dataframe([*kept, evaluation(training_id=kept[0].id, size="micro")])
    assert table["timing_id"].item() == kept[1].id
    assert not kept[1].key.architecture.agrees(kept[2].key.architecture)


def test_paper_tables_are_read_as_printed(monkeypatch, tmp_path):
    table = load_paper_table("eomt_table1_ladder").set_index("rung")
    assert table.loc["eomt", "pq"] == 56.0
    assert table.loc["vit-adapter-m2f", "gmacs"] == 830
    with pytest.raises(ConfigurationError, match="eomt_table1_ladder"):
        load_paper_table("eomt_table1")
    monkeypatch.setenv("EOMTLIB_PAPER_TABLES", str(tmp_path))
    assert paper_dir() == tmp_path
    monkeypatch.setenv("EOMTLIB_PAPER_TABLES", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="EOMTLIB_PAPER_TABLES="):
        paper_dir()


def test_paper_tables_are_found_above_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("EOMTLIB_PAPER_TABLES", raising=False)
    monkeypatch.setattr(
        "eomtlib.report.papers.printed.__file__",
        str(tmp_path / "site" / "eomtlib" / "a" / "b" / "c.py"),
    )
    inner = tmp_path / "repository" / "notebooks"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    with pytest.raises(ConfigurationError, match="set EOMTLIB_PAPER_TABLES"):
        paper_dir()
    (tmp_path / "repository" / "results" / "paper").mkdir(parents=True)
    assert paper_dir() == tmp_path / "repository" / "results" / "paper"
