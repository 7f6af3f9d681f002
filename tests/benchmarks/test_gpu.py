"""The schedule under a clock of its own, and the smallest rehearsal; no time is looked at."""

import json

import pytest

from benchmarks.gpu import speed
from benchmarks.gpu.command import ORDER, main, parts_of
from benchmarks.gpu.schedule import Part, results, run_parts
from eomtlib.core.words import RUNGS
from eomtlib.study.records.store import ResultStore


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(speed, "_AT_MOST_S", 0.0)


class Clock:
    """Parts say how long they take; the clock goes on by as much."""

    now, broken = 100.0, True

    def __init__(self):
        self.done = []

    def __call__(self):
        return self.now

    def part(self, name, kind, estimate, *, takes):
        def run():
            self.now += takes
            if name == "fails" and self.broken:
                raise RuntimeError("no kernel\nof that name")
            self.done.append(name)
            return {"says": name, "value": takes}

        return Part(name, kind, estimate, run)


def test_parts_run_in_order_as_far_as_time_reaches_and_go_on_from_there(tmp_path):
    clock = Clock()
    parts = [
        clock.part("first", "a", 5, takes=20),
        clock.part("alike", "a", 5, takes=20),  # as the first took: more than is left
        clock.part("fails", "b", 5, takes=5),
        clock.part("long", "c", 50, takes=50),
        clock.part("short", "d", 5, takes=5),
        clock.part("late", "e", 15, takes=5),
    ]

    def go(until):
        return run_parts(parts, tmp_path, until=until, device="cpu", clock=clock)

    assert go(140) == ["alike", "long", "late"]
    assert clock.done == ["first", "short"]
    assert [found["name"] for found in results(tmp_path)] == ["first", "fails", "short"]
    failed = json.loads((tmp_path / "fails.json").read_text())
    assert (failed["error"], failed["says"]) == ("RuntimeError", "FAILED: no kernel")
    assert failed["environment"]["torch"]
    # Again: what is there stays, what failed is tried once more.
    clock.broken = False
    assert go(clock.now + 1000) == []
    assert clock.done == ["first", "short", "alike", "fails", "long", "late"]
    assert "error" not in json.loads((tmp_path / "fails.json").read_text())
    assert not list(tmp_path.glob(".*"))


def test_what_runs_beyond_the_end_is_cut_off_and_tried_again(tmp_path):
    def forever():
        while True:
            pass

    clock = Clock()
    until = clock.now + 0.05
    assert not run_parts(
        [Part("one", "a", 0, forever)], tmp_path, until=until, device="cpu", clock=clock
    )
    assert json.loads((tmp_path / "one.json").read_text())["error"] == "out of time"
    again = [clock.part("one", "a", 0, takes=0)]
    run_parts(again, tmp_path, until=clock.now + 60, device="cpu", clock=clock)
    assert clock.done == ["one"]


def test_the_order_is_that_of_worth(tmp_path):
    runs = speed.Runs(ResultStore(tmp_path), "cpu", ("eager", "compiled"))
    names = [part.name for part in parts_of(runs, ("nano", "none"))]
    assert sorted(ORDER) == sorted(RUNGS)
    eager, compiled = (
        [f"{mode}_pytorch_{rung}_nano_none" for rung in ORDER] for mode in ("eager", "compiled")
    )
    step = "training_eomt_nano_batch_{}_compile_{}"
    expected = ["check_samplers", "check_rungs", *eager, step.format(4, "no"), *compiled]
    assert names[: len(expected) + 1] == [*expected, step.format(4, "yes")]
    assert names[-1] == step.format(16, "no")


def test_a_rehearsal_leaves_records_of_the_study_and_a_summary(tmp_path, capsys):
    arguments = ["--rehearse", "--only", "eager_pytorch_eomt_nano,samplers", "--out", str(tmp_path)]
    main(arguments)
    (record,) = ResultStore(tmp_path).records("timing")
    runs = speed.Runs(ResultStore(tmp_path), "cpu", ("eager",))
    run = runs.of("eomt", ("nano", "none"))
    assert record.key == run.identity.timing_key("eager", "pytorch")
    assert run.missing_timings() == []
    sampled = json.loads((tmp_path / "parts" / "check_samplers.json").read_text())["deviations"]
    for name, apart in sampled.items():
        assert max(apart) < (1e-4 if "float32" in name else 2e-2), name
    assert "check_samplers: float32, furthest from float64" in capsys.readouterr().out
    # Again nothing is left to do.
    main(arguments)
    said = capsys.readouterr().out
    assert "s)" not in said.splitlines()[0]
    assert ResultStore(tmp_path).records("timing") == [record]
    assert "| eomt" in (tmp_path / "summary.md").read_text()
