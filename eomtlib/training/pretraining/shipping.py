"""A pretraining on ``shapes`` becomes the encoder that comes with this package."""

from __future__ import annotations

import json
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
        ConfigurationError: for other images than ``shapes``, another size, or a teacher of the same
            size, whose file it would replace.
    """
    if config.images != SHAPES or config.size not in OWN_SIZES:
        raise ConfigurationError(
            f"size={config.size!r} and images={config.images!r}: {SHIPPED} is of size "
            f"{' or '.join(OWN_SIZES)}, pretrained on {SHAPES}. Leave ship out."
        )
    if config.teacher == config.size:
        raise ConfigurationError(
            f"teacher={config.teacher!r} is of the size that is to ship: it would replace its "
            "teacher, and be taught by itself when run again. Leave ship out, or choose a teacher "
            "of another size."
        )


def ship(weights: Path, records: Path) -> tuple[Path, Path]:
    """Writes a finished pretraining into this package, at 16 bits, and its record beside others.

    Args:
        weights: what ``pretrain`` returned, of a configuration that ``check_shipping`` lets pass.
        records: the folder for its record, which is named after its size and its teacher's: one
            that has taught what ships keeps its own.

    Returns:
        The file of the package, and the record.
    """
    with safe_open(weights, "pt") as file:
        written = file.metadata()
    size = written["size"]
    halved = {name: value.half() for name, value in load_file(weights).items()}
    made = weights.with_name(RECORD_FILE).read_bytes()
    teacher = json.loads(made)["config"]["teacher"]
    name = f"{SHIPPED}-{size}" + (f"-taught-by-{teacher}" if teacher else "")
    target, record = shipped_file(size), records / f"{name}.json"
    write_file(record, made)
    write_file(target, save(halved, written | {"pretraining": SHIPPED}))
    return target, record
