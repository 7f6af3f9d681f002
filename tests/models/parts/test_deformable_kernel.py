"""The Triton kernel against the plain formulation: interpreted on a CPU, and compiled for a GPU."""

import subprocess
import sys

import pytest

pytest.importorskip("triton")

# Triton decides when a kernel is defined whether it is interpreted.
INTERPRETED = """
import os
os.environ["TRITON_INTERPRET"] = "1"
import torch
from eomtlib.models.parts.deformable_attention import deformable_sample
from eomtlib.models.parts.deformable_kernel import deformable_sample_kernel

torch.manual_seed(0)
shapes = ((2, 3), (4, 6), (5, 1))
sides = [side for shape in shapes for side in shape]
cells = sum(rows * columns for rows, columns in shapes)
# 21 queries are no multiple of a block's 16, 3 channels no power of two; some points lie outside.
value = torch.randn(2, cells, 2, 3, requires_grad=True)
locations = (1.4 * torch.rand(2, 21, 2, 3, 2, 2) - 0.2).requires_grad_()
weights = torch.rand(2, 21, 2, 3, 2, requires_grad=True)
inputs = (value, locations, weights)

expected = deformable_sample(value, shapes, locations, weights)
found = deformable_sample_kernel(value, sides, locations, weights).flatten(2)
torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
seed = torch.randn_like(expected)
for ours, plain in zip(
    torch.autograd.grad(found, inputs, seed), torch.autograd.grad(expected, inputs, seed)
):
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
torch.library.opcheck(
    torch.ops.eomtlib.deformable_sample, (value, sides, locations, weights),
    test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
)

# What torch.compile is told of strides is true of a value that another layout holds.
turned = value.detach().transpose(0, 1).contiguous().transpose(0, 1)
torch.library.opcheck(
    torch.ops.eomtlib.deformable_sample_backward,
    (turned, sides, locations.detach(), weights.detach(), seed.unflatten(2, (2, 3))),
    test_utils=("test_schema", "test_faketensor"),
)

half = deformable_sample_kernel(value.bfloat16(), sides, locations, weights)
assert half.dtype == torch.bfloat16
torch.testing.assert_close(half.flatten(2).float(), expected, rtol=2e-2, atol=2e-2)

print("all equal")
"""

IN_A_MODEL = """
import os
os.environ["TRITON_INTERPRET"] = "1"
import torch
from eomtlib.models.build import build_model
from eomtlib.models.parts.deformable_attention import set_sampler

torch.manual_seed(0)
model = build_model(
    "no-adapter", size="nano", pretraining="none", image_size=64, num_classes=3, num_queries=4
).eval()
images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
with torch.no_grad():
    plain = model.predict(images)
    set_sampler(model, "triton")
    torch.testing.assert_close(model.predict(images), plain, rtol=1e-4, atol=1e-4)
    compiled = torch.compile(model.predict, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), plain, rtol=1e-4, atol=1e-4)
print("model equal")
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from eomtlib.models.parts import deformable_kernel

constants = {
    "HEADS": 8, "CHANNELS": 32, "LEVELS": 2, "POINTS": 4, "SHAPES": (80, 80, 0, 40, 40, 6400),
    "BLOCK_Q": 16, "BLOCK_C": 32,
}
for kernel in (deformable_kernel._forward, deformable_kernel._backward):
    signature = {}
    for name in kernel.arg_names:
        kind = "*bf16" if name in ("value", "out", "out_grad") else "*fp32"
        signature[name] = "constexpr" if name in constants else kind
        if name.startswith("num_"):
            signature[name] = "i32"
    source = ASTSource(
        fn=kernel, signature=signature,
        constexprs={(kernel.arg_names.index(name),): value for name, value in constants.items()},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert len(compiled.asm["cubin"]) > 1000
    # A sum in any order: nothing waits for what others have written.
    assert "acq_rel" not in compiled.asm["ptx"]
    assert ("red." in compiled.asm["ptx"] or "relaxed" in compiled.asm["ptx"]) == (
        kernel is deformable_kernel._backward
    )
print("all compiled")
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (INTERPRETED, "all equal"),
        pytest.param(IN_A_MODEL, "model equal", marks=pytest.mark.slow),
        (COMPILED, "all compiled"),
    ],
)
def test_the_kernel(program, said, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert said in out.stdout
