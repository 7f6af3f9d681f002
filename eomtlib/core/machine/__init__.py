"""What a process finds: others beside it, memory, number formats, versions."""
