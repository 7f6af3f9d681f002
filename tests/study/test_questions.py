"""Timing without training, from the command line; printed figures beside measured ones."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from eomtlib.commands import main
from eomtlib.core.machine.environment import environment
from eomtlib.report.tables.speed import accuracy_beside_speed, speed_table
from eomtlib.report.timings import representative, said_of
from eomtlib.study.parameters import resolving
from eomtlib.study.questions import time_ladder
from eomtlib.study.records.store import ResultStore, fastest
from eomtlib.study.runs import run
from eomtlib.study.timing_rounds import ROUNDS


@pytest.fixture(scope="module")
def results(tmp_path_factory, brief):
    folder = tmp_path_factory.mktemp("speed")
    arguments = ["--sizes", "nano", "--rungs", "eomt-masked,eomt", "--modes", "eager"]
    assert main(["benchmark", *arguments, "--device", "cpu", "--results-dir", str(folder)]) == 0
    return folder


def test_the_command_line_times_and_writes_a_table(results):
    table = pd.read_csv(results / "tables" / "speed" / "speed.csv")
    assert table["rung"].tolist() == ["eomt-masked", "eomt"]
    assert (table["FPS"] > 0).all()
    assert table["GMACs"].iloc[0] > table["GMACs"].iloc[1]
    assert (table["params (M)"] > 1).all()
    assert table["FPS printed (H100)"].isna().all()  # the paper has no such size


def test_what_is_timed_is_found_again(results):
    before = sorted((results / "records").iterdir())
    found = time_ladder(
        sizes=["nano"],
        rungs="eomt",
        timing_modes="eager",
        device="cpu",
        results_dir=results,
        progress=False,
    )
    assert [record.rung for record in found] == ["eomt"]
    assert sorted((results / "records").iterdir()) == before
    store = ResultStore(results)
    assert len(store.records("timing", machine=environment("cpu").machine)) == 2
    assert store.records("timing", machine="another machine") == []


def test_printed_figures_stand_beside_their_own_model_alone(results):
    (record,) = ResultStore(results).records("timing", rung="eomt")
    at_640 = replace(
        record, size="large", pretraining="dinov2", cost_image_size=(640, 640), num_queries=200
    )
    eva02 = replace(at_640, pretraining="eva02", fps_model=300.0)
    smaller = replace(at_640, cost_image_size=(320, 320))
    table = speed_table([record, at_640, eva02, smaller])
    assert table["FPS printed (H100)"].fillna(0).tolist() == [0, 128, 77, 0]
    faster = replace(at_640, mode="compiled", fps_model=2 * at_640.fps_model)
    others = [
        replace(at_640, fps_model=999.0, masking="masked"),
        replace(at_640, fps_model=999.0, options={"query_blocks": 1}),
        replace(at_640, fps_model=999.0, num_queries=20),
    ]
    beside = accuracy_beside_speed([record, at_640, faster, eva02, smaller, *others])
    assert beside["pq"].tolist() == [56.0, 55.5]
    assert beside["fps"].tolist() == [faster.fps_model, 300.0]


def test_samplers_stand_beside_each_other_and_beside_eomt(results):
    (record,) = ResultStore(results).records("timing", rung="eomt")
    plain = replace(record, rung="vit-adapter-m2f", fps_model=record.fps_model / 4)
    kernel = replace(plain, sampler="triton", fps_model=record.fps_model / 3)
    table = speed_table([record, plain, kernel, replace(kernel, mode="compiled")])
    assert table["sampler"].tolist() == ["–", "pytorch", "triton", "triton"]
    assert table["EoMT, times as fast"].tolist()[:3] == pytest.approx([1, 4, 3])
    assert table["EoMT, times as fast"].isna().tolist() == [False, False, False, True]
    assert fastest([plain, kernel]) is kernel


def test_what_speaks_against_a_speed_is_said_in_its_row(results):
    (record,) = ResultStore(results).records("timing", rung="eomt")
    record = replace(
        record, session="a", is_steady=True, fps_end_to_end=1.0, interval_model_s=(0.9, 1.1),
        fps_model=1.0, photo_size=(480, 640),
    )  # fmt: skip
    pmt = replace(record, rung="pmt")
    newer = replace(record.environment, torch="9.9")
    others = {
        "": pmt,
        "not steady": replace(pmt, is_steady=False),
        "faster end to end than alone": replace(pmt, fps_end_to_end=2.0),
        "EoMT timed at another time": replace(pmt, session="b"),
        f"EoMT timed with torch {record.environment.torch}": replace(pmt, environment=newer),
    }
    for remark, other in others.items():
        row = speed_table([record, other]).iloc[1]
        assert (row["remarks"], row["of an image"]) == (remark, "480×640")
        assert row["FPS ± (%)"] == pytest.approx(10)
    again = replace(record, session="b", created="2099-01-01T00:00:00+00:00", fps_model=0.5)
    table = speed_table([again, record, pmt])  # whatever their order
    assert table["FPS"].tolist() == [0.5, 1.0]
    assert table["EoMT, times as fast"].tolist() == [1, 1]  # PMT's is of its own session
    said = "; ".join(said_of([record, replace(pmt, is_steady=False, environment=newer)]))
    for part in ("images of 480×640", "not steady: pmt", "several versions", "torch 9.9"):
        assert part in said


def test_the_newest_timing_stands_for_a_model_and_not_the_fastest_of_all_time(results):
    (record,) = ResultStore(results).records("timing", rung="eomt")
    named = {"size": "large", "pretraining": "dinov2", "num_queries": 200}
    record = replace(record, **named, cost_image_size=(640, 640))
    once = replace(record, fps_model=200.0, created="2026-01-01T00:00:00+00:00")
    now = replace(once, fps_model=100.0, created="2026-02-01T00:00:00+00:00")
    for records in ([once, now], [now, once]):
        assert representative(records) is now
        assert accuracy_beside_speed(records)["fps"].tolist() == [100.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--samplers", "pytorch,triton"], r"samplers='triton' needs (a GPU|the package)"),
        (["--modes", "eager,cuda-graph"], "timing_modes='cuda-graph' needs CUDA"),
    ],
)
def test_what_needs_a_gpu_is_refused_before_anything_is_timed(options, message, tmp_path, capsys):
    folder = tmp_path / "results"
    assert main(["benchmark", "--device", "cpu", *options, "--results-dir", str(folder)]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not folder.exists()


def test_every_mode_is_timed_with_every_sampler(tmp_path, monkeypatch):
    # Both are the plain one here; what is looked at is which were asked for.
    asked = []
    monkeypatch.setattr(resolving, "check_sampler", lambda sampler, *_, **__: sampler)
    monkeypatch.setattr(run, "set_sampler", lambda _, sampler: asked.append(sampler))
    ladder = {
        "sizes": "nano",
        "rungs": "no-adapter,eomt",
        "timing_modes": "eager",
        "device": "cpu",
        "results_dir": tmp_path,
        "progress": False,
    }
    found = time_ladder(samplers="pytorch,triton", **ladder)
    assert asked == ROUNDS[True] * ["pytorch", "triton", "pytorch"]  # in turns
    assert [(record.rung, record.sampler) for record in found] == [
        ("no-adapter", "pytorch"),
        ("no-adapter", "triton"),
        ("eomt", "pytorch"),
    ]
    again = time_ladder(samplers="triton", **ladder)
    assert [record.id for record in again] == [found[1].id, found[2].id]


def test_pairs_that_do_not_exist_are_answered(capsys):
    assert main(["benchmark", "--sizes", "giant", "--pretrainings", "dinov3"]) == 2
    assert "sizes=giant and pretrainings=dinov3" in capsys.readouterr().err


def test_unknown_names_are_answered_in_one_line(capsys):
    assert main(["benchmark", "--sizes", "lage"]) == 2
    said = capsys.readouterr().err
    assert "sizes='lage'" in said
    assert "Did you mean 'large'" in said
    assert len(said.splitlines()) == 1
