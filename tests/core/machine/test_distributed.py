"""How a process learns whether it was started alone."""

import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.machine import distributed

ALLOCATION = {
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_ID": "1",
    "SLURM_NODELIST": "localhost",
    "SLURM_JOB_NAME": "train",
}


@pytest.fixture
def allocation(monkeypatch):
    for name, value in ALLOCATION.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("step", [None, "1"])  # a batch script, and a shell that srun started
def test_a_shell_in_an_allocation_does_not_wait_for_processes_that_nobody_starts(step, allocation):
    if step:
        allocation.setenv("SLURM_STEP_NUM_TASKS", step)
    with pytest.raises(ConfigurationError, match=r"not started by srun\. Write srun before"):
        distributed.join("cpu")
    allocation.setenv("SLURM_NTASKS", "1")
    distributed.join("cpu")
    assert distributed.world_size() == 1


def test_what_srun_starts_is_one_of_several(allocation):
    allocation.setenv("SLURM_STEP_NUM_TASKS", "2")
    cluster = distributed._cluster()
    assert (cluster.world_size(), cluster.global_rank()) == (2, 0)
