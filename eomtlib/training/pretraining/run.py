"""Runs a pretraining: found if it is done, resumed if it was interrupted, written whole."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm.auto import tqdm

from eomtlib.core.atomic_files import config_hash, write_atomically, write_file
from eomtlib.core.environment import environment
from eomtlib.core.errors import CheckpointError, EomtlibError, check_choice
from eomtlib.core.precision import autocast
from eomtlib.core.randomness import keyed_generator, keyed_seed
from eomtlib.core.words import PRECISIONS
from eomtlib.models.weights.weight_files import StateDict, copy_entries, open_state_dict
from eomtlib.training.optimization import build_optimizer
from eomtlib.training.pretraining.config import SHAPES, PretrainingConfig
from eomtlib.training.pretraining.masked_autoencoder import MaskedAutoencoder, build_autoencoder
from eomtlib.training.pretraining.unlabelled_images import ImageStream, images_digest, open_images

WEIGHTS_FILE = "encoder.safetensors"
DECODER_FILE = "decoder.safetensors"
RECORD_FILE = "pretraining.json"
RESUME_FILE = "resume.ckpt"
METHOD = "masked autoencoder 1"
"""Raised with every change of what a configuration comes to."""

_BETAS = (0.9, 0.95)  # MAE, Appendix A.1
_LOOK_EVERY = 25
_CURVE_POINTS = 200


def pretraining_hash(config: PretrainingConfig) -> str:
    """16 hexadecimal digits that tell one outcome from another, known before anything is trained.

    They depend on what a folder holds (names and lengths of its images), not on where it lies.

    Raises:
        ConfigurationError, DataError: when the images cannot be found.
    """
    decisive = asdict(config) | {"images": images_digest(config), "method": METHOD}
    if config.images != SHAPES:
        del decisive["num_images"]
    return config_hash(decisive)


def find_pretrained(config: PretrainingConfig, results_dir: str | Path) -> Path | None:
    """The weights of a configuration, if they are finished.

    Raises:
        ConfigurationError, DataError: as ``pretraining_hash``.
    """
    return _finished(_folder(config, results_dir, pretraining_hash(config)))


def pretrain(
    config: PretrainingConfig,
    *,
    results_dir: str | Path,
    device: str = "cpu",
    precision: str = "float32",
    workers: int = 0,
    progress: bool = True,
    checkpoint_every: float = 120.0,
) -> Path:
    """Pretrains an encoder, or finds that it has been done.

    Args:
        config: what is trained on what.
        results_dir: the results go to a folder under ``pretraining`` in it, named after the
            configuration.
        device: to train on.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        workers: loading processes.
        progress: whether progress bars are shown.
        checkpoint_every: seconds between two checkpoints, from which an interrupted run goes on.

    Returns:
        The file of the weights, for ``weights=`` with ``pretraining="mim"``. Beside it lie
        ``pretraining.json``, which says how it was made, and the decoder, for ``load_autoencoder``.

    Raises:
        ConfigurationError, DataError: when images or parameters cannot be used.
        CheckpointError: when an interrupted run's checkpoint is damaged.
        EomtlibError: when the loss is not finite.
    """
    check_choice("precision", precision, PRECISIONS)
    digest = pretraining_hash(config)
    folder = _folder(config, results_dir, digest)
    if found := _finished(folder):
        return found
    run = _Run.start(config, digest, device=device, precision=precision)
    run.resume(folder / RESUME_FILE)
    stream = ImageStream(open_images(config, progress=progress), config, progress=progress)
    run.train(
        stream, folder / RESUME_FILE, workers=workers, progress=progress, every=checkpoint_every
    )
    record = json.dumps(_record(run), indent=1) + "\n"
    contents = {
        DECODER_FILE: save(_cpu(_decoder_state(run.model))),
        WEIGHTS_FILE: save(_cpu(run.model.encoder.backbone.state_dict()), _metadata(run)),
        RECORD_FILE: record,
    }
    for name, content in contents.items():
        write_file(folder / name, content)
    (folder / RESUME_FILE).unlink(missing_ok=True)
    return folder / WEIGHTS_FILE


def written_hash(weights: Path) -> str | None:
    """The ``pretraining_hash`` that a file of ours was written with; None for any other file."""
    if weights.suffix != ".safetensors":
        return None
    with safe_open(weights, "pt") as file:
        return (file.metadata() or {}).get("hash")


def load_autoencoder(weights: str | Path) -> MaskedAutoencoder:
    """The whole model that a pretraining has left, to look at what it makes of images.

    Args:
        weights: what ``pretrain`` returned.

    Raises:
        CheckpointError: when the file, or what lies beside it, is missing or does not fit.
    """
    path = Path(weights).expanduser()
    record = path.with_name(RECORD_FILE)
    try:
        written = json.loads(record.read_bytes())["config"]
        config = PretrainingConfig(**written | {"image_size": tuple(written["image_size"])})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{record}: does not say how {path.name} was made ({error}); set weights to a file in "
            "the folder that a pretraining has written."
        ) from error
    model = build_autoencoder(config)
    for targets, file in (
        (model.encoder.backbone.state_dict(), path),
        (_decoder_state(model), path.with_name(DECODER_FILE)),
    ):
        copy_entries(targets, partial(open_state_dict, file), path=file)
    return model.eval()


@dataclass
class _Run:
    """A pretraining under way.

    Attributes:
        digest: the hash of its configuration.
        model, optimizer, scheduler, scaler: what is trained, and how.
        losses: ``[steps]``, on the device; looking at one waits for a GPU.
        step: how many are done.
        seconds: spent in them, over all sittings.
        resumes: how often it went on after an interruption.
    """

    config: PretrainingConfig
    digest: str
    device: str
    precision: str
    model: MaskedAutoencoder
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    losses: Tensor
    step: int = 0
    seconds: float = 0.0
    resumes: int = 0

    @classmethod
    def start(cls, config: PretrainingConfig, digest: str, *, device: str, precision: str) -> _Run:
        """At step 0, with weights keyed by the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_seed(config.seed, "weights"))
            model = build_autoencoder(config).to(device).train()
        optimizer, scheduler = build_optimizer(model, config.optimizer, total_steps=config.steps)
        for group in optimizer.param_groups:
            group["betas"] = _BETAS
        kind = device.partition(":")[0]
        return cls(
            config=config,
            digest=digest,
            device=device,
            precision=precision,
            model=model,
            optimizer=optimizer,
            scheduler=scheduler,
            scaler=torch.amp.GradScaler(kind, enabled=precision == "float16"),
            losses=torch.zeros(config.steps, device=device),
        )

    def train(
        self, stream: ImageStream, checkpoint: Path, *, workers: int, progress: bool, every: float
    ) -> None:
        """Goes on to the last step, with a checkpoint every so many seconds."""
        config = self.config
        bar = tqdm(
            total=config.steps,
            initial=self.step,
            desc=f"pretraining {config.size}",
            disable=not progress,
        )
        since = saved = time.perf_counter()
        done_before = self.seconds
        with bar:
            for images in stream.loader(first_step=self.step, workers=workers):
                self._step(images)
                self.seconds = done_before + time.perf_counter() - since
                bar.update()
                if self.step % _LOOK_EVERY == 0 or self.step == config.steps:
                    bar.set_postfix(loss=f"{self._recent_loss():.3f}", refresh=False)
                if time.perf_counter() - saved >= every and self.step < config.steps:
                    self.save(checkpoint)
                    saved = time.perf_counter()

    def _step(self, images: Tensor) -> None:
        noise = torch.rand(
            (len(images), self.model.num_patches),
            generator=keyed_generator(self.config.seed, "masking", self.step),
        )
        images = images.to(self.device, non_blocking=True)
        with autocast(self.device, self.precision):
            loss = self.model(images, noise.to(self.device, non_blocking=True))
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.scheduler.step()
        self.losses[self.step] = loss.detach()
        self.step += 1

    def _recent_loss(self) -> float:
        recent = self.losses[max(0, self.step - _LOOK_EVERY) : self.step].mean().item()
        if not math.isfinite(recent):
            raise EomtlibError(
                f"the loss of pretraining is not finite near step {self.step}. Lower "
                f"lr={self.config.lr}, or find the cause with precision='float32'."
            )
        return recent

    def save(self, path: Path) -> None:
        """Writes all that ``resume`` needs."""
        state = {
            "hash": self.digest,
            "step": self.step,
            "seconds": self.seconds,
            "resumes": self.resumes,
            "losses": self.losses.cpu(),
            **{name: getattr(self, name).state_dict() for name in _STATEFUL},
        }
        write_atomically(path, lambda file: torch.save(state, file))

    def resume(self, path: Path) -> None:
        """Goes to where a checkpoint was written, if there is one."""
        for stale in path.parent.glob(".*.tmp"):
            stale.unlink()  # left by a kill in the middle of writing
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if state["hash"] != self.digest:
                raise ValueError("it belongs to another configuration")
            for name in _STATEFUL:
                getattr(self, name).load_state_dict(state[name])
            self.losses.copy_(state["losses"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.resumes = state["resumes"] + 1
        except (
            RuntimeError,
            OSError,
            EOFError,
            LookupError,
            ValueError,
            TypeError,
            pickle.UnpicklingError,
        ) as error:
            raise CheckpointError(
                f"{path}: cannot be gone on from ({error}); remove it to start again."
            ) from error


_STATEFUL = ("model", "optimizer", "scheduler", "scaler")


def _folder(config: PretrainingConfig, results_dir: str | Path, digest: str) -> Path:
    images = SHAPES if config.images == SHAPES else "folder"
    size = "x".join(str(side) for side in config.image_size)
    name = f"mim-{config.size}-{images}-{size}-{config.steps}steps-seed{config.seed}-{digest[:8]}"
    return Path(results_dir).expanduser() / "pretraining" / name


def _finished(folder: Path) -> Path | None:
    # The record is written last.
    done = (folder / RECORD_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()
    return folder / WEIGHTS_FILE if done else None


def _decoder_state(model: MaskedAutoencoder) -> StateDict:
    state = model.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("encoder.")}


def _cpu(state: StateDict) -> StateDict:
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _metadata(run: _Run) -> dict[str, str]:
    """What the file of the encoder says of itself."""
    config = run.config
    return {
        "format": "pt",
        "pretraining": "mim",
        "size": config.size,
        "image_size": "x".join(str(side) for side in config.image_size),
        "patch_size": str(config.patch_size),
        "hash": run.digest,
    }


def _record(run: _Run) -> Mapping[str, Any]:
    config, losses = run.config, run.losses.tolist()
    width = math.ceil(len(losses) / _CURVE_POINTS)
    spans = [losses[start : start + width] for start in range(0, len(losses), width)]
    tail = losses[-max(1, len(losses) // 20) :]
    # The name of a folder alone: a record says nothing of where things lie on a machine.
    images = config.images if config.images == SHAPES else Path(config.images).resolve().name
    return {
        "kind": "pretraining",
        "method": METHOD,
        "hash": run.digest,
        "config": asdict(config) | {"images": images},
        "images_digest": images_digest(config),
        "steps": run.step,
        "final_loss": sum(tail) / len(tail),
        "loss_curve": {
            "step": [min((i + 1) * width, len(losses)) for i in range(len(spans))],
            "loss": [sum(span) / len(span) for span in spans],
        },
        "wall_seconds": run.seconds,
        "resumes": run.resumes,
        "device": run.device.partition(":")[0],
        "precision": run.precision,
        "environment": asdict(environment(run.device)),
    }
