"""Settings of PyTorch that hold for the process are put back."""

import pytest
import torch

from eomtlib.core.machine.precision import tensor_cores


@pytest.mark.parametrize(
    ("device", "precision", "within"),
    [
        ("cuda:1", "bfloat16", "high"),
        ("cuda", "float32", "highest"),
        ("cpu", "bfloat16", "highest"),
    ],
)
def test_tensor_cores_multiply_float32_only_beside_16_bits_on_a_gpu(device, precision, within):
    before = torch.get_float32_matmul_precision()
    assert before == "highest"
    with tensor_cores(device, precision):
        assert torch.get_float32_matmul_precision() == within
    assert torch.get_float32_matmul_precision() == before
