"""What is drawn for a training image, as data."""

from __future__ import annotations

from dataclasses import dataclass

from eomtlib.core.errors import ConfigurationError, check_ranges
from eomtlib.core.hyperparameters import hyper


@dataclass(frozen=True)
class AugmentationConfig:
    """Flip, scale jitter, crop and colours (EoMT, supplementary).

    Scale is large-scale jitter's (Ghiasi et al., Simple Copy-Paste, CVPR 2021), colours are SSD's
    photometric distortion (Liu et al., ECCV 2016, section 3.6).

    Raises:
        ConfigurationError: for a value out of range.
    """

    flip: float = hyper(0.5, "probability of a horizontal flip")
    scale: tuple[float, float] = hyper(
        (0.1, 2.0), "scale jitter, from and to; at 1 the image just fits inside the crop"
    )
    brightness: float = hyper(0.0, "the factor is uniform in [1 - x, 1 + x]; 0 for off")
    contrast: float = hyper(0.0, "likewise")
    saturation: float = hyper(0.0, "likewise")
    hue: float = hyper(0.0, "the shift is uniform in [-x, x] of a turn; 0 for off")
    colour: float = hyper(0.5, "probability of each colour change that is on")
    crop_attempts: int = hyper(1000, "draws of a crop before one without any segment is accepted")

    def __post_init__(self) -> None:
        shares = dict.fromkeys(("flip", "brightness", "contrast", "saturation", "colour"), "[0, 1]")
        check_ranges(self, **shares, hue="[0, 0.5]", crop_attempts="[1, inf)")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigurationError(f"scale={self.scale} must be a range above 0, low ≤ high.")
