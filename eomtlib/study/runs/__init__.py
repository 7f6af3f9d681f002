"""One run: what it is, what it needs, and the doing."""
