"""Every parameter of a study, described once.

The command line's options and their help, the notebooks' parameter cells and the table of
docs/parameters.md follow from the two data classes here. A new parameter is one entry.
Nothing heavy is imported, so that help is there at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from eomtlib.core.words import (
    COST_IMAGE_SIZE,
    DATASET_TASKS,
    DEFAULT_SIZE,
    EXIF,
    MASKING_MODES,
    ON_BAD,
    OWN_SIZES,
    PRECISIONS,
    PRETRAININGS,
    RANDOM_WEIGHTS,
    SAMPLERS,
    SIZES,
    TASKS,
    TIMING_MODES,
)
from eomtlib.models.options import ModelOptions
from eomtlib.study.parameters import parsing
from eomtlib.study.parameters.overriding import read_overrides, read_vary
from eomtlib.study.parameters.parsing import (
    Reader,
    one_of,
    optional,
    otherwise,
    some_of,
    whole_from,
)
from eomtlib.training.hyperparameters import HYPERPARAMETERS


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What is to be known of one parameter.

    Attributes:
        default: as a notebook writes it; an empty text, 0 or −1 stands for what suits size, data
            and machine.
        read: checks a value and brings it into its one form.
        help: a line for the command line, the notebooks and the docs.
        group: under which help lists it.
        tells: of which records' keys it is a part, of ``training``, ``evaluation``, ``timing``:
            runs that differ in it do not share them.
    """

    default: Any
    read: Reader
    help: str
    group: str
    tells: tuple[str, ...]


def _of(group: str, tells: str, default: Any, read: Reader, said: str) -> Any:
    kinds = tuple(tells.split())
    described = Parameter(default=default, read=read, help=said, group=group, tells=kinds)
    return field(default=default, metadata={"parameter": described})


GROUPS = (
    "the study",
    "the model",
    "the model, pmt alone",
    "data",
    "training",
    "the machine",
    "timing",
)
_study, _model, _pmt, _data, _training, _machine, _timing = (partial(_of, g) for g in GROUPS)
_NONE, _TRAIN, _BOTH = "", "training", "training timing"
_LEARNT, _ALL = "training evaluation", "training evaluation timing"


def parameters_of(cls: type) -> dict[str, Parameter]:
    """Name → description, of those fields that somebody can give."""
    known = {f.name: f.metadata.get("parameter") for f in fields(cls)}
    return {name: parameter for name, parameter in known.items() if parameter}


class _Checked:
    """Reads each parameter when it is made, so that what cannot be used is said at once.

    None stands for the default, whatever the parameter.
    """

    def __post_init__(self) -> None:
        for name, parameter in parameters_of(type(self)).items():
            given = parsing.plain(getattr(self, name))
            value = parameter.read(name, parameter.default if given is None else given)
            object.__setattr__(self, name, value)


_parts = otherwise(1, whole_from(1), 0)
_count = optional(whole_from(1), 0)
_yes_or_no = optional(parsing.switch)
_path = optional(parsing.read_path)
_split = otherwise("", parsing.read_split)
_length = optional(parsing.read_duration)
_size = optional(lambda _, value: parsing.parse_image_size(value), 0)
_number = optional(whole_from(0), -1)
_frozen = optional(parsing.read_frozen)
_interval = optional(parsing.read_interval)
_all_or = otherwise(0, whole_from(0))
_masked = optional(one_of(("masked", "unmasked")))
_pretraining = parsing.pretraining_among(("auto", *PRETRAININGS))
_weights = optional(parsing.path_or(RANDOM_WEIGHTS))
_precision = one_of(("auto", *PRECISIONS))
_dataset = one_of(DATASET_TASKS)
_modes = optional(some_of(TIMING_MODES))
_samplers = optional(some_of(SAMPLERS))
_taps = optional(lambda name, value: parsing.parse_numbers(name, value, at_least=0))


def _vary(name: str, value: Any) -> str:
    return read_vary(name, value, ("rung", *parameters_of(Settings), *HYPERPARAMETERS))


def _alone(parse: Callable[[Any], Any]) -> Reader:
    return lambda _, value: parse(value)


