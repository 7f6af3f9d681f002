"""Words and tools that every room uses."""
