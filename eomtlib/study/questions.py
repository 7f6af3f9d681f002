"""Which runs answer which of the papers' questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.machine.precision import resolve_device
from eomtlib.core.words import COST_IMAGE_SIZE, OWN_SIZES, PAPER_SIZES, PRETRAININGS, SIZES
from eomtlib.models.build import own_choices
from eomtlib.models.encoder_names import has_encoder
from eomtlib.models.ladder import LADDER
from eomtlib.models.timm_vits import is_timm, timm_vit
from eomtlib.study.parameters.parsing import (
    as_list,
    parse_numbers,
    parse_rungs,
    parse_seeds,
    pretraining_among,
    read_list,
)
from eomtlib.study.points import Point
from eomtlib.study.records.kinds import TimingRecord
from eomtlib.study.study import Study

_WAYS: dict[str, tuple[dict[str, str], ...]] = {
    # The ladder's own rungs where there are, so that the ablation's runs are found again.
    "eomt": (
        {"rung": "eomt-masked"},
        {"rung": "eomt-masked", "inference_masking": "unmasked"},
        {"rung": "eomt", "masking": "unmasked"},
        {"rung": "eomt"},
    ),
    "vit-adapter-m2f": (
        {"rung": "vit-adapter-m2f"},
        {"rung": "vit-adapter-m2f", "inference_masking": "unmasked"},
        {"rung": "vit-adapter-m2f", "masking": "unmasked"},
        {"rung": "vit-adapter-m2f", "masking": "annealed"},
    ),
}


def masking_points(models: Sequence[str], seeds: str | int | Sequence[int]) -> list[Point]:
    """Four ways to train and run each model: masked, masked and run without, unmasked, annealed.

    Args:
        models: ``eomt``, ``vit-adapter-m2f`` or both.
        seeds: as ``parse_seeds`` takes them.
    """
    return [
        {"seed": seed, **way}
        for seed in parse_seeds(seeds)
        for model in models
        for way in _WAYS[model]
    ]


def frozen_points(
    size: str,
    *,
    pretraining: str = "none",
    seeds: str | int | Sequence[int],
    taps: str | Sequence[int] = "",
    rungs: str | Sequence[str] = "all",
) -> list[dict[str, Any]]:
    """Each rung with its encoder trained and frozen, and PMT with one thing changed.

    Args:
        size: of the encoder.
        pretraining: likewise; a name of timm's decides how many blocks there are.
        seeds: as ``parse_seeds`` takes them.
        taps: another set of tapped blocks; the encoder's last ones, as many as PMT taps, by
            default.
        rungs: that are compared with themselves; PMT always is.

    Returns:
        Points, PMT's first, with two more names: ``model`` tells each from the others, ``encoder``
        is ``trained`` or ``frozen``, and empty for PMT with something else changed.
    """
    of_timm = is_timm(pretraining)
    own = own_choices("pmt", size=size, pretraining=pretraining if of_timm else "none").taps
    depth = own[-1] + 1
    last = range(depth - len(own), depth)
    other = tuple(last) if taps in ("", ()) else parse_numbers("taps", taps, at_least=0)
    models: dict[str, dict[str, Any]] = {
        "PMT": {"rung": "pmt", "encoder": "frozen"},
        "PMT, encoder trained": {"rung": "pmt", "freeze": "none", "encoder": "trained"},
        "PMT without lateral connections": {"rung": "pmt", "lateral_connections": False},
        f"PMT, taps {', '.join(map(str, other))}": {"rung": "pmt", "taps": other},
    }
    for rung in (name for name in parse_rungs(rungs) if name != "pmt"):
        title = LADDER[rung].title
        models[title] = {"rung": rung, "encoder": "trained"}
        models[f"{title}, encoder frozen"] = {
            "rung": rung,
            "freeze": "encoder",
            "encoder": "frozen",
        }
    return [
        {"model": name, "encoder": "", "seed": seed, **choice}
        for seed in parse_seeds(seeds)
        for name, choice in models.items()
    ]


def time_ladder(
    *,
    sizes: str | Sequence[str] = "",
    pretrainings: str | Sequence[str] = "dinov2",
    rungs: str | Sequence[str] = "all",
    timing_modes: str | Sequence[str] = "",
    samplers: str | Sequence[str] = "",
    device: str = "auto",
    precision: str = "auto",
    image_size: int | None = None,
    results_dir: str | Path = "results/runs",
    progress: bool = True,
) -> list[TimingRecord]:
    """Times rungs × sizes × pretrainings × modes × samplers; what is timed already is found again.

    Args:
        sizes: of the encoder; by default the papers' on a GPU, ``nano`` on a CPU. Sizes of our own
            are the same architecture after any pretraining, timed as ``none``; names of timm's
            have a size of their own.
        pretrainings: architectures of the encoder; a pair that does not exist is left out.
        rungs: names, or ``all``.
        timing_modes: of ``timing.TIMING_MODES``; by default eager, on a GPU compiled as well.
        samplers: of deformable attention, ``pytorch``, ``triton``, for the rungs that have it; by
            default ``pytorch``, on a GPU with Triton both.
        device: to time on.
        precision: ``auto`` or a name.
        image_size: side of the square input; 640, and 64 for our own sizes, when None.
        results_dir: where records are looked for and written.
        progress: whether notices are shown.

    Returns:
        The records of this machine that are of these models, model by model.

    Raises:
        ConfigurationError: for an unknown name, or where no size has any of the pretrainings.
    """
    chosen = parse_rungs(rungs)
    default = ("nano",) if resolve_device(device) == "cpu" else PAPER_SIZES
    sizes = as_list("sizes", sizes or default, SIZES)
    named = read_list("pretrainings", pretrainings, pretraining_among(PRETRAININGS))
    published = [name for name in named if not is_timm(name)]
    pairs = [
        (size, pretraining)
        for size in sizes
        for pretraining in (("none",) if size in OWN_SIZES else published)
        if has_encoder(size, pretraining)
    ]
    pairs = pairs if published else []
    pairs += [(timm_vit(name).size, name) for name in named if is_timm(name)]
    if not pairs:
        raise ConfigurationError(
            f"sizes={', '.join(sizes)} and pretrainings={', '.join(named)} have no encoder "
            "in common; add another of either."
        )
    records: list[TimingRecord] = []
    for size, pretraining in pairs:
        study = Study(
            rungs=chosen,
            size=size,
            pretraining=pretraining,
            image_size=image_size or (64 if size in OWN_SIZES else COST_IMAGE_SIZE),
            # One image of the input's size, for the way from image to segmentation.
            train_images=1,
            val_images=1,
            train=False,
            device=device,
            precision=precision,
            timing_modes=timing_modes,
            samplers=samplers,
            results_dir=results_dir,
            progress=progress,
        )
        for result in study.run():
            records += result.timings
    return records
