"""The index of a large annotation file, in a process of its own, so that its memory can be told."""

import json
import subprocess
import sys

import pytest

IMAGES, PER_IMAGE = 100_000, 7
PROGRAM = """
import os, re, sys
import psutil
from eomtlib.data.formats.coco_files import InstanceFiles
from pathlib import Path

class Listed:
    def names(self):
        return [f"{i:012d}.jpg" for i in range(int(sys.argv[2]))]
    def where(self, name):
        return name

text = Path(sys.argv[1]).read_bytes()
dataset = InstanceFiles(Listed(), text, json_name="instances.json")
del text
# Not getrusage's: that starts at the peak of the process that started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(peak, len(dataset), flush=True)
if not os.fork():
    for index in range(0, len(dataset), 100):
        dataset.read_segments(index)
    # What this process has for itself, and does not share with the one that it came from.
    print(psutil.Process().memory_full_info().uss, flush=True)
    os._exit(0)
os.wait()
"""


def write_annotations(path):
    """As long as COCO's: 100,000 images with seven objects of two polygons each."""
    polygons = [[[k + 0.25 * i, 200.5 - i] for i in range(14)] for k in (20.37, 120.81)]
    outline = json.dumps([[number for corner in p for number in corner] for p in polygons])
    with path.open("w") as file:
        file.write('{"info": {"year": 2017}, "images": [')
        file.write(
            ",".join(
                f'{{"id": {i}, "file_name": "{i:012d}.jpg", "height": 480, "width": 640, '
                f'"coco_url": "http://images.cocodataset.org/train2017/{i:012d}.jpg"}}'
                for i in range(IMAGES)
            )
        )
        file.write('], "annotations": [')
        for k in range(IMAGES * PER_IMAGE):
            file.write(
                f'{"," if k else ""}{{"segmentation": {outline}, "area": 702.1, "iscrowd": 0, '
                f'"image_id": {k % IMAGES}, "bbox": [473.07, 395.93, 38.65, 28.67], '
                f'"category_id": {1 + k % 80}, "id": {k}}}'
            )
        categories = [{"id": i, "name": f"class {i}"} for i in range(1, 81)]
        file.write(f'], "categories": {json.dumps(categories)}}}')


@pytest.mark.slow
def test_the_index_of_100_000_images_is_small(tmp_path):
    path = tmp_path / "instances.json"
    write_annotations(path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(IMAGES)],
        capture_output=True,
        text=True,
        check=True,
    )
    peak_kib, count, worker_bytes = (float(word) for word in done.stdout.split())
    assert count == IMAGES
    assert peak_kib < 2 << 20
    assert worker_bytes < 200 << 20
