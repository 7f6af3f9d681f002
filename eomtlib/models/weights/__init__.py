"""Encoder weights of other people's files."""
