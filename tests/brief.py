"""What takes long by design, made brief: tests ask that it happens, and never how long it takes."""

from pathlib import Path

STARTUP = """
import sys

sys.path.insert(0, {repository!r})
from tests.brief import be_brief

be_brief()
"""


def be_brief() -> None:
    """Until the process ends, timed models are called three times a round, and ``mim`` is short."""
    from eomtlib.study.runs import run
    from eomtlib.training.pretraining import config

    run._TIMING_SECONDS = dict.fromkeys(run._TIMING_SECONDS, 0.0)
    config._DEFAULTS["nano", "cpu"]["num_images"] = 64  # of 20,000, all drawn beforehand


def brief_ipython(folder: Path) -> Path:
    """An ``IPYTHONDIR`` whose kernels begin with ``be_brief``."""
    startup = folder / "profile_default" / "startup" / "brief.py"
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_text(STARTUP.format(repository=str(Path(__file__).parents[1])))
    return folder
