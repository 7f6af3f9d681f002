"""Our own segmentation checkpoints: a folder of ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from eomtlib.models.checkpoints.fields import Fields
from eomtlib.models.options import ModelOptions

FORMAT = "eomtlib/1"
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class ModelConfig:
    """All that ``build_model`` needs to make the same architecture again, and its classes.

    Attributes:
        rung, size, pretraining, num_queries: as ``build_model`` takes them.
        image_size: height and width.
        class_names: in the order of the class head; ``unnamed_classes`` where they are not known.
        is_thing: for each class; None where the checkpoint does not say.
        task: what it was trained for; None where the checkpoint does not say.
        masking, query_blocks, frozen_encoder, lateral_connections, taps: as in ``ModelOptions``.
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
    frozen_encoder: bool | None = None
    lateral_connections: bool | None = None
    taps: tuple[int, ...] | None = None
    task: str | None = None

    @property
    def options(self) -> ModelOptions:
        """What of the rung is not as the papers build it, and its masking."""
        return ModelOptions(**{f.name: getattr(self, f.name) for f in fields(ModelOptions)})


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


def read_config(written: Fields) -> ModelConfig:
    """The configuration of a saved model, from the fields of its ``config.json``.

    Raises:
        CheckpointError: when a field is missing or of another type.
    """
    return ModelConfig(
        rung=written.text("rung"),
        size=written.text("size"),
        pretraining=written.text("pretraining"),
        image_size=written.size("image_size"),
        num_queries=written.whole("num_queries"),
        masking=written.text("masking"),
        class_names=written.texts("class_names"),
        is_thing=written.switches("is_thing"),
        query_blocks=written.optional_whole("query_blocks"),
        frozen_encoder=written.optional_switch("frozen_encoder"),
        lateral_connections=written.optional_switch("lateral_connections"),
        taps=written.optional_wholes("taps"),
        task=written.optional_text("task", missing="panoptic"),
    )
