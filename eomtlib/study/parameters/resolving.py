"""The sensible value of everything that a study is not told.

A user types ``-p size large`` and nothing else; the rest follows from the size, the data set and
the machine: a paper's schedule where there is a GPU, a short training, labelled as such, where not.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from eomtlib.core.errors import ConfigurationError, check_choice
from eomtlib.core.machine.precision import resolve_device, resolve_precision
from eomtlib.core.words import DATASET_TASKS, RANDOM_WEIGHTS, TRAINING_FOLDERS
from eomtlib.data.sets.custom import custom_form, custom_parts, named_parts
from eomtlib.models.checkpoints import identify
from eomtlib.models.encoder_names import encoder_size
from eomtlib.models.parts.deformable_attention import available_samplers, check_sampler
from eomtlib.models.timm_vits import is_timm, timm_vit
from eomtlib.models.weights.encoder import resolve_pretraining
from eomtlib.study.parameters.defaults import Defaults, defaults_for, is_short
from eomtlib.study.parameters.overriding import assignments, overrides_of
from eomtlib.study.parameters.settings import Settings, parameters_of
from eomtlib.training.duration import parse_duration
from eomtlib.training.hyperparameters import HYPERPARAMETERS
from eomtlib.training.pretraining import PretrainingConfig, default_config


def resolve_settings(*, rung: str = "eomt", **given: Any) -> Settings:
    """Checks every parameter and fills in what was not given.

    With a ``checkpoint``, the size, pretraining, queries, image size and options are its own. A
    pretraining that is one of timm's names decides the size.

    Args:
        rung: whose recipe says how long a full schedule is.
        given: of ``settings.Settings``, and hyper-parameters, which go before ``overrides``.

    Raises:
        ConfigurationError: naming the parameter, its value and the fix.
    """
    hyper = {name: given.pop(name) for name in HYPERPARAMETERS if name in given}
    for name in given:
        check_choice("parameter", name, [*parameters_of(Settings), *HYPERPARAMETERS])
    if hyper:
        given["overrides"] = assignments("overrides", given.get("overrides") or "") | hyper
    settings = Settings(**given)
    overrides = overrides_of(settings.overrides)
    if is_timm(settings.pretraining):
        settings = replace(settings, pretraining=timm_vit(settings.pretraining).pretraining)
    if settings.checkpoint is not None:
        settings = _of_checkpoint(settings)
    elif is_timm(settings.pretraining):
        settings = replace(settings, size=encoder_size(settings.size, settings.pretraining))
    device = resolve_device(settings.device)
    settings = replace(settings, device=device, task=_task(settings))
    kind = settings.kind
    default, full = defaults_for(
        settings.dataset,
        size=settings.size,
        pretraining=settings.pretraining,
        task=settings.task,
        device=device,
        rung=rung,
    )
    if "epochs" in overrides:
        full_length = f"{overrides['epochs']}epochs"
        if settings.duration not in ("", None, full_length):
            raise ConfigurationError(
                f"duration={settings.duration!r} and epochs={overrides['epochs']} both say how "
                "long to train; leave one out."
            )
        default = replace(default, duration=full_length)
    settings = replace(
        settings,
        image_size=settings.image_size or default.image_size,
        duration=settings.duration or default.duration,
        batch_size=settings.batch_size or default.batch_size,
        train_images=settings.train_images or default.train_images,
        val_images=default.val_images if settings.val_images is None else settings.val_images,
        drawn_val_images=max(default.val_images or 500, settings.val_images or 0),
        precision=resolve_precision(settings.precision, kind),
        compile=kind == "cuda" if settings.compile is None else settings.compile,
        sampler=check_sampler(settings.sampler, device),
        timing_modes=settings.timing_modes or ("eager,compiled" if kind == "cuda" else "eager"),
        samplers=settings.samplers or available_samplers(device),
        pretraining_images=settings.pretraining_images or _unlabelled(settings),
    )
    _check(settings)
    # Last, because it may download.
    if settings.checkpoint is None:
        chosen = resolve_pretraining(
            settings.pretraining, size=settings.size, weights=settings.weights
        )
        settings = replace(settings, pretraining=chosen)
    return replace(settings, label=_label(settings, full))


def pretraining_before(settings: Settings) -> PretrainingConfig | None:
    """The pretraining that must come first; None where there is none, or its file is given."""
    given = settings.weights is not None or settings.checkpoint is not None
    if settings.pretraining != "mim" or given:
        return None
    return default_config(
        size=settings.size,
        image_size=settings.image_size,
        images=settings.pretraining_images,
        device=settings.device,
        steps=settings.pretraining_steps,
    )


def _of_checkpoint(settings: Settings) -> Settings:
    """With what the checkpoint says of its model, which nothing that was given may contradict."""
    checkpoint, chosen = str(settings.checkpoint), settings.options.chosen()
    if chosen:
        raise ConfigurationError(
            f"checkpoint={checkpoint!r} says what its model is; leave out {', '.join(chosen)}."
        )
    start = identify(settings.checkpoint).config
    for name in ("pretraining", "num_queries"):
        value, own = getattr(settings, name), getattr(start, name)
        if value not in (None, "auto", own):
            raise ConfigurationError(
                f"{name}={value!r}, but checkpoint={checkpoint!r} has {own!r}; leave it out."
            )
    return replace(
        settings,
        size=start.size,
        pretraining=start.pretraining,
        num_queries=start.num_queries,
        image_size=settings.image_size or start.image_size,
        **asdict(start.options),
    )


def _task(settings: Settings) -> str:
    """The task of that name, or the data set's first; of one's own data, what its files are for."""
    is_known = settings.data_path or settings.train_data
    if settings.task is None and settings.dataset == "custom" and is_known:
        return custom_form(custom_parts(settings.data_path, "train", settings.train_data))
    tasks = DATASET_TASKS[settings.dataset]
    return check_choice("task", settings.task or tasks[0], tasks)


def _check(settings: Settings) -> None:
    """Refuses what does not go together."""
    if settings.early_stopping and not settings.validate_every:
        raise ConfigurationError(
            f"early_stopping={settings.early_stopping} needs figures to go by; set validate_every, "
            "such as '10%'."
        )
    if settings.kind != "cuda" and "cuda-graph" in settings.timing_modes:
        raise ConfigurationError(
            f"timing_modes='cuda-graph' needs CUDA, and device is {settings.device!r}; use 'eager' "
            "or 'compiled'."
        )
    for name in settings.samplers:
        check_sampler(name, settings.device, parameter="samplers")
    images = settings.pretraining_images
    own = images == _unlabelled(settings) != "shapes" and pretraining_before(settings) is not None
    if own and not Path(images).is_dir():
        raise ConfigurationError(
            f"pretraining='mim' reads images from a folder, and {images} is none (zip files are "
            "not read here); set pretraining_images to a folder of images, or unzip them."
        )


def _unlabelled(settings: Settings) -> str:
    """What ``mim`` learns from by default: the data set's own training images."""
    if settings.dataset == "shapes":
        return "shapes"
    if settings.dataset == "custom" and settings.train_data:
        return str(named_parts(settings.train_data, "train").images)
    return str((settings.data_path or Path()) / TRAINING_FOLDERS[settings.dataset])


def _label(settings: Settings, full: Defaults) -> str:
    short = is_short(
        settings.duration, full, dataset=settings.dataset, batch_size=settings.batch_size
    )
    height, width = settings.image_size
    length = parse_duration(settings.duration).said
    said = f"short training: {length} at {height}×{width}, not a full schedule"
    random = settings.weights == RANDOM_WEIGHTS and settings.checkpoint is None
    unlearnt = f"random weights, not those of {settings.pretraining}" if random else ""
    return "; ".join(text for text in (said if short else "", unlearnt) if text)
