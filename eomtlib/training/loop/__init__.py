"""The loop of a training: steps, states to go on from, validation, loggers."""