@dataclass(frozen=True, kw_only=True)
class StudyParameters(_Checked):
    """Which runs a study has, and what it does with them."""

    rungs: tuple[str, ...] = _study(
        _NONE, "all", _alone(parsing.parse_rungs), 'all, or some, e.g. "eomt-masked,eomt"'
    )
    seeds: tuple[int, ...] = _study(
        _NONE, "0", _alone(parsing.parse_seeds), 'one, or several, "0,1,2": means and intervals'
    )
    vary: str = _study(
        _NONE, "", otherwise("", _vary), "any parameters and their values (docs/parameters.md)"
    )
    jobs: int = _study(
        _NONE, 0, otherwise(0, whole_from(0)), "trainings at once; 0: small models share a CPU"
    )
    train: bool = _study(
        _NONE, True, otherwise(True, parsing.switch), "False: parameters, GMACs and FPS only"
    )
    wait: bool = _study(
        _NONE, True, otherwise(True, parsing.switch), "for runs that other processes are at"
    )
    results_dir: Path = _study(
        _NONE, "results/runs", _alone(parsing.resolve_results_dir), "finished work is found here"
    )


@dataclass(frozen=True, kw_only=True)
class Settings(_Checked):
    """The parameters of a run. Image sizes are (height, width).

    What was not given is None until ``resolving.resolve_settings`` has filled it in.

    Attributes:
        drawn_val_images: how many validation images ``shapes`` has.
        label: what must stand beside an accuracy, empty where nothing must.
    """

    size: str = _model(
        _BOTH,
        DEFAULT_SIZE,
        one_of(SIZES),
        "nano, micro (ours, for CPUs), small, base, large, giant; timm:NAME says its own",
    )
    pretraining: str = _model(
        _BOTH,
        "auto",
        _pretraining,
        "auto (ours: shapes-ssl; else dinov2 if at hand), none, mim, NAME, timm:NAME",
    )
    dataset: str = _data(
        _ALL,
        "shapes",
        one_of(DATASET_TASKS),
        "shapes (embedded), coco, ade20k, cityscapes, custom",
    )
    task: str = _data(
        _BOTH, "", optional(one_of(TASKS)), "panoptic, instance, semantic; the data set's first"
    )
    data_path: Path | None = _data(
        _LEARNT,
        "",
        _path,
        "the data set's folder, with its folders or its zip files (docs/data.md)",
    )
    train_data: str = _data(
        _TRAIN,
        "",
        _split,
        "training part of custom, if elsewhere: IMAGES:ANNOTATIONS (docs/data.md)",
    )
    val_data: str = _data(
        "evaluation", "", _split, "validation part of custom, likewise: IMAGES:ANNOTATIONS"
    )
    exif: str = _data(
        _LEARNT, "apply", one_of(EXIF), "of own data: apply or ignore the turn that photos ask for"
    )
    on_bad: str = _data(
        _LEARNT, "refuse", one_of(ON_BAD), "skip: leave out images with anything wrong, counted"
    )
    image_size: tuple[int, int] = _data(
        _ALL, 0, _size, "of the input, in pixels: 64, or 480x640 (height x width)"
    )
    duration: str = _training(
        _TRAIN, "", _length, "300steps, 12epochs, 5min; a number is a number of steps"
    )
    overrides: str = _training(
        _TRAIN,
        "",
        otherwise("", read_overrides),
        "hyper-parameters, where not the recipe's (docs/parameters.md)",
    )
    batch_size: int = _training(_TRAIN, 0, _count, "images a step, in total over all devices")
    gradient_accumulation: int = _training(
        _NONE, 1, _parts, "parts that a step is computed in, where memory is short"
    )
    num_queries: int | None = _model(
        _BOTH,
        0,
        _count,
        "how many segments a model can find; 0 for the size's, more for many own classes",
    )
    train_images: int = _data(_TRAIN, 0, _count, "how many are drawn, of shapes; others use all")
    val_images: int = _data(
        "evaluation", -1, _number, "validation images to evaluate on, 0 for all"
    )
    seed: int = _training(_TRAIN, 0, whole_from(0), "of weights, data and draws")
    device: str = _machine(_BOTH, "auto", parsing.text_of, "auto, cpu, cuda, cuda:1, mps (untried)")
    precision: str = _machine(_BOTH, "auto", _precision, "float32, bfloat16, float16")
    compile: bool = _machine(_NONE, "", _yes_or_no, "yes, no; by default on a GPU")
    sampler: str = _machine(
        _NONE,
        "pytorch",
        one_of(SAMPLERS),
        "of deformable attention in training and evaluation; triton: on a GPU",
    )
    activation_checkpointing: bool = _machine(
        _NONE, "no", otherwise(False, parsing.switch), "yes: less memory, for a second forward pass"
    )
    weights: Path | str | None = _model(
        _TRAIN,
        "",
        _weights,
        "a file or folder of encoder weights, for machines without network; or random",
    )
    checkpoint: Path | None = _model(
        _TRAIN, "", _path, "a finished model to fine-tune on other classes; rungs names its rung"
    )
    pretraining_images: str = _model(
        _TRAIN, "", parsing.text_of, "for mim: a folder of images; by default the data set's own"
    )
    pretraining_steps: int | None = _model(_TRAIN, 0, _count, "how long mim pretrains, in steps")
    masking: str | None = _model(
        _TRAIN, "", optional(one_of(MASKING_MODES)), "in training: masked, annealed, unmasked"
    )
    inference_masking: str | None = _model(
        "evaluation timing", "", _masked, "masked, unmasked; by default as training ends"
    )
    query_blocks: int | None = _model(
        _BOTH, "", _count, "blocks that process queries (EoMT), or of the decoder (PMT)"
    )
    freeze: str | None = _model(
        _TRAIN, "", _frozen, "encoder, none, or a number of its blocks; the rung's own by default"
    )
    lateral_connections: bool | None = _pmt(_BOTH, "", _yes_or_no, "of the taps: yes, no (PMT)")
    taps: tuple[int, ...] | None = _pmt(
        _BOTH, "", _taps, "blocks whose output the decoder gets, e.g. 2,3,4,5 (PMT)"
    )
    workers: int | None = _machine(
        _NONE, -1, _number, "data loading processes; -1 for a sensible number"
    )
    timing_modes: tuple[str, ...] = _timing(
        "timing", "", _modes, "eager,cuda-graph,compiled,max-autotune; on a GPU eager,compiled"
    )
    samplers: tuple[str, ...] = _timing(
        "timing", "", _samplers, "of deformable attention: pytorch,triton; on a GPU both"
    )
    loggers: tuple[str, ...] = _training(
        _NONE, "csv", parsing.read_loggers, "csv,tensorboard,mlflow,wandb"
    )
    checkpoint_every: str = _training(
        _NONE, "auto", parsing.read_pause, "2min, 500steps; auto: under 1 % of the time"
    )
    validate_every: str | None = _training(
        _NONE, "", _interval, "500steps, 1epochs, 10%: figures while it trains; empty for never"
    )
    validate_on: int = _training(
        _NONE, 0, _all_or, "how many validation images for that, 0 for all"
    )
    early_stopping: int = _training(
        _TRAIN, 0, _all_or, "validations without a better figure that end a training; 0: never"
    )
    drawn_val_images: int = 0
    label: str = ""

    @property
    def options(self) -> ModelOptions:
        """What of the rungs is not as the papers build it; each checks whether it offers that."""
        return ModelOptions(**{f.name: getattr(self, f.name) for f in fields(ModelOptions)})

    @property
    def kind(self) -> str:
        """Of device: ``cpu``, ``cuda`` or ``mps``."""
        return self.device.partition(":")[0]

    @property
    def cost_image_size(self) -> tuple[int, int]:
        """At which parameters, GMACs and FPS are stated."""
        return self.image_size if self.size in OWN_SIZES else (COST_IMAGE_SIZE, COST_IMAGE_SIZE)


PARAMETERS: dict[str, Parameter] = parameters_of(StudyParameters) | parameters_of(Settings)
