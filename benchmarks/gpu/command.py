"""``python -m benchmarks gpu``: what is measured, in which order, and what came of it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

import benchmarks.gpu
from benchmarks.gpu.checks import rungs_are_right, samplers_are_right, training_step
from benchmarks.gpu.schedule import Part, results, run_parts
from benchmarks.gpu.speed import Encoder, Runs, folded, predictor
from eomtlib.core.files.atomic_files import write_file
from eomtlib.core.words import RUNGS
from eomtlib.inference.row_attention import autocast_inference
from eomtlib.report.tables import save_table
from eomtlib.report.tables.speed import speed_table
from eomtlib.study.records.store import ResultStore

_TABLE_3 = ("eomt", "vit-adapter-m2f", "eomt-masked")
ORDER = (*_TABLE_3, *(rung for rung in RUNGS if rung not in _TABLE_3))
"""From the most to the least telling."""


_OTHERS: tuple[tuple[str, Encoder], ...] = (
    ("eomt", ("large", "dinov3")),
    ("pmt", ("large", "dinov3")),
    ("eomt", ("large", "eva02")),
    *((rung, (size, "dinov2")) for size in ("base", "small", "giant") for rung in _TABLE_3),
)
_MODES = ("eager", "compiled", "cuda-graph", "max-autotune")


def parts_of(runs: Runs, encoder: Encoder) -> list[Part]:
    """Everything, from the most to the least valuable; without timings that are recorded.

    Args:
        runs: on a CPU it is a rehearsal.
        encoder: that all seven rungs are timed on.
    """
    others, modes = _OTHERS, runs.modes[:3]
    if runs.device == "cpu":
        others, modes = (("eomt", ("micro", "none")), ("eomt", ("small", "dinov3"))), ("eager",)

    def step(batch: int, compile_: str) -> Part:
        run = partial(training_step, runs, encoder, batch=batch, compile=compile_)
        name = f"training_eomt_{encoder[0]}_batch_{batch}_compile_{compile_}"
        return Part(name, f"training, {compile_}", 100 if compile_ == "yes" else 40, run)

    return [
        Part("check_samplers", "samplers", 15, partial(samplers_are_right, runs.device)),
        Part("check_rungs", "rungs", 20, partial(rungs_are_right, runs, ("nano", "none"))),
        *runs.timings(ORDER, encoder, runs.modes[:1]),
        step(4, "no"),
        *runs.timings(ORDER, encoder, runs.modes[1:3]),
        step(4, "yes"),
        *(part for rung, own in others for part in runs.timings([rung], own, modes)),
        step(16, "no"),
        *runs.timings(ORDER, encoder, runs.modes[3:]),
    ]


def main(arguments: Sequence[str]) -> None:
    """Measures until the time is up; the same command goes on where it stopped."""
    until = time.monotonic()
    parser = argparse.ArgumentParser("python -m benchmarks gpu", description=benchmarks.gpu.__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--out", type=Path, default=Path("results/runs/gpu"), help="what came out")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1")
    parser.add_argument("--rehearse", action="store_true", help="small, on a CPU")
    parser.add_argument("--only", default="", help="parts whose names hold one of these, by commas")
    parser.add_argument("--compile", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    until += 60 * chosen.minutes
    if not (chosen.rehearse or torch.cuda.is_available()):
        parser.error("there is no GPU here; --rehearse goes through everything on a CPU.")
    os.environ.setdefault("EOMTLIB_CACHE", str(chosen.out / "cache"))
    device, encoder, modes = chosen.device, ("large", "dinov2"), _MODES
    if chosen.rehearse:
        device, encoder, modes = "cpu", ("nano", "none"), _MODES[:2]
    runs = Runs(ResultStore(chosen.out), device, modes)
    if chosen.compile:
        _compile_alone(runs, encoder, *chosen.compile.split(":"))
        return
    words = chosen.only.split(",")
    parts = [part for part in parts_of(runs, encoder) if any(word in part.name for word in words)]
    run = partial(run_parts, folder=chosen.out / "parts", until=until, device=device)
    children = []
    if not (chosen.rehearse or chosen.only):
        children = _compile_beside(runs, encoder, chosen.out)
    try:
        unreached = run(parts[:2])
        waited = time.monotonic() + 0.3 * (until - time.monotonic())
        while time.monotonic() < waited and any(child.poll() is None for child in children):
            time.sleep(0.2)
    finally:
        for child in children:
            child.kill()
    unreached += run(parts[2:])
    print(summary(chosen.out, unreached))


def _compile_beside(runs: Runs, encoder: Encoder, out: Path) -> list[subprocess.Popen]:
    """Processes that compile the ladder at once, into the cache that is read later."""
    command = [sys.executable, "-m", "benchmarks", "gpu", "--device", runs.device, "--compile"]
    env = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "2", "OMP_NUM_THREADS": "1"}
    ways = {f"{rung}:{w[1]}" for rung in ORDER for w in runs.of(rung, encoder).missing_timings()}
    commands = [[*command, way, "--out", str(out)] for way in ways]
    return [subprocess.Popen(own, env=env, stderr=subprocess.DEVNULL) for own in commands]


@torch.inference_mode()
def _compile_alone(runs: Runs, encoder: Encoder, rung: str, sampler: str) -> None:
    segmenter, views = folded(runs.of(rung, encoder), sampler)
    with autocast_inference(segmenter.device, segmenter.precision):
        predictor(segmenter, "compiled")(views)


def summary(out: Path, unreached: Sequence[str]) -> str:
    """Writes ``summary.md``: every timing, the ladder's shape, and each part in a line."""
    lines = [f"- {found['name']}: {found['says']}" for found in results(out / "parts")]
    lines += [f"- not reached: {name}" for name in unreached]
    records = ResultStore(out).records("timing")
    if records:
        table = speed_table(records)
        _, page, _ = save_table(table, out / "summary")
        lines = [page.read_text(), *shapes(table), "", *lines]
    # Their README, for 4 images; printed FPS are of an H100, compiled.
    lines.append("- beside it: EoMT-L learns in 26 GB by its authors; the aim is 250 images/s")
    write_file(out / "summary.md", "\n".join(lines) + "\n")
    return "\n".join(lines)


def shapes(table: Any) -> list[str]:
    """The ladder as multiples of its first rung, with each sampler, and as it is printed."""
    said = []
    for (size, given, mode), own in table.groupby(["size", "pretraining", "mode"]):
        for sampler, column in product(set(own["sampler"]) - {"–"}, ("FPS", "FPS printed (H100)")):
            ladder = own[own["sampler"].isin([sampler, "–"])].drop_duplicates("rung")
            fps = ladder.set_index("rung")[column].dropna()
            if RUNGS[0] in fps.index:
                rates = ", ".join(
                    f"{rung} {value / fps[RUNGS[0]]:.2f}" for rung, value in fps.items()
                )
                said.append(f"- {size} {given} {mode} {sampler}, {column}: {rates}")
    return said
