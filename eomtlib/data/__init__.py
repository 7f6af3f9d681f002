"""Data sets, read as their publishers ship them, and the transforms of training."""
