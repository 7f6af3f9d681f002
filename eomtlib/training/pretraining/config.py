"""What a pretraining is told, and the sensible value of what it is not told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eomtlib.core.errors import ConfigurationError, check_choice, check_ranges
from eomtlib.core.words import OWN_SIZES, SHIPPED
from eomtlib.models.encoder_names import OWN_VITS, check_encoder, has_encoder
from eomtlib.models.encoders import PATCH_SIZE, check_multiple
from eomtlib.training.hyperparameters import OptimizerConfig

SHAPES = "shapes"


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """What decides the outcome of a pretraining. Defaults are ``nano``'s on a CPU.

    Half of the patches are hidden there, not three quarters: of the 8 × 8 patches of a small image
    a quarter is too little to tell from what the rest shows.

    Attributes:
        size: of the encoder, one of ``core.words.SIZES``.
        image_size: height and width, multiples of the patch size.
        images: ``shapes``, or a folder of JPEG and PNG files, searched with all its subfolders.
        num_images: how many images of ``shapes`` are drawn, from its training split's on. They need
            no labels, so there may be more than a training set has. 0 for no end: each is new, and
            none is of a split. Without meaning for a folder.
        steps: optimizer steps.
        batch_size: images of a step.
        lr: peak learning rate.
        mask_ratio: share of the patches that are hidden, in (0, 1). Without meaning with a teacher.
        teacher: the size of an encoder that comes with the library: its features are predicted, of
            all patches, in place of hidden pixels. Patches must be of one size. Empty for none.
        seed: key of all randomness.
        probe_every: steps between two linear probes; 0 for none. It decides nothing.

    Raises:
        ConfigurationError: naming parameter, value and fix.
    """

    size: str
    image_size: tuple[int, int]
    images: str = SHAPES
    num_images: int = 20_000
    steps: int = 3000
    batch_size: int = 32
    lr: float = 2e-3
    mask_ratio: float = 0.5
    teacher: str = ""
    seed: int = 0
    probe_every: int = 0

    def __post_init__(self) -> None:
        check_encoder(self.size, "mim")
        check_multiple(self.image_size, self.patch_size)
        if not str(self.images).strip():
            raise ConfigurationError(
                f"images={self.images!r} is empty; set it to {SHAPES!r} or to a folder of images."
            )
        from_zero = ("num_images", "seed", "probe_every")
        for name in ("steps", "batch_size", *from_zero):
            if not isinstance(getattr(self, name), int):
                raise ConfigurationError(f"{name}={getattr(self, name)!r} must be a whole number.")
        counts = dict.fromkeys(("steps", "batch_size"), "[1, inf)")
        check_ranges(self, **counts, **dict.fromkeys(from_zero, "[0, inf)"), lr="(0, inf)")
        patches = self.num_patches
        if not 0 < self.mask_ratio < 1 or not 0 < self.num_visible < patches:
            low, high = 1 / patches, 1 - 1 / patches
            raise ConfigurationError(
                f"mask_ratio={self.mask_ratio} hides {patches - self.num_visible} of the {patches} "
                f"patches of an image; some must be hidden and some not: use {low:.2g} to "
                f"{high:.2g}."
            )
        if self.teacher:
            self._check_teacher()

    def _check_teacher(self) -> None:
        check_choice("teacher", self.teacher, [s for s in OWN_SIZES if has_encoder(s, SHIPPED)])
        if self.patch_size != _patch_size(self.teacher):
            raise ConfigurationError(
                f"teacher={self.teacher!r} has patches of {_patch_size(self.teacher)} pixels, and "
                f"size={self.size!r} of {self.patch_size}; they must be the same: set size to one "
                f"of {', '.join(OWN_SIZES)}."
            )

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return _patch_size(self.size)

    @property
    def num_patches(self) -> int:
        """Patches of an image."""
        height, width = self.image_size
        return (height // self.patch_size) * (width // self.patch_size)

    @property
    def num_samples(self) -> int:
        """Images that are seen, those that are seen again counted each time."""
        return self.steps * self.batch_size

    @property
    def num_visible(self) -> int:
        """Patches of an image that the encoder sees."""
        return visible_patches(self.num_patches, self.mask_ratio)

    @property
    def optimizer(self) -> OptimizerConfig:
        """AdamW with a short warm-up and a cosine (MAE, Appendix A.1), all layers alike."""
        return OptimizerConfig(
            lr=self.lr,
            weight_decay=0.05,
            decay_vectors=False,
            layer_decay=1.0,
            warmup_steps=(0.05,),
            schedule="cosine",
            final_lr=0.0,
        )


def _patch_size(size: str) -> int:
    return OWN_VITS.get(size, {}).get("patch_size", PATCH_SIZE)


def visible_patches(count: int, mask_ratio: float) -> int:
    """How many of ``count`` patches the encoder sees."""
    return round(count * (1 - mask_ratio))


_DEFAULTS: dict[tuple[str, str], dict[str, Any]] = {
    ("nano", "cpu"): {},
    ("micro", "cpu"): {"steps": 1200},
    ("small", "cpu"): {"num_images": 200, "steps": 20, "batch_size": 8},
    # As many as there is memory for: drawing them anew would keep a GPU waiting.
    ("nano", "cuda"): {"num_images": 80_000, "steps": 20_000, "batch_size": 128},
    ("micro", "cuda"): {"num_images": 80_000, "steps": 20_000, "batch_size": 128},
    ("small", "cuda"): {"num_images": 10_000, "steps": 50_000, "batch_size": 256},
}
_TAUGHT = {"steps": 2400, "batch_size": 16, "lr": 3e-3}
"""With a teacher, found by tries with ``micro`` (docs/encoders.md); both encoders were made so."""
_PAPER = {"lr": 1.5e-4, "mask_ratio": 0.75}
"""MAE, Appendix A.1 (for 256 images) and Section 3, for the papers' sizes."""


def default_config(
    *,
    size: str,
    image_size: tuple[int, int],
    images: str = SHAPES,
    device: str = "cpu",
    **given: Any,
) -> PretrainingConfig:
    """The configuration that a size has on a kind of machine.

    On a CPU our own sizes take 5 to 8 minutes at 64 × 64 on two cores, with a teacher up to 18; the
    papers' sizes only show that everything runs. What a GPU is given has not been tuned.

    Args:
        size: of the encoder.
        image_size: height and width.
        images: ``shapes`` or a folder.
        device: ``cpu``, ``cuda``, ...
        given: fields of ``PretrainingConfig`` that are not to be the default; None stands for
            "not given".

    Raises:
        ConfigurationError: as ``PretrainingConfig``.
    """
    check_encoder(size, "mim")
    kind = "cuda" if device.startswith("cuda") else "cpu"
    own = size in OWN_SIZES
    default = _DEFAULTS[size if own else "small", kind] | ({} if own else _PAPER)
    default |= _TAUGHT if given.get("teacher") else {}
    chosen = default | {name: value for name, value in given.items() if value is not None}
    return PretrainingConfig(size=size, image_size=image_size, images=str(images), **chosen)
