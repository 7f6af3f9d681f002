"""A pretraining from its configuration to its files: found if it is done, else made."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean

from safetensors import safe_open
from safetensors.torch import save

from eomtlib.core.console import say
from eomtlib.core.errors import CheckpointError
from eomtlib.core.files.atomic_files import config_hash, write_file
from eomtlib.core.files.holding import HELD_FILE, held
from eomtlib.core.machine.environment import environment
from eomtlib.core.machine.precision import resolve_precision
from eomtlib.models.encoder_names import shipped_file
from eomtlib.models.weights.weight_files import StateDict, copy_entries, open_state_dict
from eomtlib.training.loop.resuming import forget_states
from eomtlib.training.loop.trainer import FitOptions, train_to_end
from eomtlib.training.pretraining.config import SHAPES, PretrainingConfig
from eomtlib.training.pretraining.masked_autoencoder import MaskedAutoencoder, build_autoencoder
from eomtlib.training.pretraining.module import PretrainingModule
from eomtlib.training.pretraining.unlabelled_images import images_digest, open_stream

WEIGHTS_FILE = "encoder.safetensors"
DECODER_FILE = "decoder.safetensors"
RECORD_FILE = "pretraining.json"
METHOD, TAUGHT_METHOD = "masked autoencoder 1", "feature distillation 1"
"""Raised with every change of what a configuration comes to, without teacher and with one."""

_CURVE_POINTS = 200


def pretraining_hash(config: PretrainingConfig) -> str:
    """16 hexadecimal digits that tell one outcome from another, known before anything is trained.

    They depend on what a folder holds (names and lengths of its images), not on where it lies.

    Raises:
        ConfigurationError, DataError: when the images cannot be found.
    """
    decisive = asdict(config) | {"images": images_digest(config), "method": _method(config)}
    del decisive["probe_every"]
    if config.teacher:
        decisive["teacher"] = _teacher_hash(config)
        del decisive["mask_ratio"]
    else:
        del decisive["teacher"]
    if config.images != SHAPES:
        del decisive["num_images"]
    return config_hash(decisive)


def find_pretrained(config: PretrainingConfig, results_dir: str | Path) -> Path | None:
    """The weights of a configuration, if they are finished.

    Raises:
        ConfigurationError, DataError: as ``pretraining_hash``.
    """
    return _finished(_folder(config, results_dir, pretraining_hash(config)))


def written_hash(weights: Path) -> str | None:
    """The ``pretraining_hash`` that a file of ours was written with; None for any other file."""
    if weights.suffix != ".safetensors":
        return None
    with safe_open(weights, "pt") as file:
        return (file.metadata() or {}).get("hash")


def pretrain(
    config: PretrainingConfig,
    *,
    results_dir: str | Path,
    device: str = "cpu",
    precision: str = "float32",
    workers: int = 0,
    progress: bool = True,
    checkpoint_every: str = "2min",
) -> Path:
    """Pretrains an encoder, or finds that it has been done.

    Args:
        config: what is trained on what.
        results_dir: the results go to a folder under ``pretraining`` in it, named after the
            configuration.
        device: to train on. Of several processes, the one that calls trains; the others wait.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        workers: loading processes.
        progress: whether progress bars are shown.
        checkpoint_every: minutes or steps between two writings of the state from which an
            interrupted run goes on.

    Returns:
        The file of the weights, for ``weights=`` with ``pretraining="mim"``. Beside it lie
        ``pretraining.json``, which says how it was made and what linear probes found, and the
        decoder, for ``load_autoencoder``, where no teacher was followed.

    Raises:
        ConfigurationError, DataError: when images or parameters cannot be used.
        EomtlibError: when the loss is not finite.
        KeyboardInterrupt: when it was asked to stop; its state is kept.
    """
    resolve_precision(precision, device.partition(":")[0])
    digest = pretraining_hash(config)
    folder = _folder(config, results_dir, digest)
    if found := _finished(folder):
        return found
    with held(folder / HELD_FILE, name=folder.name, say=say, wait=True, alone=True):
        return _finished(folder) or _pretrain(
            config,
            digest,
            FitOptions(
                run_dir=folder,
                device=device,
                precision=precision,
                checkpoint_every=checkpoint_every,
                progress=progress,
                alone=True,
            ),
            workers=workers,
        )


def _pretrain(config: PretrainingConfig, digest: str, options: FitOptions, *, workers: int) -> Path:
    folder, device = options.run_dir, options.device
    module = PretrainingModule(
        config, open_stream(config, workers=workers, progress=options.progress)
    )
    multiplied = module.model.encoder.products(
        device, options.precision, batch_size=config.batch_size
    )
    options = replace(options, products=multiplied)
    state, _ = train_to_end(module, options, steps=config.steps)
    model, losses = module.model.cpu(), module.losses.tolist()
    width = math.ceil(len(losses) / _CURVE_POINTS)
    starts = range(0, len(losses), width)
    # The name of a folder alone: a record says nothing of where things lie on a machine.
    images = config.images if config.images == SHAPES else Path(config.images).resolve().name
    record = {
        "kind": "pretraining",
        "method": _method(config),
        "hash": digest,
        "config": asdict(config) | {"images": images},
        "images_digest": images_digest(config),
        "teacher_hash": _teacher_hash(config),
        "steps": len(losses),
        "images_seen": config.num_samples,
        "final_loss": fmean(losses[-max(1, len(losses) // 20) :]),
        "loss_curve": {
            "step": [min(start + width, len(losses)) for start in starts],
            "loss": [fmean(losses[start : start + width]) for start in starts],
        },
        "probe": module.probed,
        "wall_seconds": state.total_seconds,
        "resumes": state.resumes,
        "device": device.partition(":")[0],
        "precision": options.precision,
        "environment": asdict(environment(device)),
    }
    metadata = {
        "format": "pt",
        "pretraining": "mim",
        "size": config.size,
        "image_size": _size_text(config),
        "patch_size": str(config.patch_size),
        "hash": digest,
    }
    weights = folder / WEIGHTS_FILE
    if not config.teacher:
        write_file(weights.with_name(DECODER_FILE), save(_decoder_state(model)))
    write_file(weights, save(model.encoder.backbone.state_dict(), metadata))
    # Last, for it says that the rest is whole.
    write_file(weights.with_name(RECORD_FILE), json.dumps(record, indent=1) + "\n")
    forget_states(folder)
    return weights


def load_autoencoder(weights: str | Path) -> MaskedAutoencoder:
    """The whole model that a pretraining has left, to look at what it makes of images.

    Args:
        weights: what ``pretrain`` returned.

    Raises:
        CheckpointError: when the file, or what lies beside it, is missing or does not fit, or when
            a teacher was followed.
    """
    path = Path(weights).expanduser()
    record = path.with_name(RECORD_FILE)
    try:
        written = json.loads(record.read_bytes())["config"]
        teacher = written.get("teacher", "")
        written |= {"teacher": "", "image_size": tuple(written["image_size"])}
        config = PretrainingConfig(**written)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{record}: does not say how {path.name} was made ({error}); set weights to a file in "
            "the folder that a pretraining has written."
        ) from error
    if teacher:
        raise CheckpointError(
            f"{path}: was made with teacher={teacher!r}, so there is no decoder that makes "
            "images; set weights to a file that was pretrained without a teacher."
        )
    model = build_autoencoder(config)
    for targets, file in (
        (model.encoder.backbone.state_dict(), path),
        (_decoder_state(model), path.with_name(DECODER_FILE)),
    ):
        copy_entries(targets, partial(open_state_dict, file), path=file)
    return model.eval()


def _decoder_state(model: MaskedAutoencoder) -> StateDict:
    state = model.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("encoder.")}


def _teacher_hash(config: PretrainingConfig) -> str | None:
    return written_hash(shipped_file(config.teacher)) if config.teacher else None


def _method(config: PretrainingConfig) -> str:
    return TAUGHT_METHOD if config.teacher else METHOD


def _folder(config: PretrainingConfig, results_dir: str | Path, digest: str) -> Path:
    images = SHAPES if config.images == SHAPES else "folder"
    way = f"taught-by-{config.teacher}" if config.teacher else "mim"
    what = f"{way}-{config.size}-{images}-{_size_text(config)}-{config.steps}steps"
    root = Path(results_dir).expanduser() / "pretraining"
    return root / f"{what}-seed{config.seed}-{digest[:8]}"


def _finished(folder: Path) -> Path | None:
    done = (folder / RECORD_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()
    return folder / WEIGHTS_FILE if done else None


def _size_text(config: PretrainingConfig) -> str:
    return "x".join(str(side) for side in config.image_size)
