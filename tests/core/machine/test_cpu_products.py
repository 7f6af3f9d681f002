"""Products of float32 by oneDNN: where it is chosen, and that they are products of float32."""

import pytest
import torch

from eomtlib.core.machine import cpu_products
from eomtlib.core.machine.cpu_products import (
    DEFAULT,
    ONEDNN,
    ONEDNN_UNFUSED,
    choose_products,
    products,
)

LARGE = {"batch_size": 1, "num_tokens": 1600, "width": 384}
AMD = {"avx512_f": True, "avx512_bf16": True}


@pytest.fixture(autouse=True)
def forget():
    cpu_products._onednn_is_better.cache_clear()
    yield
    cpu_products._onednn_is_better.cache_clear()


def pretend(monkeypatch, name, has):
    monkeypatch.setattr(cpu_products, "device_name", lambda device: name)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("Intel(R) Xeon(R) Platinum 8480", AMD | {"amx_bf16": True}),
        ("AMD EPYC of a later kind", AMD | {"amx_bf16": True}),
        ("Intel(R) Core(TM) i9-11900K", AMD),
        ("AMD EPYC 7763", {"avx2": True}),
        ("Apple M3", {"bf16": True}),
    ],
)
def test_other_cpus_keep_what_pytorch_does(monkeypatch, name, has):
    pretend(monkeypatch, name, has)
    assert choose_products("cpu", "float32", **LARGE) == DEFAULT
    with products(ONEDNN):  # of a run that was begun elsewhere
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_the_table_goes_by_size(monkeypatch):
    monkeypatch.setattr(cpu_products, "_onednn_is_better", lambda: True)
    assert choose_products("cpu", "float32", **LARGE) == ONEDNN
    assert choose_products("cpu", "float32", batch_size=16, num_tokens=64, width=128) == (
        ONEDNN_UNFUSED
    )
    assert choose_products("cpu", "float32", batch_size=1, num_tokens=64, width=128) == DEFAULT
    assert choose_products("cpu", "bfloat16", **LARGE) == DEFAULT
    assert choose_products("cuda", "float32", **LARGE) == DEFAULT


def test_settings_are_put_back_and_nest():
    library, flash = torch.backends.mkldnn.matmul, torch.backends.cuda.flash_sdp_enabled
    before = library.fp32_precision, flash()
    with products(ONEDNN_UNFUSED):
        with products(DEFAULT):
            assert (library.fp32_precision, flash()) == ("none", True)
        with pytest.raises(ZeroDivisionError), products(ONEDNN):
            raise ZeroDivisionError
    assert (library.fp32_precision, flash()) == before


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1088, 128, 512), (425, 1536, 384)])
def test_errors_are_those_of_float32(rows, inner, columns):
    if not cpu_products._onednn_is_better():
        pytest.skip("oneDNN is not chosen on this CPU")
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=generator)
    right = torch.randn(inner, columns, generator=generator)
    exact = left.double() @ right.double()
    # One product after the other, as float32 is added up where nothing is clever.
    naive = torch.zeros(rows, columns)
    for k in range(inner):
        naive += left[:, k : k + 1] * right[k]
    with products(ONEDNN):
        found = left @ right

    def error(x):
        return (x.double() - exact).square().mean().sqrt()

    assert error(found) <= error(naive)
    assert error(found) < 1e-6 * exact.std()
