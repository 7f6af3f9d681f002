"""What a study can be told: read, checked, and filled in."""
