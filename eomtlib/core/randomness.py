"""Random numbers keyed by what they are for, so that they do not depend on who draws them.

A resumed run, a run with another number of workers and a run on two processes ask for the same keys
and so see the same augmentations, sampled points and masking draws.
"""

from __future__ import annotations

import hashlib

import torch


def keyed_seed(*key: int | str) -> int:
    """A 63-bit seed that depends on every part of the key, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def keyed_generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose, e.g. ``keyed_generator(seed, "points", step, sample)``."""
    return torch.Generator(device=device).manual_seed(keyed_seed(*key))
