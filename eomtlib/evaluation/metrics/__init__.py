"""PQ, AP and mean IoU: the metric of each task."""

from __future__ import annotations

from collections.abc import Callable

from eomtlib.evaluation.metrics.instance_ap import InstanceAP
from eomtlib.evaluation.metrics.mean_iou import MeanIoU
from eomtlib.evaluation.metrics.metric import Metric
from eomtlib.evaluation.metrics.panoptic_quality import PanopticQuality

METRICS: dict[str, Callable[..., Metric]] = {
    "panoptic": PanopticQuality,
    "instance": InstanceAP,
    "semantic": MeanIoU,
}
"""Task → its metric, made of the classes and its own options; it adds up what the task's
post-processing gives."""
