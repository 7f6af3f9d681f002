"""All that is to be measured on a GPU, in one command that knows when to stop.

``python -m benchmarks gpu --minutes 9`` on a GPU, ``--rehearse`` on a CPU. Weights are random and
nothing is downloaded. A machine without network needs wheels of what it lacks beside it: ``pip
download --no-deps`` here, ``pip install --no-index --no-deps`` there.
"""
