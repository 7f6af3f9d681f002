"""Panoptic images in which all cases occur, and their figures by loops over segments."""

import numpy as np
import torch

from eomtlib.core.structures import ClassInfo, SegmentMap

CLASSES = tuple(ClassInfo(f"class {i}", i < 3, 10 + i) for i in range(6))


def random_image(rng):
    """Blocks of segments, copied to the prediction with damage, so that all cases occur."""
    num_segments = int(rng.integers(1, 9))
    ids = np.kron(rng.integers(-1, num_segments, (5, 6)), np.ones((4, 4), np.int64))
    labels = rng.integers(0, 5, num_segments)  # the last class never occurs
    is_crowd = rng.random(num_segments) < 0.35
    prediction = np.where(rng.random(ids.shape) < rng.uniform(0.3, 1), ids, -1)
    extra = num_segments + int(rng.integers(0, 4))
    block = np.kron(rng.integers(-1, extra, (5, 6)), np.ones((4, 4), np.int64))
    prediction = np.where(rng.random(ids.shape) < rng.uniform(0, 0.4), block, prediction)
    kept = np.concatenate((labels, rng.integers(0, 5, extra - num_segments)))
    flipped = np.where(rng.random(extra) < 0.2, rng.integers(0, 5, extra), kept)
    return ids, labels, is_crowd, prediction, flipped


def random_pair(rng):
    """What is predicted of a random image, as post-processing gives it, and its target."""
    ids, labels, is_crowd, prediction, predicted = random_image(rng)
    return segmented(prediction, predicted), as_target(ids, labels, is_crowd)


def naive_counts(images):
    """Per class [IoU, TP, FP, FN], by loops over segments and whole masks."""
    counts = np.zeros((len(CLASSES), 4))
    several_crowds = 0
    for ids, labels, is_crowd, prediction, predicted_labels in images:
        matched_truth, matched_prediction = set(), set()
        void = ids == -1
        for i, label in enumerate(labels):
            for j, predicted_label in enumerate(predicted_labels):
                truth, mask = ids == i, prediction == j
                if is_crowd[i] or label != predicted_label or not (truth & mask).any():
                    continue
                iou = (truth & mask).sum() / (truth | (mask & ~void)).sum()
                if iou > 0.5:
                    counts[label] += [iou, 1, 0, 0]
                    matched_truth.add(i)
                    matched_prediction.add(j)
        for i, label in enumerate(labels):
            if i not in matched_truth and not is_crowd[i]:
                counts[label, 3] += 1
        for j, label in enumerate(predicted_labels):
            mask = prediction == j
            if j in matched_prediction or not mask.any():
                continue
            crowds = [i for i in range(len(labels)) if is_crowd[i] and labels[i] == label]
            several_crowds += len(crowds) > 1
            forgiven = void if not crowds else void | (ids == crowds[-1])
            if (mask & forgiven).sum() / mask.sum() <= 0.5:
                counts[label, 2] += 1
    assert several_crowds > 5
    return counts


def segmented(ids, labels):
    """What post-processing gives, of an array of positions in a list of classes."""
    infos = [
        {"id": place, "label_id": int(label), "score": 0.5} for place, label in enumerate(labels)
    ]
    return {"segmentation": torch.from_numpy(np.asarray(ids, np.int32)), "segments_info": infos}


def as_target(ids, labels, is_crowd):
    """The ground truth of ``random_image``."""
    arrays = (ids[None].astype(np.int16), labels, is_crowd)
    return SegmentMap(*(torch.from_numpy(array) for array in arrays))
