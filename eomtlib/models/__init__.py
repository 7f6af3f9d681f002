"""The parts of the ladder, one concept a file; nothing here knows of training."""
