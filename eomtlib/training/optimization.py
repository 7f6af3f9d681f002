"""AdamW with layer-wise decay, and learning rates that warm up in two stages and then fall.

EoMT (Kerssies et al., CVPR 2025, Section 4.1 and Appendix A); the cosine schedule and the warm-up
in one stage are PMT's (Cavagnero et al., CVPR Workshops 2026).
"""

from __future__ import annotations

import math
import re
from functools import partial

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from eomtlib.core.errors import ConfigurationError
from eomtlib.training.hyperparameters import OptimizerConfig

_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
_BEFORE_BLOCKS = re.compile(
    r"(?:^|\.)(patch_embed|pos_embed|cls_token|reg_token|norm_pre|rope)(?:\.|$)"
)
_FINAL_NORM = re.compile(r"(?:^|\.)(norm|fc_norm)\.")


def warmup_lengths(config: OptimizerConfig, total_steps: int) -> tuple[float, ...]:
    """The stages of the warm-up in steps of a run of ``total_steps``, not rounded."""
    stages = config.warmup_steps
    if isinstance(stages[0], float):
        return tuple(stage * total_steps for stage in stages)
    shrink = min(1.0, config.max_warmup * total_steps / max(1, sum(stages)))
    return tuple(stage * shrink for stage in stages)


def lr_factor(step: int, total_steps: int, *, is_encoder: bool, config: OptimizerConfig) -> float:
    """What a parameter's peak learning rate is multiplied by at one step.

    Args:
        step: optimizer steps done so far.
        total_steps: of the run.
        is_encoder: whether the parameter is the encoder's.
        config: the schedule.

    Returns:
        A factor in [0, 1].
    """
    stages = warmup_lengths(config, total_steps)
    start = stages[0] if is_encoder and len(stages) == 2 else 0.0
    length = stages[-1] if is_encoder else stages[0]
    end = start + length
    if step < start:
        return 0.0
    if step < end:
        return (step - start) / length
    fallen = min(1.0, (step - end) / (total_steps - end))
    if config.schedule == "poly":
        return (1 - fallen) ** config.power
    floor = config.final_lr / config.lr
    return floor + (1 - floor) * (1 + math.cos(math.pi * fallen)) / 2


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, object]]:
    """The trained parameters, grouped by learning rate, weight decay and whose they are.

    Args:
        model: a model of the ladder; its ViT is ``model.encoder``.
        config: learning rates and decay.

    Returns:
        Groups for an optimizer: ``params``, ``lr`` (the peak), ``weight_decay``, and for us
        ``is_encoder`` and ``name``. Parameters that need no gradient are in none.

    Raises:
        ConfigurationError: when nothing is trained, or the encoder has a parameter whose depth
            cannot be told from its name.
    """
    encoder = {id(parameter): name for name, parameter in model.encoder.named_parameters()}
    depth = 1 + max((int(m[1]) for m in map(_BLOCK.search, encoder.values()) if m), default=0)
    groups: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        name = encoder.get(id(parameter))
        lr = config.lr * (1.0 if name is None else _encoder_factor(name, depth, config))
        decay = config.weight_decay if config.decay_vectors or parameter.ndim > 1 else 0.0
        groups.setdefault((name is not None, lr, decay), []).append(parameter)
    if not groups:
        raise ConfigurationError("No parameter of the model needs a gradient; nothing to train.")
    return [
        {
            "params": parameters,
            "lr": lr,
            "weight_decay": decay,
            "is_encoder": is_encoder,
            "name": f"{'encoder' if is_encoder else 'new'}, lr {lr:.3g}, decay {decay:g}",
        }
        for (is_encoder, lr, decay), parameters in groups.items()
    ]


def _encoder_factor(name: str, depth: int, config: OptimizerConfig) -> float:
    """What ``lr`` is multiplied by for the encoder's parameter ``name``."""
    if found := _BLOCK.search(name):
        block = int(found[1])
    elif _BEFORE_BLOCKS.search(name):
        block = 0
    elif _FINAL_NORM.search(name):
        return 1.0
    else:
        raise ConfigurationError(
            f"The encoder's parameter {name!r} is neither in a block, nor before the blocks, nor "
            "the final norm; say in training/optimization.py where it belongs, or freeze it."
        )
    if found and block >= depth - config.exempt_blocks:
        return 1.0
    return config.encoder_lr_factor * config.layer_decay ** (depth - 1 - block)


def build_optimizer(
    model: nn.Module,
    config: OptimizerConfig,
    *,
    total_steps: int,
    betas: tuple[float, float] = (0.9, 0.999),
    scaled_loss: bool = False,
) -> tuple[AdamW, LambdaLR]:
    """AdamW over ``parameter_groups``, and the schedule that is to be stepped after each step.

    Args:
        model: a model of the ladder, on the device that it is trained on.
        config: learning rates, decay and schedule.
        total_steps: optimizer steps of the run.
        betas: of AdamW.
        scaled_loss: whether the loss is scaled, for float16: gradients are unscaled before they are
            clipped then, and PyTorch's fused step would do that itself.

    Raises:
        ConfigurationError: as ``parameter_groups``, and when there is no step.
    """
    if total_steps < 1:
        raise ConfigurationError(f"total_steps={total_steps} must be at least 1.")
    groups = parameter_groups(model, config)
    # Fused, several times faster on a CPU.
    optimizer = AdamW(groups, lr=config.lr, betas=betas, fused=None if scaled_loss else True)
    factors = [
        partial(lr_factor, total_steps=total_steps, is_encoder=group["is_encoder"], config=config)
        for group in groups
    ]
    return optimizer, LambdaLR(optimizer, factors)
