"""What a model costs in numbers: parameters and multiply-accumulates.

The papers' "GFLOPs" are giga multiply-accumulates, GMACs, and are called so here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

from eomtlib.models.build import build_model
from eomtlib.models.parts.deformable_attention import DeformableAttention
from eomtlib.models.parts.masked_attention import Masking


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, each counted once however often it is used."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_gmacs(
    build: Callable[[], nn.Module],
    image_size: int | tuple[int, int],
    *,
    call: Callable[[nn.Module, Tensor], object] = lambda model, images: model.predict(images),
) -> float:
    """Giga multiply-accumulates of one image's inference; nothing is computed, no memory is taken.

    Half of what PyTorch's operator counter counts on the meta device (matrix products, attention
    and convolutions), plus the sampling of deformable attention, which it does not see: 5
    multiply-accumulates per sampled point and channel. Masked attention is counted as published,
    with every mask in every pixel, although ours computes its masks on the tokens' grid alone.

    Args:
        build: makes the model; called under the meta device, so it must not load weights.
        image_size: height and width, or one number for a square.
        call: what is counted, given the model in eval mode and ``[1, 3, H, W]`` float images.

    Returns:
        10⁹ multiply-accumulates.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    with torch.device("meta"), torch.inference_mode():
        model = build().eval().requires_grad_(False)
        images = torch.empty(1, 3, *size)
        unseen: list[int] = []

        def count_unseen(module: nn.Module, args: tuple, kwargs: dict[str, Any], _: object) -> None:
            if isinstance(module, DeformableAttention):
                query = kwargs["query"] if "query" in kwargs else args[0]
                unseen.append(module.sampling_macs(query.shape[1], query.shape[0]))
            elif isinstance(module, Masking):
                unseen.append(module.spared_macs(*args[:2]))

        hooked = register_module_forward_hook(count_unseen, with_kwargs=True)
        with hooked, FlopCounterMode(display=False) as counter:
            call(model, images)
    return (counter.get_total_flops() / 2 + sum(unseen)) / 1e9


@cache
def count_costs(
    rung: str, *, masked: bool | None = None, **architecture: Any
) -> tuple[float, float]:
    """Millions of parameters, and GMACs of one image's inference; counted once.

    Args:
        rung: of the ladder.
        masked: whether attention is masked; by default as the model was trained to end up.
        architecture: further arguments of ``build_model``, without ``weights``.
    """
    with torch.device("meta"):
        model = build_model(rung, **architecture, load_weights=False)
    gmacs = count_gmacs(
        lambda: model,
        architecture["image_size"],
        call=lambda model, images: model.predict(images, masked=masked),
    )
    return count_parameters(model) / 1e6, gmacs
