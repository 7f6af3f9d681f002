import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def coco_mini() -> Path:
    """A small real COCO folder: $EOMTLIB_COCO, or a sibling of the repository."""
    path = Path(os.environ.get("EOMTLIB_COCO", REPOSITORY.parent / "shared" / "coco-mini"))
    if not (path / "annotations" / "panoptic_val2017.json").is_file():
        pytest.skip(f"no COCO sample at {path}; set EOMTLIB_COCO to a folder in COCO's layout")
    return path


@pytest.fixture
def one_thread():
    """As the processes have that a test starts: how sums are split decides their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
