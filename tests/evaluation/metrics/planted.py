"""Scenes of many segments, and predictions that are the truth but for one kind of error."""

import numpy as np
import torch
from scipy import ndimage

from eomtlib.core.structures import ClassInfo, SegmentMap

CLASSES = tuple(ClassInfo(f"class {i}", i < 5, 10 + i) for i in range(8))
THINGS = np.arange(8) < 5
SIZE = (120, 160)
CUTS = ([0.5], [0.3], [0.3, 0.6])


def random_scene(rng):
    """Three bands of stuff with things before them, some void, some of one class side by side."""
    ids = np.repeat(np.sort(rng.integers(0, 3, SIZE[0])), SIZE[1]).reshape(SIZE)
    labels = [5, 6, 7]
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for _ in range(int(rng.integers(6, 14))):
        height, width = rng.uniform(6, 22, 2)
        y, x = rng.uniform(10, SIZE[0] - 10), rng.uniform(10, SIZE[1] - 10)
        ids[((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 < 1] = len(labels)
        labels.append(int(rng.integers(0, 5)))
    ids[rng.integers(0, SIZE[0] - 8) :][:8, :20] = -1
    return as_shown(ids, np.array(labels))


def as_shown(ids, labels):
    """Without segments that hardly show: of these anything can be said."""
    counts = np.bincount(ids[ids >= 0], minlength=len(labels))
    kept = np.flatnonzero(counts >= 40)
    places = np.full(len(labels) + 1, -1)
    places[kept] = np.arange(len(kept))
    return places[ids], labels[kept]


def chosen(labels, rate, rng):
    return np.flatnonzero(rng.random(len(labels)) < rate)


def class_wrong(ids, labels, rate, rng, things=THINGS):
    labels = labels.copy()
    for index in chosen(labels, rate, rng):
        labels[index] = (labels[index] + rng.integers(1, len(things))) % len(things)
    return ids, labels


def eroded(ids, labels, rate, rng, things=THINGS):
    found = ids.copy()
    for index in chosen(labels, rate, rng):
        mask = ids == index
        inner = ndimage.binary_erosion(mask, iterations=int(rng.integers(1, 4)), border_value=1)
        if inner.any():
            found[mask & ~inner] = -1
    return found, labels


def shifted(ids, labels, rate, rng, things=THINGS):
    """Things, up or down; what is uncovered is nothing, what is covered is lost to others."""
    found, counts = ids.copy(), np.bincount(ids[ids >= 0], minlength=len(labels))
    for index in (i for i in chosen(labels, rate, rng) if things[labels[i]] and counts[i]):
        mask = ids == index
        rows, columns = np.nonzero(mask)
        depth = ndimage.distance_transform_edt(np.pad(mask, 1)).max()
        rows = rows + rng.choice([-1, 1]) * max(1, round(0.5 * depth))
        inside = (rows >= 0) & (rows < ids.shape[0])
        place = rows[inside], columns[inside]
        # What is covered for the most part would be missed.
        covered = np.bincount(ids[place] + 1, minlength=len(counts) + 1)[1:]
        covered[index] = 0
        if (covered <= 0.5 * counts).all():
            found[mask & (found == index)] = -1
            found[place] = index
    return found, labels


def split(ids, labels, rate, rng, things=THINGS):
    found, labels = ids.copy(), list(labels)
    for index in chosen(labels, rate, rng):
        places = np.stack(np.nonzero(ids == index))
        if not places.size:
            continue
        along = places[np.ptp(places, axis=1).argmax()]
        parts = np.searchsorted(np.quantile(along, CUTS[rng.integers(len(CUTS))]), along)
        for part in range(1, parts.max() + 1):
            found[tuple(places[:, parts == part])] = len(labels)
            labels.append(labels[index])
    return found, np.array(labels)


def merged(ids, labels, rate, rng, things=THINGS):
    found = ids.copy()
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if rng.random() < rate:
            found[np.isin(ids, own[: int(rng.integers(2, 4))])] = own[0]
    return found, labels


def missed(ids, labels, rate, rng, things=THINGS):
    return np.where(np.isin(ids, chosen(labels, rate, rng)), -1, ids), labels


def painted_over(ids, labels, rate, rng, things=THINGS):
    """Things that are missed, and the stuff around goes on there."""
    # Not those that are as large as what goes on: it would be taken for them.
    small = np.bincount(ids[ids >= 0], minlength=len(labels)) < ids.size / 30
    picked = [i for i in chosen(labels, rate, rng) if things[labels[i]] and small[i]]
    gone, stuff = np.isin(ids, picked), np.append(~things[labels], False)[ids]
    nearest = ndimage.distance_transform_edt(~stuff, return_distances=False, return_indices=True)
    nearest = np.where(gone, nearest, np.indices(ids.shape))
    return ids[tuple(nearest)], labels


def invented(ids, labels, rate, rng, things=THINGS):
    found, labels = ids.copy(), list(labels)
    counts, labels_of = np.bincount(ids[ids >= 0], minlength=len(labels)), np.append(labels, -1)
    for _ in chosen(labels, rate, rng):
        height, width = rng.integers(5, 14, 2)
        top, left = rng.integers(0, ids.shape[0] - 14), rng.integers(0, ids.shape[1] - 14)
        block = np.zeros(ids.shape, bool)
        block[top : top + height, left : left + width] = True
        lost = np.bincount(ids[block & (ids >= 0)], minlength=len(counts))
        # Apart from others, mostly not on void, and not what another kind of error would be.
        if (found[block] >= len(counts)).any() or (lost > 0.3 * counts).any():
            continue
        if (ids[block] < 0).mean() > 0.3:
            continue
        found[block] = len(labels)
        # One of the class of what is there would be a part of it.
        others = np.setdiff1d(np.arange(len(things)), labels_of[ids[block]])
        labels.append(int(rng.choice(others)))
    return found, np.array(labels)


PLANTED = {
    class_wrong: "class wrong",
    eroded: "too coarse",
    shifted: "too coarse",
    split: "split",
    merged: "merged",
    missed: "missed",
    painted_over: "missed",
    invented: "invented",
}


def as_prediction(ids, labels):
    infos = [{"id": place, "label_id": int(label)} for place, label in enumerate(labels)]
    return {"segmentation": torch.from_numpy(ids.astype(np.int32)), "segments_info": infos}


def as_target(ids, labels):
    none = torch.zeros(len(labels), dtype=torch.bool)
    return SegmentMap(torch.from_numpy(ids.astype(np.int16))[None], torch.from_numpy(labels), none)
