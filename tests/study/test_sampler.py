"""A training whose deformable attention samples by the Triton kernel, interpreted on a CPU."""

import os
import subprocess
import sys

import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.study.parameters.resolving import resolve_settings

TRAIN = """
import os, sys
os.environ["TRITON_INTERPRET"] = "1"
import torch
from safetensors.torch import load_file
from eomtlib.models.parts.deformable_attention import DeformableAttention
from eomtlib.study.study import Study
from tests.samples import SMOKE

weights, used = {}, {}
for sampler in ("pytorch", "triton"):
    study = Study(
        results_dir=f"{sys.argv[1]}/{sampler}", rungs="no-adapter", progress=False,
        **SMOKE
        | {"sampler": sampler, "duration": "1steps", "batch_size": 1, "val_images": 1}
        | {"image_size": 32, "num_queries": 4, "train_images": 1},
    )
    run = study.runs[0]
    make, made = run.maker.segmenter, []
    run.maker.segmenter = lambda model, **options: (made.append(model), make(model, **options))[1]
    (result,) = study.learn()
    weights[sampler] = load_file(result.folder / "model" / "model.safetensors")
    module = run.maker.module(1)
    used[sampler] = {
        part.sampler for model in (*made, module.model) for part in model.modules()
        if isinstance(part, DeformableAttention)
    }
assert used == {"pytorch": {"pytorch"}, "triton": {"triton"}}, used
for name, value in weights["pytorch"].items():
    torch.testing.assert_close(weights["triton"][name], value, rtol=0, atol=2e-5, msg=name)
print("trained alike")
"""


@pytest.mark.slow
def test_it_trains_what_plain_pytorch_trains(tmp_path):
    pytest.importorskip("triton")
    environment = os.environ | {"EOMTLIB_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAIN, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "trained alike" in done.stdout, done.stderr


def test_it_is_plain_pytorch_without_a_gpu_and_the_kernel_is_refused_there():
    assert resolve_settings(device="cpu").sampler == "pytorch"
    with pytest.raises(ConfigurationError, match=r"^sampler='triton' needs .*Use 'pytorch'\.$"):
        resolve_settings(device="cpu", sampler="triton")
    with pytest.raises(ConfigurationError, match=r"sampler='tritn'.*Did you mean 'triton'"):
        resolve_settings(device="cpu", sampler="tritn")
