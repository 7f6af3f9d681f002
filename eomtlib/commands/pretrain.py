"""``pretrain``: masked-image pretraining of an encoder."""

from __future__ import annotations

import argparse

from eomtlib.core.errors import check_choice
from eomtlib.core.words import PRECISIONS, SIZES
from eomtlib.study.defaults import DEFAULTS
from eomtlib.study.parameters import (
    parse_image_size,
    resolve_device,
    resolve_precision,
    resolve_results_dir,
)
from eomtlib.training.pretraining import default_config, pretrain


def add_options(parser: argparse.ArgumentParser) -> None:
    """Pretrain an encoder on images without labels, where no weights can be fetched."""
    parser.add_argument("--size", default="nano", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--images", default="shapes", help="shapes, or a folder of JPEGs and PNGs")
    parser.add_argument("--image-size", default="", help="64, or 64x96 for height x width")
    parser.add_argument("--num-images", type=int, help="how many of shapes are drawn")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--lr", type=float, help="peak learning rate")
    parser.add_argument("--mask-ratio", type=float, help="share of the patches that are hidden")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help=f"of {', '.join(PRECISIONS)}")
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    parser.add_argument("--results-dir", default="results/runs")


def run(chosen: argparse.Namespace) -> None:
    """Pretrains, and says where the weights are."""
    check_choice("size", chosen.size, SIZES)
    device = resolve_device(chosen.device)
    kind = device.partition(":")[0]
    default_size = DEFAULTS[chosen.size, kind].image_size
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
        seed=chosen.seed,
    )
    weights = pretrain(
        config,
        results_dir=resolve_results_dir(chosen.results_dir),
        device=device,
        precision=resolve_precision(chosen.precision, kind),
        workers=chosen.workers,
    )
    print(f"Written: {weights}")
    print(
        "Use it: papermill notebooks/ablation.ipynb out.ipynb "
        f"-p size {config.size} -p pretraining mim -p weights {weights}"
    )
