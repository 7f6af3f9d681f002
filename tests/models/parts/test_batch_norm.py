"""Batch norm over processes: what it asks of the device (its figures: study/test_distributed)."""

import torch

from eomtlib.models.parts import batch_norm
from tests.inference.test_modes import HostTensors


def test_sums_over_processes_are_made_on_the_device(monkeypatch):
    monkeypatch.setattr(batch_norm, "all_reduce", lambda tensor: tensor)  # of one process alone
    norm = batch_norm.BatchNorm(4)
    x = torch.randn(2, 4, 3, 5)
    expected = torch.nn.functional.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(norm._synchronized(x), expected, rtol=1e-5, atol=1e-5)
    norm, x = norm.to("meta"), x.to("meta")
    with HostTensors() as seen:
        norm._synchronized(x)
    assert seen.names == set()
