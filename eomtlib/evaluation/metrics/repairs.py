"""Where panoptic quality went: predictions are repaired kind by kind of error, until it is 100.

In the spirit of TIDE (Bolya et al., ECCV 2020), which repairs detections. Here a repair starts from
what the one before it has left, and each is one of the counts of pixels that segments share, of
which panoptic quality is computed as ever: what a repair gains is what its kind of error costs, and
all kinds together cost what is lacking to 100.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from eomtlib.evaluation.metrics.overlaps import Overlaps

Repair = Callable[[Overlaps], Overlaps]
_NONE = -1


def repaired(image: Overlaps) -> Iterator[Overlaps]:
    """An image as it was predicted, and after each of ``REPAIRS``.

    The same object comes again where a repair finds nothing to do. The last one is perfect.
    """
    yield image
    for repair in REPAIRS.values():
        matches = image.matches
        if repair is _too_coarse or matches.wrong.any() or matches.missed.any():
            image = repair(image)
        yield image


def _void(image: Overlaps) -> Overlaps:
    """Takes away wrong predictions mostly on void and crowds, and true segments without a pixel."""
    on_void = image.areas[0, 1:] + image.pixels[image.is_crowd].sum(0)
    gone = image.matches.wrong & (on_void > 0.5 * image.found_areas)
    if gone.any():
        image = _given_back(image, gone)
    shown = (image.true_areas > 0) | image.is_crowd
    if shown.all():
        return image
    rows = np.concatenate(([True], shown))
    return replace(
        image,
        areas=image.areas[rows],
        truth=image.truth[shown],
        is_crowd=image.is_crowd[shown],
    )


def _class_wrong(image: Overlaps) -> Overlaps:
    """Renames predictions that would match a missed segment if they were of its class."""
    free = np.ones(len(image.labels), bool)
    free[image.matches.found] = False
    true, found = np.nonzero(image.iou(image.matches.missed[:, None] & free) > 0.5)
    if not len(true):
        return image
    labels = image.labels.copy()
    labels[found] = image.truth[true]
    return replace(image, labels=labels)


def _split(image: Overlaps) -> Overlaps:
    """Unites predictions that belong to one segment."""
    if not image.matches.wrong.any():
        return image
    owner = image.owners
    first = np.full(len(image.truth) + 1, len(owner))
    np.minimum.at(first, owner, np.arange(len(owner)))
    place = np.where(owner == _NONE, np.arange(len(owner)), first[owner])
    if (place == np.arange(len(owner))).all():
        return image
    areas = np.zeros_like(image.areas)
    np.add.at(areas.T, np.concatenate(([0], place + 1)), image.areas.T)
    return replace(image, areas=areas)


def _merged(image: Overlaps) -> Overlaps:
    """Cuts out of a prediction all segments of its class that it covers, but the largest."""
    if not image.matches.missed.any():
        return image
    covered = image.same_class & (image.pixels > 0.5 * image.true_areas[:, None])
    largest = (image.pixels * covered).argmax(0)
    cut = covered.copy()
    cut[largest, np.arange(len(largest))] = False
    true, found = np.nonzero(cut)
    if not len(true):
        return image
    pieces = np.zeros((len(image.areas), len(true)), np.int64)
    pieces[true + 1, np.arange(len(true))] = image.pixels[true, found]
    areas = np.concatenate((image.areas, pieces), axis=1)
    areas[true + 1, found + 1] = 0
    return replace(image, areas=areas, labels=np.append(image.labels, image.truth[true]))


def _invented(image: Overlaps) -> Overlaps:
    """Takes away wrong predictions that no segment is found by."""
    if not image.matches.wrong.any():
        return image
    gone, partners = image.matches.wrong.copy(), _partners(image)
    gone[partners[partners != _NONE]] = False
    return _given_back(image, gone) if gone.any() else image


def _missed(image: Overlaps) -> Overlaps:
    """Adds the segments that nothing belongs to, with all of their pixels."""
    if not image.matches.missed.any():
        return image
    lost = np.flatnonzero(image.matches.missed & (_partners(image) == _NONE))
    if not len(lost):
        return image
    whole = np.zeros((len(image.areas), len(lost)), np.int64)
    whole[lost + 1, np.arange(len(lost))] = image.true_areas[lost]
    areas = np.concatenate((image.areas, whole), axis=1)
    areas[lost + 1, : image.areas.shape[1]] = 0
    return replace(image, areas=areas, labels=np.append(image.labels, image.truth[lost]))


def _too_coarse(image: Overlaps) -> Overlaps:
    """Gives each segment the pixels that it has, and nothing else."""
    true = np.flatnonzero(~image.is_crowd)
    if image.matches.iou.sum() == len(true):
        return image
    areas = np.zeros((len(image.areas), len(true) + 1), np.int64)
    areas[true + 1, np.arange(len(true)) + 1] = image.true_areas[true]
    return replace(image, areas=areas, labels=image.truth[true])


REPAIRS: dict[str, Repair] = {
    "void": _void,
    "class wrong": _class_wrong,
    "split": _split,
    "merged": _merged,
    "invented": _invented,
    "missed": _missed,
    "too coarse": _too_coarse,
}
"""Kind of error → its repair, in the order in which they follow."""


def _partners(image: Overlaps) -> np.ndarray:
    """``[S]``, the prediction that each true segment is found by: its match, or what belongs to it.

    −1 where there is none.
    """
    matches, owner = image.matches, image.owners
    partners = np.full(len(image.truth), _NONE)
    for found in np.flatnonzero(matches.wrong & (owner != _NONE)):
        own = owner[found]
        best = partners[own]
        if best == _NONE or image.pixels[own, found] > image.pixels[own, best]:
            partners[own] = found
    partners[matches.true] = matches.found
    return partners


def _given_back(image: Overlaps, gone: np.ndarray) -> Overlaps:
    """Without some predictions: on a segment that is found their pixels go to what finds it."""
    place = np.append(_NONE, _partners(image))  # of each row of areas
    place = np.where((place != _NONE) & ~np.append(gone, False)[place], place, _NONE) + 1
    areas = image.areas.copy()
    columns = np.flatnonzero(gone) + 1
    np.add.at(areas, (np.arange(len(areas)), place), areas[:, columns].sum(1))
    areas[:, columns] = 0
    return replace(image, areas=areas)
