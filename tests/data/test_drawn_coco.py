"""The committed COCO folder is what its script draws, and has what COCO has."""

import json

import numpy as np
from PIL import Image

from tests.conftest import COCO
from tests.fixtures.draw_coco import write

ROOT = COCO["drawn"]


def test_the_committed_files_are_what_the_script_draws(tmp_path):
    write(tmp_path)
    drawn = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    others = {ROOT / "README.md", ROOT / "categories.json", ROOT / "panoptic_quality/expected.json"}
    committed = {p for p in ROOT.rglob("*") if p.is_file()} - others
    assert drawn == sorted(p.relative_to(ROOT) for p in committed)
    for name in drawn:
        if name.suffix == ".json":
            assert json.loads((tmp_path / name).read_text()) == json.loads(
                (ROOT / name).read_text()
            )
        else:
            one, other = (np.asarray(Image.open(root / name), int) for root in (tmp_path, ROOT))
            assert one.shape == other.shape
            # A JPEG may differ by the library that wrote it.
            assert np.abs(one - other).max() <= (8 if name.suffix == ".jpg" else 0)


def test_it_has_what_coco_has():
    for split in ("train", "val"):
        content = json.loads((ROOT / f"annotations/instances_{split}2017.json").read_text())
        annotations = content["annotations"]
        outlines = [annotation["segmentation"] for annotation in annotations]
        assert any(isinstance(outline, list) and len(outline) > 1 for outline in outlines)
        counts = [outline["counts"] for outline in outlines if isinstance(outline, dict)]
        assert {type(value) for value in counts} == {str, list}
        assert any(annotation["iscrowd"] for annotation in annotations)
        areas = [annotation["area"] for annotation in annotations]
        assert min(areas) < 32**2 < sorted(areas)[len(areas) // 2] < 96**2 < max(areas)
        images = [annotation["image_id"] for annotation in annotations]
        assert images != sorted(images)
        maps = [Image.open(p) for p in (ROOT / f"annotations/panoptic_{split}2017").iterdir()]
        void = [not np.asarray(ids).any(-1).all() for ids in maps]
        assert 0 < sum(void) < len(void)
        modes = [Image.open(path).mode for path in (ROOT / f"{split}2017").iterdir()]
        assert set(modes) == {"RGB", "L"}
    without = {image["id"] for image in content["images"]} - set(images)
    assert len(without) == 1  # of val
