"""The forms of ``shapes``' objects and the waves that its textures and borders are made of.

Coordinates u and v are an object's own, turned with it, in units of its radius.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def _disc(u: Array, v: Array) -> Array:
    return u * u + v * v < 1


def _square(u: Array, v: Array) -> Array:
    return np.maximum(np.abs(u), np.abs(v)) < 0.886  # the area of the disc


def _triangle(u: Array, v: Array) -> Array:
    # Equilateral, its corners at radius 1.3.
    return (v > -0.65) & (np.abs(u) * 1.7320508075688772 + v < 1.3)


def _ring(u: Array, v: Array) -> Array:
    distance = u * u + v * v
    return (distance < 1.1) & (distance > 0.3)


def _cross(u: Array, v: Array) -> Array:
    a, b = np.abs(u), np.abs(v)
    return (np.minimum(a, b) < 0.36) & (np.maximum(a, b) < 1.1)


_PENTAGRAM = (
    (0.0, -1.0),
    (0.9510565162951535, -0.3090169943749474),
    (0.5877852522924731, 0.8090169943749475),
    (-0.5877852522924731, 0.8090169943749475),
    (-0.9510565162951535, -0.3090169943749474),
)
"""Directions of a regular pentagon's sides, written out: a cosine may differ in its last bit."""


def _star(u: Array, v: Array) -> Array:
    # A pentagram is where at most one of its five lines is crossed.
    crossed = sum((a * u + b * v > 0.42).astype(np.int8) for a, b in _PENTAGRAM)
    return crossed <= 1


def half(u: Array) -> Array:
    """1 in the first half of each period, else 0."""
    return (u - np.floor(u) < 0.5).astype(float)


def wave(u: Array) -> Array:
    """A smooth wave of period 1 and height 1, of parabolas instead of a sine."""
    t = 2 * (u - np.floor(u))
    return np.where(t < 1, 4 * t * (1 - t), -4 * (t - 1) * (2 - t))


FORMS: dict[str, tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array] | None]]
FORMS = {
    "disc": (_disc, None),
    "striped disc": (_disc, lambda u, v: half(u)),
    "square": (_square, None),
    "checkered square": (_square, lambda u, v: np.abs(half(u * 0.7) - half(v * 0.7))),
    "triangle": (_triangle, None),
    "ring": (_ring, None),
    "cross": (_cross, None),
    "star": (_star, None),
}
