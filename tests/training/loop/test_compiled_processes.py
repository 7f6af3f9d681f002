"""Two processes whose models are compiled come to the gradients of two that are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TWO_PROCESSES = """
import sys
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from eomtlib.core.structures import SegmentMap
from eomtlib.models.build import build_model
from eomtlib.training.loss import SegmentationLoss

distributed.init_process_group("gloo")
rank = distributed.get_rank()


class Step(nn.Module):
    # As Lightning does it: what is shared among processes holds the model, which is compiled.
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images)


def gradients(rung, backend):
    torch.manual_seed(0)
    model = build_model(
        rung, size="nano", pretraining="none", image_size=64, num_classes=3, num_queries=6
    ).train()
    if backend:
        model.compile(backend=backend)
    shared = DistributedDataParallel(Step(model), broadcast_buffers=False)
    generator = torch.Generator().manual_seed(rank)
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=generator)
    ids = torch.randint(0, 2, (1, 64, 64), dtype=torch.int16, generator=generator)
    target = SegmentMap(ids, torch.tensor([0, 2]), torch.zeros(2, dtype=torch.bool))
    drawn = torch.Generator().manual_seed(rank)
    SegmentationLoss(3)(shared(images), [target], generators=[drawn]).total.backward()
    return {name: p.grad for name, p in model.named_parameters()}


for rung in ("eomt-masked", "no-adapter"):
    eager, compiled = gradients(rung, None), gradients(rung, "aot_eager")
    assert None not in eager.values() and eager.keys() == compiled.keys()
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-5, msg=name)
        theirs = [torch.empty_like(value) for _ in range(2)]
        distributed.all_gather(theirs, compiled[name].contiguous())
        assert torch.equal(*theirs), name
print("alike")
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_gradients_are_those_of_eager_models(tmp_path):
    (tmp_path / "script.py").write_text(TWO_PROCESSES)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = [sys.executable, *launcher, str(tmp_path / "script.py")]
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.stdout.count("alike") == 2, done.stderr
