"""All that is to be measured on a GPU, in one command that knows when to stop.

``python -m benchmarks gpu --minutes 9`` on a GPU, ``--rehearse`` on a CPU. Weights are random and
nothing is downloaded. To a machine without network that has PyTorch, timm, lightning and pandas,
bring along the wheels of ``pip download --no-deps --python-version 3.12 --only-binary=:all:
pycocotools simplejpeg zlib-ng msgspec filelock psutil textalloc traitlets``.
"""
