"""``pretrain``: pretraining of an encoder without labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from eomtlib.core.console import deliver, show
from eomtlib.core.errors import check_choice
from eomtlib.core.machine.precision import resolve_device, resolve_precision
from eomtlib.core.words import SHIPPED, SIZES
from eomtlib.study.parameters.defaults import embedded_defaults
from eomtlib.study.parameters.parsing import parse_image_size, resolve_results_dir
from eomtlib.training.pretraining import check_shipping, default_config, pretrain, ship

_RECORDS = Path("results/encoders")


def run(chosen: argparse.Namespace) -> None:
    """Pretrains, and says where the weights are."""
    check_choice("size", chosen.size, SIZES)
    device = resolve_device(chosen.device)
    kind = device.partition(":")[0]
    default_size = embedded_defaults(chosen.size, device).image_size
    config = default_config(
        size=chosen.size,
        image_size=parse_image_size(chosen.image_size or default_size),
        images=chosen.images,
        device=device,
        num_images=chosen.num_images,
        steps=chosen.steps,
        batch_size=chosen.batch_size,
        lr=chosen.lr,
        mask_ratio=chosen.mask_ratio,
        teacher=chosen.teacher,
        seed=chosen.seed,
        probe_every=chosen.probe_every,
    )
    if chosen.ship:
        check_shipping(config)
    weights = pretrain(
        config,
        results_dir=resolve_results_dir(chosen.results_dir),
        device=device,
        precision=resolve_precision(chosen.precision, kind),
        workers=chosen.workers,
    )
    show(f"Written: {weights}")
    show(
        "Use it: papermill notebooks/ablation.ipynb out.ipynb "
        f"-p size {config.size} -p pretraining mim -p weights {weights}"
    )
    written = {"written": weights}
    if chosen.ship:
        written["shipped"], written["record"] = ship(weights, _RECORDS)
        show(f"It is now {SHIPPED}: {written['shipped']} (its record: {written['record']})")
    deliver(written)
