"""What a segmenter is worth, and what it costs: metrics, result files, numbers, speed, memory."""
