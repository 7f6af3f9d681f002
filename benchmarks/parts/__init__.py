"""The parts that are compared, one a file."""
