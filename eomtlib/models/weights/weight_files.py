"""Files of weights from outside: opened without running anything in them, checked, then copied.

A file is mapped into memory, not read. It is mapped anew for every portion that is copied, so that
a model is filled with little more than its own memory.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from eomtlib.core.errors import CheckpointError
from eomtlib.models.weights.layouts import OWN_NAMES, Layout

StateDict = dict[str, Tensor]

SHARD_INDEX = ".index.json"

_PORTIONS = 8
_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")


def open_state_dict(path: Path) -> StateDict:
    """The entries of a safetensors file, a pickle of tensors, or an index of such files (shards).

    The tensors are views of the mapped file: the kernel reads what is used, and may drop it again.

    Raises:
        CheckpointError: when the file is truncated, no weights file, or carries code.
    """
    if path.name.endswith(SHARD_INDEX):
        return _open_shards(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, because it holds more than tensors (or is damaged): a pickle can "
            "carry code. Save its state dict alone, best as safetensors."
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as weights ({error}). Is it complete? Fetch it again. (Was it "
            "saved by PyTorch 1.5 or older? Load it there and save it as safetensors.)"
        ) from error
    # Training programs wrap the state dict.
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, not a state dict.")
    for name, value in state.items():
        dense = isinstance(value, Tensor) and value.layout == torch.strided
        if not (isinstance(name, str) and dense):
            kind = "sparse tensor" if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(
                f"{path}: the entry {name!r} is a {kind}, not a dense tensor under a name; save "
                "the state dict alone."
            )
    return state


def _open_shards(index: Path) -> StateDict:
    try:
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        if not all(isinstance(shard, str) for shard in shards):
            raise TypeError("a file name is no text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: is no index of weight files ({error}).") from error
    state: StateDict = {}
    for shard in shards:
        if Path(shard).name != shard or Path(shard).suffix not in _SUFFIXES:
            raise CheckpointError(
                f"{index}: names {shard!r}, which is no weights file in its own folder; refused."
            )
        if not (index.parent / shard).is_file():
            raise CheckpointError(f"{index}: names {shard}, which is not beside it. Fetch it.")
        state |= open_state_dict(index.parent / shard)
    return state


def copy_entries(
    targets: Mapping[str, Tensor],
    open_source: Callable[[], Mapping[str, Tensor]],
    *,
    path: Path,
    layout: Layout = OWN_NAMES,
    add: Callable[[str], bool] = lambda name: False,
) -> None:
    """Fills tensors from a file; nothing is changed unless all of it fits.

    Args:
        targets: name → tensor to be filled, as ``state_dict`` gives them.
        open_source: maps the file anew and returns its entries.
        path: of the file, for messages.
        layout: how the file calls the targets; what makes one together is joined along the first
            axis.
        add: whether a target is added to, because the file holds a difference.

    Raises:
        CheckpointError: naming the first missing, surplus, misshapen or non-finite entries.
    """
    _check_names(targets, open_source(), path=path, layout=layout)
    for source, portion in _portions(targets, open_source):
        for name in portion:
            for part in layout.names(name):
                value = source[part].to(targets[name].dtype)
                if value.is_floating_point() and not torch.isfinite(value).all():
                    raise CheckpointError(f"{path}: {part} holds values that are not finite.")
    with torch.no_grad():
        for source, portion in _portions(targets, open_source):
            for name in portion:
                parts = [source[part] for part in layout.names(name)]
                value = parts[0] if len(parts) == 1 else torch.cat(parts)
                value = value.reshape(targets[name].shape)
                targets[name].add_(value) if add(name) else targets[name].copy_(value)


def _portions(
    targets: Mapping[str, Tensor], open_source: Callable[[], Mapping[str, Tensor]]
) -> Iterator[tuple[Mapping[str, Tensor], list[str]]]:
    """Names in groups, each with the file mapped for it alone."""
    names = list(targets)
    size = max(1, math.ceil(len(names) / _PORTIONS))
    for start in range(0, len(names), size):
        yield open_source(), names[start : start + size]


def _check_names(
    targets: Mapping[str, Tensor], source: Mapping[str, Tensor], *, path: Path, layout: Layout
) -> None:
    misshapen, missing, used = [], [], set()
    for name, target in targets.items():
        parts = layout.names(name)
        used.update(parts)
        absent = [part for part in parts if part not in source]
        missing += absent
        if not absent:
            # The parts of a joined entry are of one size, which theirs must be.
            needed = (target.shape[0] // len(parts), *target.shape[1:]) if target.ndim else ()
            misshapen += [
                f"{part} is {_text(source[part], source[part].shape)} where the model has "
                f"{_text(target, needed)}"
                for part in parts
                if without_leading_ones(source[part].shape) != without_leading_ones(needed)
                or (target.is_floating_point() and not source[part].is_floating_point())
            ]
    surplus = [name for name in source if name not in used and not layout.is_ignored(name)]
    for problem, entries in (
        ("has entries of the wrong shape or type", misshapen),
        ("lacks entries", missing),
        ("has entries that the model does not know", surplus),
    ):
        if entries:
            more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
            raise CheckpointError(
                f"{path}: {problem}: {'; '.join(entries[:3])}{more}. Is it a file of this model "
                "at this size?"
            )


def without_leading_ones(shape: tuple[int, ...], *, keep: int = 1) -> tuple[int, ...]:
    """A shape less its axes of length 1 in front, at least ``keep`` of its axes left.

    Position embeddings and single tokens are kept with and without an axis for the batch.
    """
    shape = tuple(shape)
    while len(shape) > keep and shape[0] == 1:
        shape = shape[1:]
    return shape


def _text(tensor: Tensor, shape: tuple[int, ...]) -> str:
    sides = "×".join(map(str, shape)) or "a scalar"
    return f"{sides} {str(tensor.dtype).removeprefix('torch.')}"
