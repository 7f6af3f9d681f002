"""Timing without training, from the command line; printed figures beside measured ones."""

from dataclasses import replace

import pandas as pd
import pytest

from eomtlib.commands import main
from eomtlib.environment import environment
from eomtlib.results import ResultStore
from eomtlib.speed import accuracy_beside_speed, speed_table, time_ladder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
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
    at_640 = replace(record, size="large", pretraining="dinov2", cost_image_size=(640, 640))
    eva02 = replace(at_640, pretraining="eva02", fps_model=300.0)
    smaller = replace(at_640, cost_image_size=(320, 320))
    table = speed_table([record, at_640, eva02, smaller])
    assert table["FPS printed (H100)"].fillna(0).tolist() == [0, 128, 77, 0]
    faster = replace(at_640, mode="compiled", fps_model=2 * at_640.fps_model)
    beside = accuracy_beside_speed([record, at_640, faster, eva02, smaller])
    assert beside["pq"].tolist() == [56.0, 55.5]
    assert beside["fps"].tolist() == [faster.fps_model, 300.0]


def test_pairs_that_do_not_exist_are_answered(capsys):
    assert main(["benchmark", "--sizes", "giant", "--pretrainings", "dinov3"]) == 2
    assert "sizes=giant and pretrainings=dinov3" in capsys.readouterr().err


def test_unknown_names_are_answered_in_one_line(capsys):
    assert main(["benchmark", "--sizes", "lage"]) == 2
    said = capsys.readouterr().err
    assert "sizes='lage'" in said
    assert "Did you mean 'large'" in said
    assert len(said.splitlines()) == 1
