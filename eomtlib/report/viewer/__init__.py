"""Segmentations over their photo, to be touched: in a static page, and as the view of a widget."""

from eomtlib.report.viewer.data import ShownImage, ShownMap, ShownSegment, viewer_data
from eomtlib.report.viewer.in_page import CSS, JS, viewer_html

__all__ = ["CSS", "JS", "ShownImage", "ShownMap", "ShownSegment", "viewer_data", "viewer_html"]
