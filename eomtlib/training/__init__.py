"""Training: a step, its loss, its schedules, and a run that survives interruption."""
