"""Decides, runs and remembers: settings, runs, records."""
