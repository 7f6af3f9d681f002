"""What is to be seen in an image of ``shapes``: a scene drawn at random, and its rendering.

A scene is continuous, in units of the image's shorter side, so one scene looks the same at any
size. Edges are decided by sums, products and quotients alone, which IEEE 754 rounds the same way
everywhere, and random numbers are uniform draws of PCG64: so the pixels do not depend on the
machine or on NumPy's version.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from eomtlib.core.structures import ClassInfo
from eomtlib.data.sets.shapes_forms import FORMS, Array, half, wave

THINGS = tuple(FORMS)
STUFF = ("stripes", "checker", "dots", "noise", "gradient")
CLASSES = tuple(
    [ClassInfo(name, True, 1 + i) for i, name in enumerate(THINGS)]
    + [ClassInfo(name, False, 101 + i) for i, name in enumerate(STUFF)]
)
"""Category ids have a gap, as COCO's do."""

CROWD_SHARE = 0.08
VOID_SHARE = 0.15

_EXTENTS = ((0.0, 6.0), (0.05, 13.0), (0.4, 20.0), (0.7, 26.0), (0.95, 36.0), (1.0, 46.0))
"""Share of the objects that are smaller than an extent in 64ths of the shorter side, linear in
between; an extent is the diameter of a disc of about the object's area."""

# Luminances: stuff is dark and middling, objects are bright in one of two bands in turn, so that
# neighbours differ, and dark where they are textured. Hues are free and say nothing.
_DARK, _MIDDLE = (20.0, 60.0), (95.0, 130.0)
_BRIGHT = ((170.0, 195.0), (220.0, 245.0))
_CHROMA = 90.0
_NOISE = 5.0
_UNIT = 1 / 64
_MIN_VISIBLE_SHARE = 0.25
_MIN_VISIBLE_AREA = 0.002


@dataclass(frozen=True)
class RenderedScene:
    """An image and its annotation.

    Attributes:
        image: ``[H, W, 3]`` uint8.
        ids: ``[H, W]`` int16, positions in ``labels``, −1 for void.
        labels: positions in ``CLASSES``.
        is_crowd: one flag for each segment.
    """

    image: Array
    ids: Array
    labels: tuple[int, ...]
    is_crowd: tuple[bool, ...]


class _Draws:
    """Uniform random numbers and what is made of them."""

    def __init__(self, *key: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def unit(self) -> float:
        return float(self._generator.random())

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def below(self, count: int) -> int:
        return int(self.unit() * count)

    def direction(self, tilt: float = 0.15) -> tuple[float, float]:
        """A unit vector near the x axis.

        Args:
            tilt: tangent of half the largest angle to either side; 0.15 for 17 degrees.
        """
        # A rational point of the circle.
        t = self.between(-tilt, tilt)
        return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)

    def colour(self, band: tuple[float, float]) -> Array:
        """A random RGB colour whose luminance lies in the band."""
        luma = self.between(*band)
        red, green, blue = self.unit(), self.unit(), self.unit()
        mean = 0.299 * red + 0.587 * green + 0.114 * blue
        chroma = [_CHROMA * (part - mean) for part in (red, green, blue)]
        # As saturated as the luminance allows.
        room = [(255 - luma) / part if part > 0 else -luma / part for part in chroma if part]
        strength = min(1.0, *room) if room else 0.0
        return np.array([luma + strength * part for part in chroma])

    def extent(self) -> float:
        """An object's extent in 64ths of the shorter side."""
        share = self.unit()
        for (low, smaller), (high, larger) in itertools.pairwise(_EXTENTS):
            if share < high:
                return smaller + (larger - smaller) * ((share - low) / (high - low))
        return _EXTENTS[-1][1]

    def field(self, rows: int, columns: int) -> Array:
        return self._generator.random((rows, columns))


def render_scene(seed: int, split: int, index: int, size: tuple[int, int]) -> RenderedScene:
    """Renders one image of the data set.

    Args:
        seed: of the data set.
        split: 0 for train, 1 for val.
        index: of the image.
        size: height and width.
    """
    scene = _Scene(_Draws(seed, split, index, 0), size)
    scene.lay_ground()
    scene.place_objects()
    # Drawn last and apart: the only draws whose number depends on the image's size.
    return scene.finish(_Draws(seed, split, index, 1))


