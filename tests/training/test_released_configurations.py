"""Every image configuration that the authors released, number by number.

The lists are facts of their repositories (tue-mps/eomt at 7bd19dd, tue-mps/pmt at 54d73c9); what a
configuration leaves out is the default of their code, written out here.
"""

import csv
from pathlib import Path

import pytest
import torch

from eomtlib.core.words import DATASET_TASKS, NUM_CLASSES
from eomtlib.models.build import build_model
from eomtlib.models.encoder_names import TIMM_NAMES
from eomtlib.models.ladder import HEAD_SIZES
from eomtlib.study.parameters.defaults import defaults_for
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.runs.identity import chosen_recipe
from eomtlib.training.masking import windows_of
from eomtlib.training.optimization import parameter_groups

CONFIGURATIONS = list(
    csv.DictReader((Path(__file__).parent / "released_configs.csv").open(encoding="utf-8"))
)
DEFAULTS = {
    "img_size": "[640, 640]",
    "lr": "1e-4",
    "llrd": "0.8",
    "llrd_l2_enabled": "true",
    "warmup_steps": "[500, 1000]",
    "num_q": "200",
    "num_blocks": "4",
    "backbone_name": "vit_large_patch14_reg4_dinov2",
}
ENCODERS = {
    f"facebook/dinov3-vit{size[0]}16-pretrain-lvd1689m": (size, "dinov3")
    for size in ("small", "base", "large")
} | {
    f"vit_{size}_patch14_reg4_dinov2": (size, "dinov2")
    for size in ("small", "base", "large", "giant")
}
# The steps that the lists were made for: data set and epochs → length. The other lengths are those
# of 118,287 or 20,210 images less those without a segment.
LENGTHS = {
    ("coco", 12): 12 * 7391,
    ("coco", 24): 24 * 7391,
    ("ade20k", 31): 39_120,
    ("cityscapes", 107): 107 * 186,  # the last batch of an epoch was counted, which is none of ours
}
# ADE20K's 16 epochs are 20,192 steps for PMT; EoMT's list was made for half of the 31 epochs' one.
SIXTEEN = {"eomt": 19_560, "pmt": 20_192}


def numbers(text):
    return [float(item) for item in text.strip('[]"').split(",")]


@pytest.mark.parametrize(
    "row", CONFIGURATIONS, ids=lambda row: f"{row['repository']}/{row['config']}"
)
def test_released_configurations(row):
    said = {name: row[name] or DEFAULTS.get(name, "") for name in row}
    parts = said["config"].split("/")
    dataset, task, file = parts[-3:]
    size, pretraining = ENCODERS[said["backbone_name"].strip('"')]
    rung, epochs = said["repository"], int(said["max_epochs"])
    # With DINOv2 twice as long is a choice of the smaller models' second configuration.
    longer = {"epochs": epochs} if pretraining == "dinov2" and "_2x" in file else {}
    sides = [int(side) for side in numbers(said["img_size"])]
    settings = resolve_settings(
        rung=rung,
        size=size,
        pretraining=pretraining,
        dataset=dataset,
        task=task,
        device="cpu",
        image_size="x".join(str(side) for side in sides) if row["img_size"] else 0,
        **longer,
    )
    recipe = chosen_recipe(rung, settings)
    full = defaults_for(
        dataset, size=size, pretraining=pretraining, task=task, device="cuda", rung=rung
    )[0]

    assert recipe.epochs == epochs
    if not longer:
        assert full.duration == f"{epochs}epochs"
    if row["img_size"] == "" and dataset == "coco":
        assert full.image_size == 640
    assert recipe.batch_size == 16
    head = HEAD_SIZES[size]
    assert head.num_queries // (1 + (task == "semantic")) == int(said["num_q"])
    blocks = head.pmt_blocks if rung == "pmt" else head.query_blocks
    assert blocks == int(said["num_blocks"])

    optimizer = recipe.optimizer
    lr = float(said["lr"].strip('"'))
    assert optimizer.lr == lr
    assert optimizer.weight_decay == 0.05
    warmup = numbers(said["warmup_steps"])
    assert list(optimizer.warmup_steps) == warmup
    assert recipe.gradient_clip == 0.01
    assert optimizer.schedule == ("cosine" if rung == "pmt" else "poly")

    total = SIXTEEN[rung] if epochs == 16 else LENGTHS[dataset, epochs]
    windows = windows_of(recipe.annealing, blocks, total_steps=total)
    starts = numbers(said["attn_mask_annealing_start_steps"])
    ends = numbers(said["attn_mask_annealing_end_steps"])
    assert [start * total for start, _ in windows] == pytest.approx(starts, abs=2)
    assert [end * total for _, end in windows] == pytest.approx(ends, abs=2)

    if rung == "pmt":
        return  # its encoder is frozen
    with torch.device("meta"):
        model = build_model(
            rung,
            size=size,
            pretraining=pretraining,
            image_size=64,
            num_classes=NUM_CLASSES[dataset, task],
            load_weights=False,
        )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {
        names[id(parameter)]: group["lr"]
        for group in parameter_groups(model, optimizer)
        for parameter in group["params"]
    }
    depth, decay = model.encoder.depth, float(said["llrd"])
    for block in range(depth):
        # ``lr_mult`` stands in a branch that their code never reaches.
        exempt = said["llrd_l2_enabled"] == "false" and block >= depth - blocks
        expected = lr * (1.0 if exempt else decay ** (depth - 1 - block))
        found = rates[f"encoder.backbone.blocks.{block}.norm1.weight"]
        assert found == pytest.approx(expected, rel=1e-9), block
    assert rates["queries"] == rates["encoder.backbone.norm.weight"] == lr


def test_all_are_there():
    assert len(CONFIGURATIONS) == 31
    assert {row["repository"] for row in CONFIGURATIONS} == {"eomt", "pmt"}
    assert all(row["attn_mask_annealing_enabled"] == "true" for row in CONFIGURATIONS)
    assert set(ENCODERS.values()) <= {
        (size, name) for name, sizes in TIMM_NAMES.items() for size in sizes
    }
    assert set(DATASET_TASKS) >= {row["config"].split("/")[-3] for row in CONFIGURATIONS}
