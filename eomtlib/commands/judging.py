"""What verbs that judge a checkpoint have in common: the images, and the model that sees them."""

from __future__ import annotations

import argparse

from torch.utils.data import DataLoader

from eomtlib.commands.checkpoint import open_checkpoint
from eomtlib.core import distributed
from eomtlib.core.words import DEFAULT_SIZE
from eomtlib.data.dataset import SegmentationDataset
from eomtlib.data.feed.loaders import eval_loader
from eomtlib.data.registry import open_dataset
from eomtlib.inference.segmenter import Segmenter
from eomtlib.inference.tasks import get_task
from eomtlib.models.checkpoints import ModelConfig
from eomtlib.study.defaults import embedded_defaults
from eomtlib.study.parsing import read_split, whole


def open_data(
    chosen: argparse.Namespace, task: str, known: ModelConfig | None, device: str
) -> tuple[SegmentationDataset, int]:
    """The data set that was chosen, and how many images of it; 0 for all.

    Args:
        chosen: with the options of ``evaluate``.
        task: its name.
        known: what the model was trained on, if there is one: of ``shapes``, the size to draw.
        device: that it runs on.
    """
    # As everywhere, −1 is the default: all.
    limit = 0 if chosen.val_images == -1 else whole("val_images", chosen.val_images, at_least=0)
    named = {"train": chosen.train_data, "val": chosen.val_data}
    size = known.size if known else DEFAULT_SIZE
    with distributed.first_goes_first():  # it may write the embedded data set
        dataset = open_dataset(
            chosen.dataset,
            chosen.split,
            task=task,
            data_path=chosen.data_path or None,
            files=read_split(f"{chosen.split}_data", named.get(chosen.split, "")),
            image_size=known.image_size if known else None,
            val_images=limit or embedded_defaults(size, device).val_images,
            exif=chosen.exif,
            on_bad=chosen.on_bad,
            train_images=1 if chosen.split == "val" else 2000,  # of shapes, which draws both
        )
    return dataset, limit


def open_model(
    chosen: argparse.Namespace, name: str, dataset: SegmentationDataset, device: str, *, limit: int
) -> tuple[Segmenter, DataLoader]:
    """What segments with ``chosen.checkpoint`` for the task of a name, and the images for it."""
    task = get_task(name)
    model, config = open_checkpoint(chosen, classes=dataset.classes)
    segmenter = Segmenter(
        model,
        task=name,
        device=device,
        precision=chosen.precision,
        **task.class_options(dataset.classes),
    )
    loader = eval_loader(
        dataset,
        canvas=config.image_size,
        batch_size=chosen.batch_size,
        num_workers=chosen.workers,
        limit=limit,
        pin_memory=device.startswith("cuda"),
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        in_windows=task.in_windows,
    )
    return segmenter, loader
