"""Mask annealing taken apart: which runs answer EoMT's Tables 7 and C, and what queries look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from eomtlib.data.feed.transforms import EvalTransform
from eomtlib.models.attention_maps import query_attention
from eomtlib.models.checkpoints import load_model
from eomtlib.models.ladder import LADDER
from eomtlib.study.parameters import parse_seeds
from eomtlib.study.store import load_paper_table
from eomtlib.study.sweep import Point, SweepRun

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


def with_models(frame: pd.DataFrame) -> pd.DataFrame:
    """``sweep.to_frame``'s table with a column ``model`` that is the same for EoMT's two rungs."""
    return frame.assign(model=[_model(rung) for rung in frame["rung"]])


def printed_masking() -> pd.DataFrame:
    """EoMT's Tables 7 and C, a row for each ``model``, ``masking`` and ``inference_masking``."""
    table = load_paper_table("eomt_table7_mask_annealing")
    named = table.rename(columns={"train": "masking", "inference": "inference_masking"})
    keys = ["masking", "inference_masking"]
    of_eomt = named[[*keys, "gmacs", "fps"]].assign(model=_model("eomt"), pq=named["pq_eomt"])
    # GMACs and FPS are printed for EoMT alone.
    of_m2f = named[keys].assign(model=_model("vit-adapter-m2f"), pq=named["pq_vit_adapter_m2f"])
    return pd.concat([of_eomt, of_m2f], ignore_index=True)


def attention_rows(
    runs: Sequence[SweepRun], *, seed: int, image_index: int = 0
) -> tuple[np.ndarray, dict[str, tuple[list[np.ndarray], np.ndarray]]]:
    """What the query of the surest segment of an image looks at, for each trained EoMT.

    Args:
        runs: of ``masking_points``.
        seed: whose runs are looked at.
        image_index: of the validation set.

    Returns:
        The image as the models see it, and rows as ``plots.plot_attention`` takes them.
    """
    chosen = [
        run
        for run in runs
        if run.result.run_dir is not None
        and LADDER[run.result.rung].has_query_blocks
        and run.study.settings.seed == seed
    ]
    study = runs[0].study
    device = study.settings.device
    image, _ = study.experiment.val_set.read(image_index)
    fitted = EvalTransform(study.settings.image_size).fit(image)
    rows = {}
    for run in chosen:
        model, _ = load_model(run.result.run_dir / "model")
        model.to(device)
        masked = run.inference_masking == "masked"
        with torch.inference_mode():
            masks, classes = model.predict(fitted[None].to(device), masked=masked)
        query = int(classes[0].softmax(dim=-1)[:, :-1].amax(dim=-1).argmax())
        maps = query_attention(model, fitted[None].to(device), masked=masked)
        rows[f"trained {run.masking},\nrun {run.inference_masking}"] = (
            [block[0, query].cpu().numpy() for block in maps],
            masks[0, query].sigmoid().cpu().numpy(),
        )
    return fitted.permute(1, 2, 0).numpy(), rows


def _model(rung: str) -> Any:
    return LADDER["eomt" if rung == "eomt-masked" else rung].title
