"""From an image file to its panoptic map with EoMT-S."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.compare import Comparison, time_pairs
from benchmarks.inputs import SIDE, Options, val_set
from benchmarks.peers.hugging_face import eomt_pair, processor
from eomtlib.data.transforms import EvalTransform
from eomtlib.evaluation.postprocessing import post_process_panoptic_segmentation
from eomtlib.structures import stuff_classes

NUM_IMAGES = 8


@torch.inference_mode()
def run(options: Options) -> list[Comparison]:
    """Random weights keep few queries, so the score threshold is lowered until 40 are kept."""
    dataset = val_set(options)
    stuff = sorted(stuff_classes(dataset.classes))
    files = sorted((options.data / "val2017").glob("*.jpg"))[:NUM_IMAGES]
    ours, theirs = eomt_pair("small", side=SIDE)
    fit, peer = EvalTransform((SIDE, SIDE)).fit, processor(SIDE)
    threshold = _threshold(ours, fit(_pixels(files[0])))

    def our_way(path: object) -> dict:
        pixels = _pixels(path)
        predicted = ours.predict_final(fit(pixels)[None])
        return post_process_panoptic_segmentation(
            predicted.masks[-1],
            predicted.class_logits[-1],
            target_sizes=[tuple(pixels.shape[1:])],
            input_size=(SIDE, SIDE),
            stuff_classes=stuff,
            threshold=threshold,
        )[0]

    def their_way(path: object) -> dict:
        image = Image.open(path).convert("RGB")
        inputs = peer(images=image, return_tensors="pt")
        outputs = theirs(inputs["pixel_values"])
        return peer.post_process_panoptic_segmentation(
            outputs,
            target_sizes=[(image.height, image.width)],
            stuff_classes=stuff,
            threshold=threshold,
        )[0]

    same = [
        (our_way(path)["segmentation"] == their_way(path)["segmentation"]).float().mean().item()
        for path in files
    ]
    turns, their_turns = cycle(files), cycle(files)
    return [
        Comparison(
            part="image file to panoptic map, EoMT-S, 640",
            peer="transformers' processor, model and post-processing, same weights",
            samples=time_pairs(
                lambda: our_way(next(turns)),
                lambda: their_way(next(their_turns)),
                seconds=options.seconds,
                min_pairs=len(files),
            ),
            bar=2.2,
            agreement=f"{100 * np.mean(same):.1f} % of pixels alike (the two resize images by "
            "different filters)",
            unit="1 image",
        )
    ]


def _pixels(path: object) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _threshold(model: torch.nn.Module, image: Tensor) -> float:
    _, classes = model.predict(image[None])
    scores, labels = classes.softmax(-1).max(-1)
    kept = scores[labels != classes.shape[-1] - 1]
    return kept.topk(min(40, len(kept))).values[-1].item()
