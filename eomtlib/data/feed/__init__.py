"""From samples to batches: transforms, windows, loaders."""
