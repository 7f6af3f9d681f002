"""A pretraining on ``shapes`` becomes the encoder that comes with this package."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.files.atomic_files import write_file
from eomtlib.core.words import OWN_SIZES, SHIPPED
from eomtlib.models.encoder_names import shipped_file
from eomtlib.training.pretraining.config import SHAPES, PretrainingConfig
from eomtlib.training.pretraining.outcome import RECORD_FILE


def check_shipping(config: PretrainingConfig) -> None:
    """Refuses what cannot become an encoder that comes with this package, before it is trained.

    Raises:
        ConfigurationError: for other images than ``shapes``, another size, or a teacher that is not
            smaller: it would be lost, or learn from its own pupil.
    """
    if config.images != SHAPES or config.size not in OWN_SIZES:
        raise ConfigurationError(
            f"size={config.size!r} and images={config.images!r}: {SHIPPED} is of size "
            f"{' or '.join(OWN_SIZES)}, pretrained on {SHAPES}. Leave ship out."
        )
    if config.teacher not in ("", *OWN_SIZES[: OWN_SIZES.index(config.size)]):
        raise ConfigurationError(
            f"teacher={config.teacher!r} is not smaller than size={config.size!r}: what ships must "
            "not depend on itself. Leave ship out, or choose a smaller teacher."
        )


def ship(weights: Path, records: Path) -> tuple[Path, Path]:
    """Writes a finished pretraining into this package, at 16 bits, and its record beside others.

    Args:
        weights: what ``pretrain`` returned, of a configuration that ``check_shipping`` lets pass.
        records: the folder for its record.

    Returns:
        The file of the package, and the record.
    """
    with safe_open(weights, "pt") as file:
        written = file.metadata()
    size = written["size"]
    halved = {name: value.half() for name, value in load_file(weights).items()}
    target, record = shipped_file(size), records / f"{SHIPPED}-{size}.json"
    write_file(record, weights.with_name(RECORD_FILE).read_bytes())
    write_file(target, save(halved, written | {"pretraining": SHIPPED}))
    return target, record
