"""Where something was measured: code, versions and machine, for the records."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

import eomtlib


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a record was made; nothing in it names a host, a user or a folder.

    Attributes:
        commit: of the repository, ``-dirty`` behind it where files were changed; None outside one.
        python, torch, timm, lightning, eomtlib: versions.
        device: name of the GPU or CPU that did the work.
        cpu_count: logical cores that the process may use.
        threads: PyTorch's threads within an operator.
        platform: operating system and architecture.
        driver: version of NVIDIA's, empty where there is none.
    """

    commit: str | None
    python: str
    torch: str
    timm: str
    lightning: str
    eomtlib: str
    device: str
    cpu_count: int
    threads: int
    platform: str
    driver: str = ""

    @property
    def hardware(self) -> str:
        """The device, however much of it was used."""
        return f"{self.device}, {self.cpu_count} cores, {self.platform}"

    @property
    def machine(self) -> str:
        """What a timing belongs to: two environments of one text are one machine."""
        return f"{self.device}, {self.cpu_count} cores, {self.threads} threads, {self.platform}"


def environment(device: torch.device | str = "cpu") -> Environment:
    """The environment of this process, for work done on ``device``."""
    in_affinity = platform.system() == "Linux"
    return Environment(
        commit=_commit(),
        python=platform.python_version(),
        torch=str(torch.__version__),  # a class of its own, which JSON does not know
        timm=version("timm"),
        lightning=version("lightning"),
        eomtlib=eomtlib.__version__,
        device=device_name(str(device)),
        cpu_count=len(os.sched_getaffinity(0)) if in_affinity else (os.cpu_count() or 1),
        threads=torch.get_num_threads(),
        platform=f"{platform.system()} {platform.machine()}",
        driver=_driver() if str(device).startswith("cuda") else "",
    )


@cache
def _commit() -> str | None:
    """The commit of the repository that the package lies in, if it lies in its own."""
    repository = Path(eomtlib.__file__).resolve().parents[1]
    # An installed package may lie inside a repository that is not eomtlib's.
    if not (repository / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(
            command, cwd=repository, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


@cache
def _driver() -> str:
    try:
        said = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return ""
    found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", said)
    return found[1] if found else ""


@cache
def device_name(device: str) -> str:
    """What a GPU or the CPU calls itself."""
    if device.startswith("cuda"):
        return torch.cuda.getdevice_name(device)
    if device != "cpu":
        return device
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return " ".join(value.split())
    return platform.processor() or platform.machine()
