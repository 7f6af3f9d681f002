"""Files written whole, kept, and held by one process."""
