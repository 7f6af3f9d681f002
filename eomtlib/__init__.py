"""eomtlib: an ablation study that people run, from ViT-Adapter + Mask2Former to a plain ViT."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("eomtlib")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"
