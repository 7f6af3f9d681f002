"""Several processes as one: who this one is, and what only the first of them does.

Nothing here does anything in a run of one process. Processes are started by torchrun or by SLURM's
srun, one for each device; all of them run the same program.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from eomtlib.core.errors import ConfigurationError

_T = TypeVar("_T")
# The others wait while the first one pretrains, times, or writes data; in a step, not for long.
_WAITING = timedelta(hours=24)
_IN_A_STEP = timedelta(minutes=15)
_waiting: list[dist.ProcessGroup] = []
_talking: list[dist.ProcessGroup] = []


def _cluster() -> ClusterEnvironment | None:
    """How this process was started; None where it runs alone."""
    if TorchElasticEnvironment.detect():
        found = TorchElasticEnvironment()
        return found if found.world_size() > 1 else None
    # srun alone says how many processes its step has. Without it this is a shell or a batch script
    # of an allocation, and whoever waited for the others would wait forever.
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", 0))
    if SLURMEnvironment.detect() and SLURMEnvironment().world_size() > 1 and tasks < 2:
        raise ConfigurationError(
            f"SLURM's allocation is for {os.environ['SLURM_NTASKS']} processes, but this one was "
            "not started by srun. Write srun before the command, or unset SLURM_NTASKS for one "
            "process alone."
        )
    return SLURMEnvironment() if tasks > 1 else None


def join(device: str) -> None:
    """Joins the processes that were started together; on GPUs each takes the one of its number.

    Args:
        device: ``cpu``, ``cuda`` or ``auto``; on GPUs processes talk through NCCL, else gloo.

    Raises:
        ConfigurationError: for one GPU named for several processes, or where SLURM has room for
            several and srun has not started them.
    """
    cluster = _cluster()
    if cluster is None or dist.is_initialized():
        return
    # Lightning's environments find SLURM's first node where the variables are missing.
    os.environ.setdefault("MASTER_ADDR", cluster.main_address)
    os.environ.setdefault("MASTER_PORT", str(cluster.main_port))
    kind, _, index = device.partition(":")
    if index:
        raise ConfigurationError(
            f"device={device!r} names one GPU, and there are {cluster.world_size()} processes; say "
            "'cuda', and each takes its own."
        )
    on_gpu = kind == "cuda" or (kind == "auto" and torch.cuda.is_available())
    if on_gpu:
        # Where the launcher shows each process one GPU alone, that is number 0.
        torch.cuda.set_device(cluster.local_rank() % torch.cuda.device_count())
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        rank=cluster.global_rank(),
        world_size=cluster.world_size(),
        timeout=_IN_A_STEP,
    )
    _waiting.append(dist.new_group(backend="gloo", timeout=_WAITING))
    # What is no tensor would go to a GPU and back, and the step would wait for it.
    _talking.append(dist.new_group(backend="gloo", timeout=_IN_A_STEP))


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def leave() -> None:
    """Parts from the others at the end of a program."""
    if _joined():
        _waiting.clear()
        _talking.clear()
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _joined() else 0


def processes_on_this_node() -> int:
    """How many of the processes share this machine."""
    return gathered(platform.node()).count(platform.node())


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def on_first(function: Callable[[], _T], *, alone: bool = False) -> _T:
    """Calls a function on the first process alone; all get what it returned, or its error.

    Args:
        function: its result, and what it raises, can be pickled.
        alone: whether this process asks for itself while the others wait for it elsewhere.
    """
    if alone or world_size() == 1:
        return function()
    answer: list[Any] = [None, None]
    if is_first():
        try:
            answer[0] = function()
        except Exception as error:  # the others must not wait for an answer that never comes
            answer[1] = error
    dist.broadcast_object_list(answer, src=0, group=_group())
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


@contextmanager
def first_goes_first() -> Iterator[None]:
    """The first process runs what is within before the others do: it writes what they then find."""
    if not is_first():
        dist.barrier(_group())
    try:
        yield
    finally:  # the others would wait for an error as well
        if is_first() and world_size() > 1:
            dist.barrier(_group())


def _group() -> dist.ProcessGroup | None:
    """The group that waits long; the default one where processes were not joined here."""
    return _waiting[0] if _waiting else None


def gathered(value: _T) -> list[_T]:
    """The values of all processes, in their order, on each of them."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value, group=_talking[0] if _talking else None)
    return values


def mean(values: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes, on its device; no gradient flows through it."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world_size()