class _Scene:
    """A canvas that stuff, crowds, void regions and objects are painted on, one after another."""

    def __init__(self, draws: _Draws, size: tuple[int, int]) -> None:
        self.draws, self.size = draws, size
        self.unit = float(min(size))
        self.extent = (size[0] / self.unit, size[1] / self.unit)
        self.y = ((np.arange(size[0]) + 0.5) / self.unit)[:, None]
        self.x = ((np.arange(size[1]) + 0.5) / self.unit)[None, :]
        self.colours = np.zeros((*size, 3))
        self.ids = np.full(size, -1, np.int16)
        self.labels: list[int] = []
        self.is_crowd: list[bool] = []
        self.areas: list[int] = []

    def lay_ground(self) -> None:
        """One to three stuff regions with wavy or straight borders, each of its own class."""
        draws = self.draws
        count = 1 + (draws.unit() > 0.3) + (draws.unit() > 0.6)
        classes = list(range(len(STUFF)))
        region = np.zeros(self.size, np.int16)
        for number in range(1, count):
            beyond = self._border()
            region = np.where(beyond & (region == number - 1), np.int16(number), region)
        for number in range(count):
            kind = classes.pop(draws.below(len(classes)))
            pattern = self._stuff_pattern(STUFF[kind])
            first, second = draws.colour(_DARK), draws.colour(_MIDDLE)
            self._paint(region == number, pattern, first, second, len(THINGS) + kind)

    def place_objects(self) -> None:
        """Void regions, crowds, then two to seven objects, the later ones in front."""
        draws = self.draws
        has_void, has_crowd = draws.unit() < VOID_SHARE, draws.unit() < CROWD_SHARE
        if has_void:
            self._void_region()
        if has_crowd:
            self._crowd()
        placed: list[tuple[float, float, float]] = []
        for number in range(2 + min(draws.below(6), draws.below(6))):
            extent = draws.extent() * _UNIT
            # The emptier of two places: occlusion is common, burial is not.
            places = [self._place(), self._place()]
            y, x = max(places, key=lambda place: _clearance(place, extent, placed))
            placed.append((y, x, extent))
            self._object(draws.below(len(THINGS)), y, x, extent, band=number % 2)

    def finish(self, draws: _Draws) -> RenderedScene:
        """Turns what is hidden too far into void, adds noise and rounds."""
        visible = np.bincount(self.ids.ravel() + 1, minlength=len(self.labels) + 1)[1:]
        smallest = max(1.0, _MIN_VISIBLE_AREA * self.unit * self.unit)
        keep = [
            shown >= smallest and (label >= len(THINGS) or shown >= _MIN_VISIBLE_SHARE * area)
            for shown, area, label in zip(visible.tolist(), self.areas, self.labels, strict=True)
        ]
        numbers = np.full(len(keep) + 1, -1, np.int16)
        numbers[:-1][keep] = np.arange(sum(keep))
        # Void, −1, wraps around to the last number, which is void as well.
        ids = numbers[self.ids]
        noise = (draws.field(*self.size) * 2 - 1) * _NOISE
        image = np.clip(np.floor(self.colours + noise[..., None] + 0.5), 0, 255).astype(np.uint8)
        labels, is_crowd = (
            tuple(itertools.compress(flags, keep)) for flags in (self.labels, self.is_crowd)
        )
        return RenderedScene(image=image, ids=ids, labels=labels, is_crowd=is_crowd)

    def _place(self) -> tuple[float, float]:
        y = self.draws.between(0.1, 0.9) * self.extent[0]
        return y, self.draws.between(0.1, 0.9) * self.extent[1]

    def _paint(self, mask: Array, pattern: Array, first: Array, second: Array, label: int) -> None:
        self.colours[mask] = first + pattern[mask][:, None] * (second - first)
        self.ids[mask] = len(self.labels)
        self._add(label, int(np.count_nonzero(mask)), crowd=False)

    def _add(self, label: int, area: int, *, crowd: bool) -> None:
        self.labels.append(label)
        self.areas.append(area)
        self.is_crowd.append(crowd)

    def _border(self) -> Array:
        """The half of the image beyond a straight or wavy line."""
        draws = self.draws
        nx, ny = draws.direction()
        if draws.unit() < 0.5:
            nx, ny = -ny, nx
        cy = draws.between(0.3, 0.7) * self.extent[0]
        cx = draws.between(0.3, 0.7) * self.extent[1]
        along = (self.x - cx) * ny - (self.y - cy) * nx
        across = (self.x - cx) * nx + (self.y - cy) * ny
        height = draws.between(0.03, 0.09) if draws.unit() < 0.6 else 0.0
        length = draws.between(0.35, 0.8)
        return across > height * wave(along / length + draws.unit())

    def _stuff_pattern(self, kind: str) -> Array:
        draws = self.draws
        period = draws.between(7.0, 9.0) * _UNIT
        direction = draws.direction(0.06)
        # Turned coordinates in periods, with a random phase.
        u, v = (part / period + draws.unit() for part in _turned(self.x, self.y, direction))
        if kind == "stripes":
            return half(v)
        if kind == "checker":
            return np.abs(half(u) - half(v))
        if kind == "dots":
            a, b = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
            return (a * a + b * b < 0.1).astype(float)
        if kind == "noise":
            return self._cells(2.0)
        dx, dy = self.x - self.extent[1] / 2, self.y - self.extent[0] / 2
        slope, _ = _turned(dx, dy, direction)
        return np.clip(0.5 + slope / 1.2, 0.0, 1.0)

    def _cells(self, side: float) -> Array:
        """Random values on square cells, ``side`` 64ths of the shorter side wide."""
        per_unit = 64 / side
        # As many as the scene holds, however many pixels show it.
        field = self.draws.field(*(int(np.ceil(extent * per_unit)) for extent in self.extent))
        rows = np.floor(self.y[:, 0] * per_unit).astype(np.int64)
        columns = np.floor(self.x[0] * per_unit).astype(np.int64)
        return field[rows[:, None], columns[None, :]]

    def _void_region(self) -> None:
        """A blob or a band without a label, in noise of all colours."""
        draws = self.draws
        cy, cx = self._place()
        u, v = _turned(self.x - cx, self.y - cy, draws.direction())
        if draws.unit() < 0.5:
            half = draws.between(4.0, 7.0) * _UNIT
            mask = np.abs(u + 0.03 * wave(v * 2 + draws.unit())) < half
        else:
            a, b = draws.between(9.0, 18.0) * _UNIT, draws.between(7.0, 12.0) * _UNIT
            mask = (u / a) * (u / a) + (v / b) * (v / b) < 1
        speckle = np.stack([self._cells(1.0) for _ in range(3)], axis=-1) * 255
        self.colours[mask] = speckle[mask]
        self.ids[mask] = -1

    def _crowd(self) -> None:
        """Many tiny objects of one class as one segment."""
        draws = self.draws
        kind, number = draws.below(len(THINGS)), len(self.labels)
        cy, cx = self._place()
        self._add(kind, 0, crowd=True)
        for _ in range(10 + draws.below(8)):
            y = cy + draws.between(-12.0, 12.0) * _UNIT
            x = cx + draws.between(-16.0, 16.0) * _UNIT
            extent = draws.between(5.0, 8.0) * _UNIT
            self._object(kind, y, x, extent, band=draws.below(2), segment=number)
        self.areas[number] = int(np.count_nonzero(self.ids == number))

    def _object(
        self, kind: int, y: float, x: float, extent: float, *, band: int, segment: int | None = None
    ) -> None:
        draws = self.draws
        direction = draws.direction()
        phases = (draws.unit(), draws.unit())
        first = draws.colour(_BRIGHT[band])
        second = draws.colour(_DARK)
        if segment is None:
            segment = len(self.labels)
            self._add(kind, 0, crowd=False)
        radius = extent / 2
        turned = _turned(self.x - x, self.y - y, direction)
        u, v = (part / radius for part in turned)
        form, textured = FORMS[THINGS[kind]]
        mask = form(u, v)
        colours = first
        if textured is not None:
            u, v = u[mask] * radius, v[mask] * radius
            period = 3.0 * _UNIT + extent / 7
            blend = textured(u / period + phases[0], v / period + phases[1])
            colours = first + blend[:, None] * (second - first)
        self.colours[mask] = colours
        self.ids[mask] = segment
        self.areas[segment] += int(np.count_nonzero(mask))


def _turned(x: Array, y: Array, direction: tuple[float, float]) -> tuple[Array, Array]:
    """Coordinates along a unit vector and across it."""
    nx, ny = direction
    return x * nx + y * ny, y * nx - x * ny


def _clearance(
    place: tuple[float, float], extent: float, placed: list[tuple[float, float, float]]
) -> float:
    gaps = [
        (place[0] - y) * (place[0] - y)
        + (place[1] - x) * (place[1] - x)
        - (extent + other) * (extent + other) / 4
        for y, x, other in placed
    ]
    return min(gaps, default=0.0)
