"""From a model's predictions to segmentations, under the names that people know from Hugging Face.

EoMT's evaluation (Kerssies et al., CVPR 2025), which is Mask2Former's on logits that were cut back
to the image. Queries are selected first, and only what is left is resized.
"""

from eomtlib.inference.postprocessing.instance import post_process_instance_segmentation
from eomtlib.inference.postprocessing.panoptic import post_process_panoptic_segmentation
from eomtlib.inference.postprocessing.resizing import resize_to_image
from eomtlib.inference.postprocessing.semantic import (
    post_process_semantic_segmentation,
    semantic_scores,
)

__all__ = [
    "post_process_instance_segmentation",
    "post_process_panoptic_segmentation",
    "post_process_semantic_segmentation",
    "resize_to_image",
    "semantic_scores",
]
