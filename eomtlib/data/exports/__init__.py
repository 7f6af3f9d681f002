"""Data sets as annotation tools export them, turned into the layout of ``sets.custom``."""
