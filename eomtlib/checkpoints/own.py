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

from eomtlib.checkpoints.fields import Fields

FORMAT = "eomtlib/1"
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class ModelConfig:
    """All that ``build_model`` needs to make the same architecture again, and its classes.

    Attributes:
        rung, size, pretraining, num_queries, masking, query_blocks: as ``build_model`` takes them.
        image_size: height and width.
        class_names: in the order of the class head; ``unnamed_classes`` where they are not known.
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


def unnamed_classes(count: int) -> tuple[str, ...]:
    """What stands for names that a checkpoint does not hold."""
    return tuple(f"class {i}" for i in range(count))


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


def read_config(fields: Fields) -> ModelConfig:
    """The configuration of a saved model, from the fields of its ``config.json``.

    Raises:
        CheckpointError: when a field is missing or of another type.
    """
    return ModelConfig(
        rung=fields.text("rung"),
        size=fields.text("size"),
        pretraining=fields.text("pretraining"),
        image_size=fields.size("image_size"),
        num_queries=fields.whole("num_queries"),
        masking=fields.text("masking"),
        class_names=fields.texts("class_names"),
        is_thing=fields.switches("is_thing"),
        query_blocks=fields.optional_whole("query_blocks"),
    )
