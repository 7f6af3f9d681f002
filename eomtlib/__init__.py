"""eomtlib: an ablation study that people run, from ViT-Adapter + Mask2Former to a plain ViT.

What people type most is here, and is imported when it is first used: ``LADDER``, ``build_model``,
``load_model``, ``open_dataset``, ``Segmenter``, ``Study``, ``grid``.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("eomtlib")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"

_ROOMS = {
    "LADDER": "models.ladder",
    "build_model": "models.build",
    "load_model": "models.checkpoints",
    "open_dataset": "data.registry",
    "Segmenter": "inference.segmenter",
    "Study": "study.study",
    "grid": "study.study",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'eomtlib' has no attribute {name!r}")
    return getattr(import_module(f"eomtlib.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return [*_ROOMS, "__version__"]
