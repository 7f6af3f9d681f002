import getpass
import os
import tempfile
from pathlib import Path

import pytest
import torch

from tests.brief import be_brief

REPOSITORY = Path(__file__).resolve().parent.parent
REAL = Path(os.environ.get("EOMTLIB_COCO", REPOSITORY.parent / "shared" / "coco-mini"))
COCO = {"drawn": REPOSITORY / "tests" / "fixtures" / "coco"}
"""Folders in COCO's layout: one that is part of the tests, and a real one where it is at hand."""
if (REAL / "annotations" / "panoptic_val2017.json").is_file():
    COCO["real"] = REAL


def pytest_report_header() -> str:
    real = COCO.get("real", "no real one: set EOMTLIB_COCO to a folder in COCO's layout")
    return f"COCO: drawn; {real}"


def pytest_configure() -> None:
    """Workers compile the same kernels; a file that another still writes cannot be loaded."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        folder = Path(tempfile.gettempdir()) / f"torchinductor-{getpass.getuser()}-{worker}"
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)


@pytest.fixture(scope="session", params=COCO.values(), ids=COCO.keys())
def coco(request: pytest.FixtureRequest) -> Path:
    """Each of the ``COCO`` folders."""
    return request.param


@pytest.fixture(scope="session")
def one_coco() -> Path:
    """For what takes too long to be done with each: the real one where it is at hand."""
    return COCO.get("real", COCO["drawn"])


@pytest.fixture(scope="session")
def brief() -> None:
    """From the first test that asks for it on."""
    be_brief()


@pytest.fixture(scope="module")
def one_thread():
    """As the processes have that a test starts: how sums are split decides their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
