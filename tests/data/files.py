"""Small data sets in their publishers' layouts, written without the library."""

import json
import tarfile
import zipfile

import numpy as np
from PIL import Image


def write_image(path, array):
    """A PNG or JPEG of uint8, by the name; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def pack(folder, archive, *parts):
    """Puts what lies below ``folder`` in ``parts`` into a zip archive, under the same names."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in parts:
            packed.writestr(f"{part}/", b"")
            for file in sorted((folder / part).rglob("*")):
                if file.is_file():
                    packed.write(file, file.relative_to(folder).as_posix())


def pack_tar(folder, archive, part):
    """The same in a tar archive."""
    with tarfile.open(archive, "w") as packed:
        packed.add(folder / part, part)


def noise(size, high, seed, channels=()):
    """Blocks of 4 × 4 pixels of random values from 0 to ``high``."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, high + 1, (-(-size[0] // 4), -(-size[1] // 4), *channels))
    return small.repeat(4, 0).repeat(4, 1)[: size[0], : size[1]].astype(np.uint8)


def masks_of(segments):
    """``[S, H, W]`` bool, each segment's own, whatever its layer."""
    ids = segments.ids.numpy()
    return np.array([(ids == k).any(0) for k in range(segments.num_segments)]).reshape(
        segments.num_segments, *segments.size
    )


def classes_of(segments, classes):
    """``[H, W]``: the ``category_id`` of each pixel of a map of one layer, −1 for void."""
    numbers = np.array([classes[k].category_id for k in segments.labels] + [-1])
    return numbers[segments.ids[0].numpy()]


def some(dataset, number=10):
    """Indices, spread over the data set: about ``number``, or all if it is small."""
    return range(0, len(dataset), max(1, len(dataset) // number))
