"""What all runs of one configuration share: opened data and checked weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from eomtlib.core.console import say
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.machine import distributed
from eomtlib.core.words import OWN_PRETRAININGS, RANDOM_WEIGHTS, SHIPPED
from eomtlib.data.dataset import FileDataset, SegmentationDataset
from eomtlib.data.feed.loaders import default_workers
from eomtlib.data.frequencies import frequency_weights
from eomtlib.data.looking import look_at
from eomtlib.data.registry import open_dataset
from eomtlib.data.tally import Tally
from eomtlib.data.task_views import TaskView, in_order_of
from eomtlib.models.checkpoints import identify
from eomtlib.models.encoders import build_encoder
from eomtlib.models.weights.encoder import find_weights, load_pretrained
from eomtlib.study.parameters.defaults import default_queries
from eomtlib.study.parameters.resolving import pretraining_before
from eomtlib.study.parameters.settings import Settings
from eomtlib.training.pretraining import (
    find_pretrained,
    pretrain,
    pretraining_hash,
    written_hash,
)

_LOOKED_AT = 64


class Materials:
    """Data and weights of one configuration.

    Args:
        settings: every parameter, resolved.
        results_dir: where a pretraining that must come first is, or goes.
        progress: whether progress bars and notices are shown, by the first process.
        open_data: ``open_dataset``, or what remembers what it has opened.

    Attributes:
        train_set, val_set: what is learned from, and evaluated on.
        classes: of both.
        num_queries: of the models.
        num_val: how many validation images are evaluated on.
        pretraining: that must come first, or None.
        data_digests: of ``train`` and ``val``.
        weights_digest: for ``TrainingKey``.
        start: what the model is that training starts from; None where it starts from an encoder.

    Raises:
        ConfigurationError, DataError, CheckpointError: when data or weights cannot be used; nothing
            is written then.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        results_dir: Path,
        progress: bool,
        open_data: Callable[..., SegmentationDataset] = open_dataset,
    ) -> None:
        self.settings = settings
        _check_split(settings)
        with distributed.first_goes_first():  # it may write the embedded data set
            self.train_set, self.val_set = (
                open_data(
                    settings.dataset,
                    split,
                    task=settings.task,
                    data_path=settings.data_path,
                    files=files,
                    image_size=settings.image_size,
                    train_images=settings.train_images,
                    val_images=settings.drawn_val_images,
                    exif=settings.exif,
                    on_bad=settings.on_bad,
                )
                for split, files in (("train", settings.train_data), ("val", settings.val_data))
            )
        self.classes = self.train_set.classes
        self.val_set = in_order_of(self.val_set, self.classes)
        self.num_queries = settings.num_queries or default_queries(
            settings.size, settings.task, settings.dataset, len(self.classes)
        )
        self.num_val = min(len(self.val_set), settings.val_images or len(self.val_set))
        self.pretraining = pretraining_before(settings)
        self.start = identify(settings.checkpoint) if settings.checkpoint else None
        sets = {"train": self.train_set, "val": self.val_set}
        self.data_digests = distributed.on_first(
            lambda: {split: own.digest() for split, own in sets.items()}
        )
        self.weights_digest = self._check_weights()
        self._results_dir = results_dir
        self.progress = progress and distributed.is_first()
        self._pretrained: Path | None = None

    @property
    def must_pretrain(self) -> bool:
        """Whether a pretraining is still to be done."""
        return self.pretraining is not None and not find_pretrained(
            self.pretraining, self._results_dir
        )

    @cached_property
    def frequency_weights(self) -> tuple[float, ...]:
        """Of the classes, where the loss is to weigh rare ones more."""
        self.say("counting the segments of each class in the training set, once.")
        return distributed.on_first(lambda: frequency_weights(self.train_set))

    def remarks(self) -> list[str]:
        """What is to be known of one's own data, from a look at some of the training images."""
        files = self.train_set
        while isinstance(files, TaskView):
            files = files.dataset
        if not isinstance(files, FileDataset):
            return []
        said = list(files.notes)
        for name, own in (("training", self.train_set), ("validation", self.val_set)):
            if own.skipped:
                said.append(f"{own.skipped} {name} image(s) are left out (on_bad='skip')")
        if self.settings.dataset == "custom":
            tally = Tally(files, self.settings.task)
            chosen = np.unique(np.linspace(0, len(files) - 1, _LOOKED_AT).astype(int)).tolist()
            for index, seen in zip(chosen, look_at(files, chosen, workers=0), strict=True):
                tally.add(index, seen)
            texts = [*tally.remarks(), *self._too_few_queries(tally.found_by)]
            said += [f"of {len(chosen)} training images, {text}" for text in texts]
        return said

    def _too_few_queries(self, found_by: Sequence[int]) -> list[str]:
        above = [count for count in found_by if count > self.num_queries]
        if not above:
            return []
        return [
            f"{len(above)} have more segments than the model's {self.num_queries} queries (at most "
            f"{max(above)}), and no query learns the others; raise num_queries"
        ]

    def workers(self) -> int:
        """Data loading processes of a training."""
        given = self.settings.workers
        return default_workers(self.train_set) if given is None else given

    def say(self, text: str) -> None:
        """Prints a notice, where notices are shown."""
        if self.progress:
            say(text)

    def encoder_weights(self) -> Path | str | None:
        """The file or folder of the encoder's weights; None where none need be given.

        Or ``random``, which is said for the architecture alone.

        A pretraining ``mim`` is done first, once for all rungs and seeds.
        """
        if self.pretraining is None:
            return self.settings.weights
        if self._pretrained is None:
            self._pretrained = distributed.on_first(self._pretrain)
        return self._pretrained

    def _pretrain(self) -> Path:
        s = self.settings
        if self.must_pretrain:
            self.say(
                f"pretraining {s.size}: {self.pretraining.steps} steps of masked images, once."
            )
        return pretrain(
            self.pretraining,
            results_dir=self._results_dir,
            device=s.device,
            precision=s.precision,
            workers=self.workers(),
            progress=self.progress,
        )

    def _check_weights(self) -> str | None:
        """Reads a weights file once, before anything is built, so that it fails here if it does."""
        s = self.settings
        if self.start is not None:
            return _file_digest(self.start.path)
        if self.pretraining is not None:
            return f"mim {pretraining_hash(self.pretraining)}"
        if s.weights is None:
            is_shipped = s.pretraining == SHIPPED
            return _file_digest(find_weights(None, s.size, s.pretraining)) if is_shipped else None
        is_random = s.weights == RANDOM_WEIGHTS
        if is_random and s.pretraining not in OWN_PRETRAININGS:
            return RANDOM_WEIGHTS
        if s.pretraining == "none" or is_random:
            raise ConfigurationError(
                f"weights={str(s.weights)!r} has no use with pretraining={s.pretraining!r} "
                f"(size={s.size!r}); leave weights empty, or name the pretraining that it holds."
            )
        encoder = build_encoder(size=s.size, pretraining=s.pretraining, image_size=s.image_size)
        load_pretrained(encoder, size=s.size, pretraining=s.pretraining, weights=s.weights)
        path = find_weights(s.weights, s.size, s.pretraining)
        if s.pretraining == "mim" and (written := written_hash(path)):
            return f"mim {written}"
        return _file_digest(path)


def _check_split(settings: Settings) -> None:
    """Refuses a batch that processes and parts cannot share equally."""
    parts = distributed.world_size() * settings.gradient_accumulation
    if settings.batch_size % parts:
        raise ConfigurationError(
            f"batch_size={settings.batch_size} cannot be shared by {distributed.world_size()} "
            f"process(es) with gradient_accumulation={settings.gradient_accumulation}; it must be "
            f"a multiple of {parts}."
        )


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
