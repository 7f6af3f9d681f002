"""The sampling of deformable attention as one Triton kernel forward and one backward, for GPUs.

The plain formulation in ``deformable_attention`` is the reference, and what runs where there is no
Triton. The kernel reads each neighbour once and keeps nothing of the samples; the plain one writes
them all to memory between its steps.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_QUERIES_AT_ONCE = 16


@triton.jit
def _own_queries(num_queries, HEADS: tl.constexpr, BLOCK_Q: tl.constexpr):
    """This program's image and head, which of its queries there are, and their lines of output."""
    batch, head = tl.program_id(1) // HEADS, tl.program_id(1) % HEADS
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    return batch, head, query < num_queries, (batch * num_queries + query) * HEADS + head


@triton.jit
def _corner(
    tensor, row, column, inside, head, channel,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, START: tl.constexpr,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Where a neighbour's channels lie, and whether there is such a neighbour."""
    there = inside & (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)
    cell = START + row * COLUMNS + column
    at = tensor + ((cell * HEADS + head) * CHANNELS)[:, None] + channel[None, :]
    return at, there[:, None] & (channel < CHANNELS)[None, :]


@triton.jit
def _share(share, FAR: tl.constexpr):
    """A neighbour's share of the sample along one axis."""
    return share if FAR else 1 - share


@triton.jit
def _place(locations, weights, sample, inside, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The upper left neighbour, the way from there, and the weight of each sample."""
    x = tl.load(locations + 2 * sample, mask=inside, other=0.0) * COLUMNS - 0.5
    y = tl.load(locations + 2 * sample + 1, mask=inside, other=0.0) * ROWS - 0.5
    left, top = tl.floor(x), tl.floor(y)
    weight = tl.load(weights + sample, mask=inside, other=0.0)
    return top.to(tl.int32), left.to(tl.int32), x - left, y - top, weight


@triton.jit
def _sample_level(
    total, value, locations, weights, first_sample, inside, head, channel,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, START: tl.constexpr, POINTS: tl.constexpr,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    for point in range(POINTS):
        row, column, x, y, weight = _place(
            locations, weights, first_sample + point, inside, ROWS, COLUMNS
        )
        for corner in tl.static_range(4):
            at, there = _corner(
                value, row + corner // 2, column + corner % 2, inside, head, channel,
                ROWS, COLUMNS, START, HEADS, CHANNELS,
            )  # fmt: skip
            found = tl.load(at, mask=there, other=0.0).to(tl.float32)
            share = _share(x, corner % 2) * _share(y, corner // 2)
            total += (weight * share)[:, None] * found
    return total


@triton.jit
def _forward(
    value, locations, weights, out, num_cells, num_queries,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    SHAPES: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    batch, head, inside, line = _own_queries(num_queries, HEADS, BLOCK_Q)
    channel = tl.arange(0, BLOCK_C)
    own = value + batch * num_cells * HEADS * CHANNELS
    total = tl.zeros((BLOCK_Q, BLOCK_C), tl.float32)
    for level in tl.static_range(LEVELS):
        total = _sample_level(
            total, own, locations, weights, (line * LEVELS + level) * POINTS, inside, head, channel,
            SHAPES[3 * level], SHAPES[3 * level + 1], SHAPES[3 * level + 2], POINTS,
            HEADS, CHANNELS,
        )  # fmt: skip
    at = out + line[:, None] * CHANNELS + channel[None, :]
    tl.store(at, total, mask=inside[:, None] & (channel < CHANNELS)[None, :])


@triton.jit
def _differentiate_level(
    incoming, value, value_grad, locations, locations_grad, weights, weights_grad,
    first_sample, inside, head, channel,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, START: tl.constexpr, POINTS: tl.constexpr,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    for point in range(POINTS):
        sample = first_sample + point
        row, column, x, y, weight = _place(locations, weights, sample, inside, ROWS, COLUMNS)
        weight_grad = tl.zeros_like(x)
        x_grad = tl.zeros_like(x)
        y_grad = tl.zeros_like(x)
        for corner in tl.static_range(4):
            at, there = _corner(
                value, row + corner // 2, column + corner % 2, inside, head, channel,
                ROWS, COLUMNS, START, HEADS, CHANNELS,
            )  # fmt: skip
            found = tl.load(at, mask=there, other=0.0).to(tl.float32)
            agreement = tl.sum(found * incoming, axis=1)
            share_x, share_y = _share(x, corner % 2), _share(y, corner // 2)
            weight_grad += share_x * share_y * agreement
            x_grad += (2 * (corner % 2) - 1) * share_y * agreement
            y_grad += (2 * (corner // 2) - 1) * share_x * agreement
            target, _ = _corner(
                value_grad, row + corner // 2, column + corner % 2, inside, head, channel,
                ROWS, COLUMNS, START, HEADS, CHANNELS,
            )  # fmt: skip
            share = (weight * share_x * share_y)[:, None]
            # A sum needs no order: what is relaxed waits for nobody.
            tl.atomic_add(target, share * incoming, mask=there, sem="relaxed")
        tl.store(weights_grad + sample, weight_grad, mask=inside)
        tl.store(locations_grad + 2 * sample, x_grad * weight * COLUMNS, mask=inside)
        tl.store(locations_grad + 2 * sample + 1, y_grad * weight * ROWS, mask=inside)


@triton.jit
def _backward(
    value, locations, weights, out_grad, value_grad, locations_grad, weights_grad,
    num_cells, num_queries,
    HEADS: tl.constexpr, CHANNELS: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    SHAPES: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    batch, head, inside, line = _own_queries(num_queries, HEADS, BLOCK_Q)
    channel = tl.arange(0, BLOCK_C)
    first = batch * num_cells * HEADS * CHANNELS
    at = out_grad + line[:, None] * CHANNELS + channel[None, :]
    incoming = tl.load(at, mask=inside[:, None] & (channel < CHANNELS)[None, :], other=0.0)
    incoming = incoming.to(tl.float32)
    for level in tl.static_range(LEVELS):
        _differentiate_level(
            incoming, value + first, value_grad + first, locations, locations_grad, weights,
            weights_grad, (line * LEVELS + level) * POINTS, inside, head, channel,
            SHAPES[3 * level], SHAPES[3 * level + 1], SHAPES[3 * level + 2], POINTS,
            HEADS, CHANNELS,
        )  # fmt: skip


@torch.library.custom_op("eomtlib::deformable_sample", mutates_args=())
def deformable_sample_kernel(
    value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor
) -> Tensor:
    """As ``deformable_attention.deformable_sample``, in float32 inside.

    Args:
        value: ``[B, Lin, heads, channels]``.
        shapes: rows and columns of each level, one after the other.
        locations: ``[B, Lq, heads, levels, points, 2]`` float32.
        weights: ``[B, Lq, heads, levels, points]`` float32.

    Returns:
        ``[B, Lq, heads, channels]`` in the dtype of ``value``.
    """
    value, locations, weights = (t.contiguous() for t in (value, locations, weights))
    out = value.new_empty(*locations.shape[:3], value.shape[-1])
    grid, options = _launch(value, shapes, locations)
    sizes = value.shape[1], locations.shape[1]
    with torch.cuda.device_of(value):  # Triton launches on the current one
        _forward[grid](value, locations, weights, out, *sizes, **options)
    return out


@deformable_sample_kernel.register_fake
def _(value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(*locations.shape[:3], value.shape[-1])


@torch.library.custom_op("eomtlib::deformable_sample_backward", mutates_args=())
def _gradients(
    value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor, out_grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    value, locations, weights, out_grad = (
        t.contiguous() for t in (value, locations, weights, out_grad)
    )
    # Added to from many programs at once, so in float32.
    value_grad = torch.zeros_like(value, dtype=torch.float32)
    locations_grad, weights_grad = torch.empty_like(locations), torch.empty_like(weights)
    grid, options = _launch(value, shapes, locations)
    with torch.cuda.device_of(value):
        _backward[grid](
            value, locations, weights, out_grad, value_grad, locations_grad, weights_grad,
            value.shape[1], locations.shape[1], **options,
        )  # fmt: skip
    return value_grad.to(value.dtype), locations_grad, weights_grad


@_gradients.register_fake
def _(
    value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor, out_grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(t.new_empty(t.shape) for t in (value, locations, weights))


def _keep(ctx: object, inputs: tuple, output: Tensor) -> None:
    value, ctx.shapes, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _differentiate(ctx: object, out_grad: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
    value, locations, weights = ctx.saved_tensors
    value_grad, locations_grad, weights_grad = _gradients(
        value, ctx.shapes, locations, weights, out_grad
    )
    return value_grad, None, locations_grad, weights_grad


deformable_sample_kernel.register_autograd(_differentiate, setup_context=_keep)


def _launch(
    value: Tensor, shapes: list[int], locations: Tensor
) -> tuple[tuple[int, int], dict[str, object]]:
    """The grid of programs and the constants of both kernels."""
    batch, num_queries, heads, levels, points = locations.shape[:5]
    with_starts, start = [], 0
    for rows, columns in zip(shapes[::2], shapes[1::2], strict=True):
        with_starts += [rows, columns, start]
        start += rows * columns
    grid = (triton.cdiv(num_queries, _QUERIES_AT_ONCE), batch * heads)
    return grid, {
        "HEADS": heads,
        "CHANNELS": value.shape[-1],
        "LEVELS": levels,
        "POINTS": points,
        "SHAPES": tuple(with_starts),
        "BLOCK_Q": _QUERIES_AT_ONCE,
        "BLOCK_C": triton.next_power_of_2(value.shape[-1]),
    }
