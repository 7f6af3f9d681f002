"""How rare each class is, as weights of a loss."""

from __future__ import annotations

import numpy as np

from eomtlib.data.dataset import SegmentationDataset

_MOST = 10.0


def frequency_weights(dataset: SegmentationDataset, *, images: int = 2000) -> tuple[float, ...]:
    """The square root of the median number of segments of a class over that of each class.

    Rare classes weigh more, yet less than in inverse proportion (Mahajan et al., ECCV 2018, draw
    samples so). Between a tenth and 10; a class that is not seen has 1.

    Args:
        dataset: of training.
        images: how many are read, evenly over the set; all where there are fewer.
    """
    count = np.zeros(len(dataset.classes))
    for index in np.unique(np.linspace(0, len(dataset) - 1, images).astype(int)).tolist():
        segments = dataset.read(index)[1]
        labels = segments.labels[~segments.is_crowd].numpy()
        count += np.bincount(labels, minlength=len(count))
    seen = count > 0
    weights = np.ones(len(count))
    weights[seen] = np.sqrt(np.median(count[seen]) / count[seen]).clip(1 / _MOST, _MOST)
    return tuple(round(float(weight), 4) for weight in weights)
