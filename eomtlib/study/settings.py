"""What a study is told, and the sensible value of everything that it is not told.

A user types ``-p size large`` and nothing else; the rest follows from the size, the data set and
the machine: a paper's schedule where there is a GPU, a short training, labelled as such, where not.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.words import (
    DATASET_TASKS,
    MASKING_MODES,
    OWN_SIZES,
    PRETRAININGS,
    SAMPLERS,
    SIZES,
    TIMING_MODES,
)
from eomtlib.data.registry import DATASETS
from eomtlib.data.sets.custom import custom_form
from eomtlib.models.checkpoints import ModelConfig, identify
from eomtlib.models.options import ModelOptions
from eomtlib.models.parts.deformable_attention import available_samplers, check_sampler
from eomtlib.models.weights.encoder import resolve_pretraining
from eomtlib.study.defaults import COST_IMAGE_SIZE, defaults_for, is_short
from eomtlib.study.parameters import (
    as_list,
    parse_image_size,
    parse_taps,
    resolve_device,
    resolve_precision,
    switch,
    whole,
)
from eomtlib.training.duration import parse_duration
from eomtlib.training.pretraining import PretrainingConfig, default_config


@dataclass(frozen=True)
class Settings:
    """A study's parameters, every one resolved. Sizes are (height, width).

    Attributes:
        size, pretraining, dataset, seed: see the words of the README.
        task: ``panoptic``, ``instance`` or ``semantic``.
        checkpoint: of a whole model that training starts from, with a new class head where the
            classes differ; None where it starts from an encoder.
        data_path: the data set's folder; None for ``shapes``.
        image_size: of training and evaluation.
        cost_image_size: at which GMACs and FPS are stated.
        duration: as ``parse_duration`` reads it.
        batch_size: in total, over all processes and parts of a step.
        gradient_accumulation: parts that each process computes its share of a step in.
        num_queries: None for the size's default.
        train_images, generated_val_images: how many of ``shapes`` there are.
        val_images: how many are evaluated on, 0 for all.
        device: ``cpu``, ``cuda``, ...
        precision: ``float32``, ``bfloat16`` or ``float16``.
        compile: whether the training step's forward pass is compiled.
        activation_checkpointing: whether training computes the encoder's blocks again in the
            backward pass instead of holding what they computed.
        weights: a file or folder of encoder weights; None for timm's hub (or, with ``mim``, for a
            pretraining on ``pretraining_images``).
        pretraining_images: ``shapes`` or a folder, which ``mim`` learns from.
        pretraining_steps: of ``mim``; None for the size's default.
        options: what of the rungs is not as the papers build it.
        inference_masking: ``masked`` or ``unmasked``; None for what a rung was trained to end up.
        workers: data loading processes; None for the loader's default.
        timing_modes: of ``timing.TIMING_MODES``; the fastest is what tables show.
        samplers: of deformable attention, ``pytorch``, ``triton``; each is timed in each mode.
        loggers: ``csv`` and, if installed, ``tensorboard``, ``mlflow``, ``wandb``.
        checkpoint_every: minutes or steps between two checkpoints of a run.
        short: whether this is a shortened training whose accuracy says little.
    """

    size: str
    pretraining: str
    dataset: str
    data_path: Path | None
    image_size: tuple[int, int]
    cost_image_size: tuple[int, int]
    duration: str
    batch_size: int
    num_queries: int | None
    train_images: int
    generated_val_images: int
    val_images: int
    seed: int
    device: str
    precision: str
    compile: bool
    activation_checkpointing: bool
    weights: Path | None
    workers: int | None
    timing_modes: tuple[str, ...]
    samplers: tuple[str, ...]
    loggers: tuple[str, ...]
    checkpoint_every: str
    short: bool
    options: ModelOptions = ModelOptions()
    inference_masking: str | None = None
    pretraining_images: str = "shapes"
    pretraining_steps: int | None = None
    gradient_accumulation: int = 1
    task: str = "panoptic"
    checkpoint: Path | None = None

    @property
    def mim(self) -> PretrainingConfig | None:
        """The pretraining that must come first; None where there is none, or its file is given."""
        if self.pretraining != "mim" or self.weights is not None or self.checkpoint is not None:
            return None
        return default_config(
            size=self.size,
            image_size=self.image_size,
            images=self.pretraining_images,
            device=self.device,
            steps=self.pretraining_steps,
        )

    @property
    def label(self) -> str:
        """What must stand beside an accuracy of this study, empty where nothing must."""
        height, width = self.image_size
        if not self.short:
            return ""
        return f"short training: {self.duration} at {height}×{width}, not a full schedule"


def resolve_settings(
    *,
    size: str = "nano",
    pretraining: str = "auto",
    dataset: str = "shapes",
    task: str = "",
    data_path: str | Path | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    duration: str | int | None = None,
    batch_size: int | None = None,
    gradient_accumulation: int = 1,
    num_queries: int | None = None,
    train_images: int | None = None,
    val_images: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    compile: bool | str | None = None,
    activation_checkpointing: bool | str | None = None,
    weights: str | Path | None = None,
    checkpoint: str | Path | None = None,
    pretraining_images: str = "",
    pretraining_steps: int | None = None,
    masking: str | None = None,
    inference_masking: str | None = None,
    query_blocks: int | None = None,
    frozen_encoder: bool | str | None = None,
    lateral_connections: bool | str | None = None,
    taps: str | tuple[int, ...] | None = None,
    workers: int | None = None,
    timing_modes: str | tuple[str, ...] = "",
    samplers: str | tuple[str, ...] = "",
    loggers: str | tuple[str, ...] = "csv",
    checkpoint_every: str = "2min",
) -> Settings:
    """Checks every parameter and fills in what was not given.

    ``masking``, ``query_blocks``, ``frozen_encoder``, ``lateral_connections`` and ``taps`` become
    ``Settings.options``; each rung checks whether it offers them.

    With a ``checkpoint``, the size, pretraining, queries, image size and ``options`` are its own.

    Empty strings and 0 stand for "not given" where a parameter has a default of its own (−1 for
    ``val_images``, where 0 means all), because papermill's command line knows no None.

    Raises:
        ConfigurationError: naming the parameter, its value and the fix.
    """
    options = ModelOptions(
        masking=check_choice("masking", masking, MASKING_MODES) if masking else None,
        query_blocks=whole("query_blocks", query_blocks, at_least=1) if query_blocks else None,
        frozen_encoder=switch("frozen_encoder", frozen_encoder, default=None),
        lateral_connections=switch("lateral_connections", lateral_connections, default=None),
        taps=parse_taps(taps),
    )
    start = None
    if checkpoint:
        start = _start(checkpoint, options, pretraining=pretraining, num_queries=num_queries)
        size, pretraining, num_queries = start.size, start.pretraining, start.num_queries
        image_size, options = image_size or start.image_size, start.options
    check_choice("size", size, SIZES)
    check_choice("dataset", dataset, DATASETS)
    check_choice("pretraining", pretraining, ("auto", *PRETRAININGS))
    device = resolve_device(device)
    kind = "cuda" if device.startswith("cuda") else "cpu"
    task = _task(task, dataset, data_path)
    default, full = defaults_for(dataset, size=size, pretraining=pretraining, task=task, kind=kind)
    resolved_size = parse_image_size(image_size or default.image_size)
    chosen = str(parse_duration(duration or default.duration))
    parse_duration(checkpoint_every, parameter="checkpoint_every")
    own = size in OWN_SIZES
    compiles = switch("compile", compile, default=kind == "cuda")
    if compiles and kind == "cpu" and resolve_precision(precision, kind) != "float32":
        raise ConfigurationError(
            f"compile and precision={precision!r} do not go together on a CPU: Inductor's bfloat16 "
            "gradients of LayerNorm are not finite there. Set compile='no' or precision='float32'."
        )
    return Settings(
        size=size,
        # Last, because it may download.
        pretraining=pretraining
        if start
        else resolve_pretraining(pretraining, size=size, weights=weights or None),
        checkpoint=Path(checkpoint).expanduser() if checkpoint else None,
        dataset=dataset,
        task=task,
        data_path=Path(data_path).expanduser() if data_path else None,
        image_size=resolved_size,
        cost_image_size=resolved_size if own else (COST_IMAGE_SIZE, COST_IMAGE_SIZE),
        duration=chosen,
        batch_size=whole("batch_size", batch_size or default.batch_size, at_least=1),
        num_queries=whole("num_queries", num_queries, at_least=1) if num_queries else None,
        train_images=whole("train_images", train_images or default.train_images, at_least=1),
        generated_val_images=default.val_images or 500,
        val_images=_val_images(val_images, default.val_images),
        seed=whole("seed", seed, at_least=0),
        device=device,
        precision=resolve_precision(precision, kind),
        compile=compiles,
        activation_checkpointing=switch(
            "activation_checkpointing", activation_checkpointing, default=False
        ),
        weights=Path(weights).expanduser() if weights else None,
        workers=None if workers in (None, -1) else whole("workers", workers, at_least=0),
        timing_modes=_timing_modes(timing_modes, kind),
        samplers=_samplers(samplers, device),
        loggers=_loggers(loggers),
        checkpoint_every=checkpoint_every,
        short=is_short(
            chosen, full, dataset=dataset, batch_size=int(batch_size or default.batch_size)
        ),
        options=options,
        pretraining_images=_unlabelled(
            pretraining_images,
            dataset,
            data_path,
            needed=pretraining == "mim" and not (weights or start),
        ),
        gradient_accumulation=whole(
            "gradient_accumulation", gradient_accumulation or 1, at_least=1
        ),
        pretraining_steps=whole("pretraining_steps", pretraining_steps, at_least=1)
        if pretraining_steps
        else None,
        inference_masking=check_choice(
            "inference_masking", inference_masking, ("masked", "unmasked")
        )
        if inference_masking
        else None,
    )


def _task(given: str, dataset: str, data_path: str | Path | None) -> str:
    """The task of that name, or the data set's first; of one's own data, what its files are for."""
    if not given and dataset == "custom" and data_path:
        return custom_form(Path(data_path).expanduser(), "train")
    return check_choice("task", given or DATASET_TASKS[dataset][0], DATASET_TASKS[dataset])


def _start(
    checkpoint: str | Path, options: ModelOptions, *, pretraining: str, num_queries: int | None
) -> ModelConfig:
    """What the model is that training starts from, which nothing that was given contradicts."""
    if options.chosen():
        raise ConfigurationError(
            f"checkpoint={str(checkpoint)!r} says what its model is; leave out "
            f"{', '.join(options.chosen())}."
        )
    config = identify(Path(checkpoint).expanduser()).config
    given = {"pretraining": pretraining, "num_queries": num_queries}
    for name, value in given.items():
        own = getattr(config, name)
        if value not in (None, 0, "auto", own):
            raise ConfigurationError(
                f"{name}={value!r}, but checkpoint={str(checkpoint)!r} has {own!r}; leave it out."
            )
    return config


LOGGERS = {"csv": "csv", "tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""Logger → the module that it needs."""


