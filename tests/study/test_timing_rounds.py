"""Models timed in turns, with experiments that only write down what is asked of them."""

from types import SimpleNamespace

import pytest

from eomtlib.evaluation.speed import Timing, merge_timings
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import note_beside
from eomtlib.report.timings import apart
from eomtlib.study.points import grid
from eomtlib.study.records.store import in_turns
from eomtlib.study.study import Study
from eomtlib.study.timing_rounds import ROUNDS, TimingJob, time_in_rounds
from tests.samples import SMOKE, timing


class Clock:
    """Stands in for a run: every timing is one second longer than the last."""

    def __init__(self, rung, size, order):
        self.rung, self.order = rung, order
        self.settings = SimpleNamespace(size=size)
        self.materials = SimpleNamespace(progress=False)
        options = SimpleNamespace(chosen=dict)
        self.identity = SimpleNamespace(rung=LADDER[rung], options=options)

    def time(self, *, mode, sampler, share):
        self.order.append((self.rung, mode, round(1 / share)))
        return len(self.order)

    def timing_record(self, rounds, *, mode, sampler, session):
        return self.rung, mode, rounds, session


@pytest.mark.parametrize("size", ["nano", "small"])
def test_every_model_has_its_turn_in_every_round(size):
    order, rounds = [], ROUNDS[size == "nano"]
    asked = (("eomt", "eager"), ("pmt", "eager"), ("eomt", "compiled"))
    jobs = [TimingJob(Clock(rung, size, order), mode, "pytorch") for rung, mode in asked]
    records = time_in_rounds(jobs)
    eager = [("eomt", "eager", rounds), ("pmt", "eager", rounds)]
    # Compiling takes minutes, so that is timed once.
    assert order == [*eager, ("eomt", "compiled", 1), *((rounds - 1) * eager)]
    first, second, compiled = (timed for _, _, timed, _ in records)
    assert first == [1, *range(4, 3 + 2 * rounds, 2)][:rounds]
    assert second == [2, *range(5, 4 + 2 * rounds, 2)][:rounds]
    assert compiled == [3]
    assert len({session for *_, session in records}) == 1
    assert time_in_rounds([]) == []


def test_a_fast_round_weighs_no_more_than_a_slow_one():
    fast, slow = Timing(((0.01,) * 200,), batch_size=4), Timing(((0.02,) * 100,), batch_size=4)
    merged = merge_timings([*4 * [fast], *5 * [slow]])
    assert merged.fps == pytest.approx(4 / 0.02)  # of all calls together it is twice that
    assert merged.interval_s == (0.01, 0.02)
    assert not merged.is_steady


def test_what_was_timed_apart_is_said():
    morning, noon = (
        {"session": f"2026-01-01T{hour}:00:00+00:00", "rung": rung}
        for hour, rung in (("09", "pmt"), ("12", "eomt"))
    )
    assert apart([timing(**morning), timing(**morning)]) == ""
    said = apart([timing(**noon, options={"query_blocks": 2}), timing(**morning)])
    assert said.endswith("2 different times: pmt; then eomt query_blocks=2")
    sizes = [timing(**morning), timing(**noon, size="micro"), timing(**noon, size="micro")]
    assert apart(sizes).endswith("2 different times: nano; then micro")


def test_of_several_timings_those_of_one_session_are_shown():
    def timed(rung, hour, **more):
        when = f"2026-01-01T{hour}:00:00+00:00"
        return timing(rung=rung, session=when, created=when, **more)

    eomt, pmt = [timed("eomt", "09"), timed("eomt", "12")], [timed("pmt", "09")]
    assert in_turns([eomt, pmt]) == [(eomt[0],), (pmt[0],)]
    assert in_turns([eomt]) == [(eomt[1],)]
    assert in_turns([eomt[1:], pmt, []]) == [(eomt[1],), (pmt[0],), ()]
    compiled = timed("eomt", "10", mode="compiled")
    assert in_turns([[compiled, *eomt], pmt])[0] == (compiled, eomt[0])
    unknown = timing(rung="eomt", session="", created="2026-01-02T09:00:00+00:00")
    assert in_turns([[eomt[0], unknown]]) == [(eomt[0],)]


@pytest.mark.usefixtures("brief")
def test_a_study_times_each_architecture_once_and_all_together(tmp_path, monkeypatch):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path / "cache"))

    def run(**axes):
        study = Study(grid(**axes), results_dir=tmp_path, train=False, progress=False, **SMOKE)
        return [result.timing for result in study.run()], note_beside(study)

    timings, said = run(seed="0,1", rung="eomt-masked,eomt")
    assert timings[:2] == timings[2:]
    assert timings[0].session == timings[1].session != ""
    assert "different times" not in said
    more, said = run(seed="0", rung="eomt,pmt")
    # What was timed before is timed again beside the new one, and each study keeps its own.
    assert more[0].key == timings[1].key
    assert more[0].session == more[1].session > timings[1].session
    assert "different times" not in said
    assert run(seed="0,1", rung="eomt-masked,eomt")[0] == timings
    assert run(seed="0", rung="eomt,pmt")[0] == more
