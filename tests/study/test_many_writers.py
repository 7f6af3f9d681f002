"""Many processes at one results folder, killed at random."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eomtlib.study.records.store import ResultStore
from eomtlib.study.study import Study
from tests.samples import SMOKE

WRITERS = 8
SECONDS = float(os.environ.get("EOMTLIB_WRITERS_SECONDS", 30))
SEEDS = range(round(SECONDS / 2.5))  # as many runs as take about that long
OPTIONS = SMOKE | {"duration": "12steps", "checkpoint_every": "3steps"}


def learn(folder, seeds):
    """What a writer does: all runs, in an order of its own."""
    Study(
        [{"rung": "eomt", "seed": seed} for seed in seeds],
        results_dir=folder,
        progress=False,
        **OPTIONS,
    ).learn()


def disturb(folder):
    """Keeps the writers going for a while, and kills one of them again and again."""
    context, draw = multiprocessing.get_context("fork"), random.Random(0)
    writers: list = [None] * WRITERS
    killed, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        for slot, writer in enumerate(writers):
            if writer is None or not writer.is_alive():
                seeds = draw.sample(SEEDS, len(SEEDS))
                writers[slot] = context.Process(target=learn, args=(folder, seeds))
                writers[slot].start()
        time.sleep(draw.uniform(0.1, 0.8))
        victim = draw.choice(writers)
        if victim.is_alive():
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            killed += 1
        if len(ResultStore(folder).records("evaluation")) == len(SEEDS):
            break
    for writer in writers:
        writer.kill()
        writer.join()
    print(killed)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_nothing_is_lost_torn_or_doubled(tmp_path, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path / "cache"))
    learn(tmp_path / "quiet", SEEDS)
    # In a process of its own, which PyTorch has no threads in before it is forked.
    root = Path(__file__).parents[2]
    program = "import sys\nfrom tests.study.test_many_writers import disturb\ndisturb(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "disturbed"],
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
    )
    assert int(done.stdout.split()[-1]) > 5
    before = ResultStore(tmp_path / "disturbed").records()
    learn(tmp_path / "disturbed", SEEDS)
    quiet, disturbed = (ResultStore(tmp_path / name).records() for name in ("quiet", "disturbed"))
    assert [record for record in before if record not in disturbed] == []  # none is lost
    for kind in ("training", "evaluation"):
        seeds = [r.seed for r in disturbed if r.kind == kind] if kind == "training" else SEEDS
        assert sorted(seeds) == list(SEEDS)  # none is doubled
        assert len([r for r in disturbed if r.kind == kind]) == len(SEEDS)
    files = list((tmp_path / "disturbed" / "records").glob("*.json"))
    assert len(files) == len(disturbed)  # none is torn

    def figures(records):
        trainings = {r.id: r for r in records if r.kind == "training"}
        return {
            trainings[r.training_id].seed: (trainings[r.training_id].final_loss, r.metrics)
            for r in records
            if r.kind == "evaluation"
        }

    assert figures(disturbed) == figures(quiet)
