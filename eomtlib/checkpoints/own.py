"""Our own segmentation checkpoints: a folder of ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from eomtlib.errors import CheckpointError

FORMAT = "eomtlib/1"
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class ModelConfig:
    """All that ``build_model`` needs to make the same architecture again, and its classes.

    Attributes:
        rung, size, pretraining, num_queries, masking, query_blocks: as ``build_model`` takes them.
        image_size: height and width.
        class_names: in the order of the class head.
        is_thing: for each class; None where the checkpoint does not say.
    """

    rung: str
    size: str
    pretraining: str
    image_size: tuple[int, int]
    num_queries: int
    masking: str
    class_names: tuple[str, ...]
    is_thing: tuple[bool, ...] | None
    query_blocks: int | None = None


def save_model(folder: Path, model: nn.Module, config: ModelConfig) -> None:
    """Writes the folder whole or not at all; an older one of that name is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
        save_file(state, temporary / WEIGHTS)
        text = json.dumps({"format": FORMAT, **asdict(config)}, indent=1)
        (temporary / CONFIG).write_text(text + "\n")
        temporary.chmod(0o755)
        for file in temporary.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        if folder.exists():
            # The old one is moved aside first, so that there is a whole folder at every moment.
            aside = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            temporary.rename(folder)
            shutil.rmtree(aside)
        else:
            temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_config(folder: Path) -> ModelConfig:
    """Reads the configuration of a saved model.

    Raises:
        CheckpointError: when the folder or its configuration is missing or of another format.
    """
    path = Path(folder) / CONFIG
    try:
        fields = json.loads(path.read_text())
        if fields.pop("format") != FORMAT:
            raise KeyError("format")
        for name in ("image_size", "class_names", "is_thing"):
            fields[name] = fields[name] if fields[name] is None else tuple(fields[name])
        return ModelConfig(**fields)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: no saved model there: {CONFIG} is missing. Give the folder that holds "
            f"{CONFIG} and {WEIGHTS}."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: is no configuration of {FORMAT} ({error}).") from error
