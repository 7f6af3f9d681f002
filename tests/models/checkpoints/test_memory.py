"""Loading fills a model with little more than its own memory."""

import subprocess
import sys

import pytest
import torch

from eomtlib.models.checkpoints import load_model, save_model
from tests.models.checkpoints.layouts import COCO, dinov3_encoder, released_shapes

MEASURE = """
import sys
from eomtlib.models.checkpoints import load_model
from eomtlib.core.machine.memory import PeakMemory
from pathlib import Path
before = next(
    int(line.split()[1])
    for line in Path("/proc/self/status").read_text().splitlines()
    if line.startswith("VmRSS:")
)
with PeakMemory() as memory:
    model, _ = load_model(sys.argv[1], **eval(sys.argv[2]))
size = sum(value.nbytes for value in model.state_dict().values()) / 2**20
print((memory.mib - before / 1024) / size)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the kernel's own figures")
@pytest.mark.parametrize("kind", ["eomt-dinov2", "eomt-dinov3", "ours"])
def test_loading_takes_little_more_than_the_models_own_memory(kind, tmp_path):
    name = "eomt-dinov2" if kind == "ours" else kind
    shapes = released_shapes(name, size="large", query_blocks=4, positions=1600, **COCO)
    path, options = tmp_path / "pytorch_model.bin", {}
    torch.save({f"network.{key}": torch.rand(shape) for key, shape in shapes.items()}, path)
    if kind == "eomt-dinov3":
        weights = tmp_path / "dinov3.bin"
        state = torch.load(dinov3_encoder("large", weights))
        torch.save({key: value.contiguous() for key, value in state.items()}, weights)
        options = {"weights": str(weights)}
    if kind == "ours":
        model, config = load_model(path)
        path = tmp_path / "ours"
        save_model(path, model, config)
        del model
    command = [sys.executable, "-c", MEASURE, str(path), repr(options)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 1.0 <= float(out.splitlines()[-1]) <= 1.5
