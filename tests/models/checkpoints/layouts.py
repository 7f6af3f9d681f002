"""Files of the released shapes: every entry is one number, expanded, so that they stay small."""

import re

import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from eomtlib.report.fidelity.released import fixture

COCO = {"num_queries": 200, "num_classes": 133}
WIDTHS = {"small": 384, "base": 768, "large": 1024}
DEPTHS = {"small": 12, "base": 12, "large": 24}


def expanded(shape):
    return torch.full((1,) * len(shape), 0.5).expand(shape)


def released_shapes(name, *, size, num_queries, num_classes, query_blocks, positions):
    """The fixture's entries (ViT-S, 12 queries, 7 classes, PMT with 3 blocks) at another size."""
    description, _ = fixture(name)
    width = WIDTHS[size]
    sides = {384: width, 192: width // 2, 1152: 3 * width, 1536: 4 * width}
    shapes = {}
    for key, shape in description["shapes"].items():
        if key.startswith(("q.", "decoder.q.")):
            shape = [num_queries, width]
        elif "class_head" in key:
            shape = [num_classes + 1, *([width] if len(shape) > 1 else [])]
        elif key.endswith("attn_mask_probs"):
            shape = [query_blocks]
        elif key.endswith("pos_embed"):
            shape = [1, positions, width]
        elif not key.endswith(("pixel_mean", "pixel_std")):
            shape = [sides.get(side, side) for side in shape]
        shapes[key] = shape
        for pattern, count in (
            (r"(encoder\.backbone\.blocks)\.11(\..+)", DEPTHS[size]),
            (r"(decoder\.blocks)\.2(\..+)", query_blocks),
        ):
            if found := re.fullmatch(pattern, key):
                shapes |= {f"{found[1]}.{n}{found[2]}": shape for n in range(count)}
    return shapes


def save_shapes(shapes, path, *, prefix="network."):
    torch.save({prefix + key: expanded(shape) for key, shape in shapes.items()}, path)
    return path


def dinov3_encoder(size, path):
    """facebook's layout at the released shapes."""
    width, depth = WIDTHS[size], DEPTHS[size]
    with torch.device("meta"):
        model = DINOv3ViTModel(
            DINOv3ViTConfig(
                hidden_size=width,
                num_hidden_layers=depth,
                num_attention_heads=width // 64,
                intermediate_size=4 * width,
                num_register_tokens=4,
            )
        )
    # Their published files have no prefix in front of the layers.
    shapes = {key.removeprefix("model."): value.shape for key, value in model.state_dict().items()}
    return save_shapes(shapes, path, prefix="")
