"""A training loader with one boolean mask per segment, on torchvision's v2 transforms."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor
from torchvision import io, tv_tensors
from torchvision.transforms import v2


class MaskStackCoco(torch.utils.data.Dataset):
    """COCO panoptic for training: image, masks and classes, augmented as EoMT's papers say.

    Args:
        root: a folder in COCO's layout.
        split: ``train`` or ``val``.
        side: of the square crop in pixels.
    """

    def __init__(self, root: Path, split: str, side: int) -> None:
        annotations = json.loads((root / "annotations" / f"panoptic_{split}2017.json").read_text())
        names = {image["id"]: image["file_name"] for image in annotations["images"]}
        index = {c["id"]: i for i, c in enumerate(annotations["categories"])}
        self.images = root / f"{split}2017"
        self.maps = root / "annotations" / f"panoptic_{split}2017"
        self.items = [
            (
                names[entry["image_id"]],
                entry["file_name"],
                torch.tensor([s["id"] for s in entry["segments_info"] if not s["iscrowd"]]),
                torch.tensor(
                    [index[s["category_id"]] for s in entry["segments_info"] if not s["iscrowd"]]
                ),
            )
            for entry in annotations["annotations"]
        ]
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.ScaleJitter(target_size=(side, side), scale_range=(0.1, 2.0), antialias=True),
                v2.RandomCrop(side, pad_if_needed=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> tuple[Tensor, dict[str, Tensor]]:
        image_name, map_name, ids, labels = self.items[position]
        image = io.decode_image(str(self.images / image_name), mode=io.ImageReadMode.RGB)
        colours = io.decode_image(str(self.maps / map_name), mode=io.ImageReadMode.RGB).int()
        segment = colours[0] + 256 * colours[1] + 256**2 * colours[2]
        masks = tv_tensors.Mask(segment == ids[:, None, None])
        image, masks = self.transform(tv_tensors.Image(image), masks)
        seen = masks.flatten(1).any(1)
        return image, {"masks": masks[seen], "labels": labels[seen]}
