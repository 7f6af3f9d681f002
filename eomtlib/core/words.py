"""The words used everywhere: in parameters, records, table columns and plots.

They stand here, where nothing heavy is imported, so that the command line can list them at once.
"""

from __future__ import annotations

RUNGS = (
    "vit-adapter-m2f",
    "no-adapter",
    "no-pixel-decoder",
    "single-scale",
    "eomt-masked",
    "eomt",
    "pmt",
)
"""The ladder, from the top down; ``models.ladder`` says what each is made of."""

OWN_SIZES = ("nano", "micro")
"""Sizes of our own, small enough to be trained on a CPU."""

PAPER_SIZES = ("small", "base", "large", "giant")
SIZES = (*OWN_SIZES, *PAPER_SIZES)

SHIPPED = "shapes-ssl"
"""The pretraining whose weights come with the package (``models.encoder_names.shipped_file``)."""

OWN_PRETRAININGS = ("none", "mim", SHIPPED)
"""Those that timm has no weights of: nothing, pretraining on this machine by hidden patches or a
teacher (``training.pretraining``), and such a one on ``shapes`` that was done before.
The architecture is DINOv2's, at every size."""

PRETRAININGS = (*OWN_PRETRAININGS, "dinov2", "dinov3", "eva02", "deit3-in21k", "deit3-in1k")

TIMM_PREFIX = "timm:"
"""What a pretraining begins with that is any plain ViT of timm by its name there
(``models.timm_vits``), such as ``timm:vit_base_patch16_siglip_512.v2_webli``."""

DEFAULT_SIZE = OWN_SIZES[0]
"""What stands for a size that was not given, where a pretraining says it."""

RANDOM_WEIGHTS = "random"
"""What is said for the weights of a published encoder to have its architecture alone."""

TASKS = ("panoptic", "instance", "semantic")

SPLITS = ("train", "val")

EXIF = ("apply", "ignore")
"""What is done with the turn that a photograph's EXIF data ask for."""

ON_BAD = ("refuse", "skip")
"""What is done with images that cannot be read, or of whose annotation anything is wrong."""

CORNERS = ("edges", "centres")
"""What corners of an outline are: points on the edges of pixels, or the outermost pixels."""

EXPORTS = ("auto", "yolo", "roboflow", "cvat", "labelme", "voc", "coco")
"""Annotation tools and formats whose data sets are converted; ``auto`` for what is found."""

COST_IMAGE_SIZE = 640
"""The image size at which the papers state parameters, GMACs and FPS."""

DATASET_TASKS: dict[str, tuple[str, ...]] = {
    "shapes": TASKS,
    "coco": TASKS,
    "ade20k": TASKS,
    "cityscapes": ("semantic", "panoptic", "instance"),
    "custom": TASKS,
}
"""Data set → its tasks, the first one where none is named."""

NUM_CLASSES = {
    ("coco", "panoptic"): 133,
    ("coco", "instance"): 80,
    ("coco", "semantic"): 133,
    ("ade20k", "panoptic"): 150,
    ("ade20k", "instance"): 100,
    ("ade20k", "semantic"): 150,
    ("cityscapes", "semantic"): 19,
    ("cityscapes", "panoptic"): 19,
    ("cityscapes", "instance"): 8,
}
"""Published data set, task → its classes, without "no object"."""

TRAINING_IMAGES = {"coco": 118_287, "ade20k": 20_210, "cityscapes": 2_975}
VALIDATION_IMAGES = {"coco": 5_000, "ade20k": 2_000, "cityscapes": 500}

TRAINING_FOLDERS = {
    "coco": "train2017",
    "ade20k": "ADEChallengeData2016/images/training",
    "cityscapes": "leftImg8bit/train",
    "custom": "images/train",
}
"""Data set → where its training images lie in one folder, once unpacked."""

FIGURES: dict[str, tuple[str, ...]] = {
    "panoptic": ("pq", "pq_things", "pq_stuff", "sq", "rq"),
    "instance": ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    "semantic": ("miou",),
}
"""Task → those of its metrics that tables show; the first stands for all."""

ACCURACIES = {"pq": "PQ", "ap": "AP", "miou": "mIoU"}
"""The figure that stands for a task, as records name it → what people call it."""

MASKING_MODES = ("masked", "annealed", "unmasked")

PRECISIONS = ("float32", "bfloat16", "float16")

SAMPLERS = ("pytorch", "triton")
"""Implementations of deformable attention's sampling."""

TIMING_MODES = ("eager", "cuda-graph", "compiled", "max-autotune")
"""How a timed model runs: as written; the same, captured and replayed (``GraphedCall``, for
GPUs); through ``torch.compile``, in its default mode or in the one of that name."""
