"""Models timed as the study times them, one record each, and held to what eager code gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.schedule import Part
from eomtlib.core.words import COST_IMAGE_SIZE, OWN_SIZES, RANDOM_WEIGHTS
from eomtlib.evaluation.speed import ModelTiming, attention_kernel, measure_fps, time_model
from eomtlib.inference.modes import in_mode
from eomtlib.inference.segmenter import Segmenter
from eomtlib.models.parts.deformable_attention import set_sampler
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.records.store import ResultStore
from eomtlib.study.runs.materials import Materials
from eomtlib.study.runs.run import Run

Encoder = tuple[str, str]
"""Size and pretraining."""

_SECONDS = {"eager": 14.0, "cuda-graph": 14.0, "compiled": 45.0, "max-autotune": 150.0}
"""Guesses for L on an H100, until the first of its kind has been seen."""

_AT_MOST_S = 4.0  # of repetitions; a steady model needs less


@dataclass
class Runs:
    """Runs of the study, made when they are first asked for.

    Attributes:
        store: where records go.
        device: that is measured.
        modes: that models are timed in, of ``words.TIMING_MODES``, the most telling first.
    """

    store: ResultStore
    device: str
    modes: Sequence[str]
    _materials: dict[tuple, Materials] = field(default_factory=dict)

    def of(self, rung: str, encoder: Encoder, *, batch: int = 1, **options: Any) -> Run:
        """One rung with random weights on drawn images, ``batch`` of them to train on."""
        size, is_own = encoder[0], encoder[0] in OWN_SIZES
        key = (encoder, batch, *sorted(options.items()))
        if key not in self._materials:
            settings = resolve_settings(
                size=size,
                pretraining=encoder[1],
                weights=None if is_own else RANDOM_WEIGHTS,
                image_size=64 if is_own else COST_IMAGE_SIZE,
                train_images=batch,
                batch_size=batch,
                workers=0,
                device=self.device,
                timing_modes=self.modes,
                **options,
            )
            self._materials[key] = Materials(
                replace(settings, drawn_val_images=1), results_dir=self.store.root, progress=False
            )
        return Run(rung, self._materials[key], self.store, train=False)

    def timings(self, rungs: Sequence[str], encoder: Encoder, modes: Sequence[str]) -> list[Part]:
        """One part for each mode, rung and sampler; without what is recorded."""
        parts = []
        for mode, rung in product(modes, rungs):
            run = self.of(rung, encoder)
            for way in run.missing_timings():
                name = "_".join((*way, rung, *encoder))
                part = Part(name, f"{mode} {encoder}", _SECONDS[mode], partial(time_run, run, *way))
                parts += [part] if way[0] == mode else []
        return parts


def folded(run: Run, sampler: str) -> tuple[Segmenter, Tensor]:
    """A run's model as inference runs it, eagerly, and an image as it sees it."""
    s = run.settings
    torch.manual_seed(0)
    with torch.device(s.device):  # where random weights are drawn fast
        model = run.maker.model(s.cost_image_size, load_weights=False).to(s.device)
    set_sampler(model, sampler)
    segmenter = run.maker.segmenter(model, folded=True)
    return segmenter, segmenter.views(run.materials.val_set.read(0)[0])


def predictor(segmenter: Segmenter, mode: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """What ``time_model`` times of a segmenter's model."""
    return in_mode(lambda x: segmenter.model.predict(x, masked=segmenter.masked), mode)


@torch.inference_mode()
def time_run(run: Run, mode: str, sampler: str) -> dict[str, Any]:
    """Times and records one model; its logits beside those of the same model run eagerly.

    Only eager ones are timed end to end: that would be compiled for another minute.
    """
    segmenter, views = folded(run, sampler)
    image, device = run.materials.val_set.read(0)[0], segmenter.device
    predict, eager = predictor(segmenter, mode), predictor(segmenter, "eager")
    with segmenter.running():
        apart = max(map(distance, predict(views), eager(views)))
        if mode != "eager":
            alone = measure_fps(lambda: predict(views), device=device, max_seconds=_AT_MOST_S)
            kernel = attention_kernel(lambda: eager(views))
            timing = ModelTiming(alone, None, tuple(image.shape[-2:]), kernel)
    if mode == "eager":
        timing = time_model(segmenter, image, max_seconds=_AT_MOST_S)
    measured = run.timing_record([timing], mode=mode, sampler=sampler, session="")
    record = run.store.write(measured)
    said = f"{record.fps_model:.1f} images/s, attention {record.attention_kernel}"
    said += "" if mode == "eager" else f", logits {apart:.1e} from eager"
    return {"record": record.id, "fps": record.fps_model, "from_eager": apart, "says": said}


def distance(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖."""
    expected = expected.double()
    return ((found.double() - expected).norm() / expected.norm()).item()