def _timing_modes(value: str | tuple | list, kind: str) -> tuple[str, ...]:
    default = "eager,compiled" if kind == "cuda" else "eager"
    names = as_list("timing_modes", value or default, TIMING_MODES)
    if kind == "cpu" and "cuda-graph" in names:
        raise ConfigurationError(
            "timing_modes='cuda-graph' needs a GPU, and device is 'cpu'; use 'eager' or 'compiled'."
        )
    return names


def _samplers(value: str | tuple | list, device: str) -> tuple[str, ...]:
    names = as_list("samplers", value or available_samplers(device), SAMPLERS)
    for name in names:
        check_sampler(name, device, parameter="samplers")
    return names


def _loggers(value: str | tuple | list) -> tuple[str, ...]:
    names = as_list("loggers", value, LOGGERS)
    for name in names:
        if find_spec(LOGGERS[name]) is None:
            raise ConfigurationError(
                f"loggers={name!r} needs a package that is not installed: pip install {name}."
            )
    return names


def _unlabelled(given: str, dataset: str, data_path: str | Path | None, *, needed: bool) -> str:
    """What ``mim`` learns from: by default the data set's own training images."""
    if given or dataset == "shapes":
        return given or "shapes"
    folder = Path(data_path or ".").expanduser() / _TRAINING_IMAGES.get(dataset, "images")
    if needed and not folder.is_dir():
        raise ConfigurationError(
            f"pretraining='mim' reads images from a folder, and {folder} is none (zip files are "
            "not read here); set pretraining_images to a folder of images, or unzip them."
        )
    return str(folder)


_TRAINING_IMAGES = {
    "coco": "train2017",
    "ade20k": "ADEChallengeData2016/images/training",
    "cityscapes": "leftImg8bit/train",
    "custom": "images/train",
}
"""Data set → where its training images lie in one folder, for ``mim``."""


def _val_images(given: int | None, default: int) -> int:
    return default if given in (None, -1) else whole("val_images", given, at_least=0)
