"""Pages in HTML, each one file that needs no network: the report, and the index of overlays."""

from eomtlib.report.pages.image_index import IndexedImage, write_index
from eomtlib.report.pages.recorded import RecordedStudy, recorded_studies
from eomtlib.report.pages.report import write_report, write_study_report

__all__ = [
    "IndexedImage",
    "RecordedStudy",
    "recorded_studies",
    "write_index",
    "write_report",
    "write_study_report",
]
