"""Ours beside what people would use instead, on the same inputs, in one run.

``python -m benchmarks`` times every part; each is a ratio of interleaved pairs with its interval.
"""
