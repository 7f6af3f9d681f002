"""``shapes``: the embedded data set, free of licences, written on first use in COCO's layout.

A real, small panoptic task: eight thing classes told apart by form and texture, five stuff classes
told apart by texture, and hues that say nothing; with occlusion, crowds and void. Things are
brighter than stuff, so that a small model learns it within minutes. The files are read by the same
reader as COCO's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eomtlib.core.console import Progress
from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.core.files.atomic_files import config_hash, new_folder
from eomtlib.core.files.cache_folder import default_cache
from eomtlib.data.decoding.problems import Report, refuse
from eomtlib.data.formats.class_files import class_entries
from eomtlib.data.sets.coco import CocoPanoptic
from eomtlib.data.sets.shapes_scene import CLASSES, RenderedScene, render_scene

SHAPES_VERSION = 1
"""Raised with every change of what the images show."""

MIN_SIDE = 16
_COMPLETE = "shapes.json"


def ensure_shapes(
    root: str | Path | None = None,
    *,
    image_size: int | tuple[int, int] = 64,
    train_images: int = 2000,
    val_images: int = 200,
    seed: int = 0,
) -> Path:
    """Returns the data set's folder, written first if it is not there yet.

    An interruption leaves nothing under the final name, and of two processes that write at once
    one wins and the other uses the winner's files.

    Args:
        root: the folder that holds generated sets; None for ``shapes`` in ``default_cache()``.
        image_size: a side, or height and width, in pixels.
        train_images: number of images of the train split; image i is the same in any number.
        val_images: number of images of the val split.
        seed: another one gives other images.

    Returns:
        A folder in COCO's panoptic layout, for ``CocoPanoptic``.

    Raises:
        ConfigurationError: for a size or number that cannot be.
        DataError: when the folder cannot be written.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width) < MIN_SIDE:
        raise ConfigurationError(
            f"image_size={image_size!r} is too small for shapes; use at least {MIN_SIDE} pixels."
        )
    for name, count in (("train_images", train_images), ("val_images", val_images)):
        if count < 1:
            raise ConfigurationError(f"{name}={count} must be at least 1.")
    base = Path(root).expanduser() if root is not None else default_cache() / "shapes"
    final = base / f"v{SHAPES_VERSION}-{height}x{width}-{train_images}-{val_images}-seed{seed}"
    # Looked for before the mark: what is complete is never written again.
    is_there = final.exists()
    if (final / _COMPLETE).is_file():
        return final
    counts = {"train": train_images, "val": val_images}
    summary = {"version": SHAPES_VERSION, "image_size": [height, width], "seed": seed, **counts}
    try:
        # What lies there without the mark of completeness is no data set.
        with (
            new_folder(final, replace=is_there) as partial,
            Progress("writing shapes", total=sum(counts.values()), delay=3) as progress,
        ):
            for number, (split, count) in enumerate(counts.items()):
                _write_split(partial, split, count, (seed, number), (height, width), progress)
            (partial / _COMPLETE).write_text(json.dumps(summary))
    except (OSError, ConfigurationError) as error:
        # Another process may have been faster, and its files are the same.
        if not (final / _COMPLETE).is_file():
            raise DataError(
                f"{base}: cannot hold the data set shapes ({error}); set EOMTLIB_CACHE to a "
                "folder that can be written to."
            ) from error
    return final


class Shapes(CocoPanoptic):
    """One split, written first if it is not there yet.

    Args:
        root, options: of ``ensure_shapes``.
        split: ``train`` or ``val``.
        report: as of ``CocoPanoptic``.
    """

    def __init__(
        self, root: str | Path | None, split: str, *, report: Report = refuse, **options: Any
    ) -> None:
        super().__init__(ensure_shapes(root, **options), split, report=report)
        self._drawn = [split, options.get("seed", 0)]

    def digest(self) -> str:
        """Of what it is drawn from: the bytes of its files depend on the encoders' versions."""
        own = {"version": SHAPES_VERSION, "drawn": self._drawn, "sizes": self.sizes.tolist()}
        return config_hash(own)


def _write_split(
    root: Path,
    split: str,
    count: int,
    key: tuple[int, int],
    size: tuple[int, int],
    progress: Progress,
) -> None:
    images = root / f"{split}2017"
    maps = root / "annotations" / f"panoptic_{split}2017"
    images.mkdir(parents=True)
    maps.mkdir(parents=True)
    listed, annotations = [], []
    for index in range(count):
        scene = render_scene(*key, index, size)
        colours, entry = _annotate(scene, index)
        name = f"{entry['image_id']:012d}.jpg"
        # Textures of few pixels would not survive stronger compression or halved colour.
        Image.fromarray(scene.image).save(images / name, quality=95, subsampling=0)
        Image.fromarray(colours).save(maps / str(entry["file_name"]), compress_level=1)
        listed.append(
            {"id": entry["image_id"], "file_name": name, "height": size[0], "width": size[1]}
        )
        annotations.append(entry)
        progress.update()
    content = {"images": listed, "annotations": annotations, "categories": class_entries(CLASSES)}
    (root / "annotations" / f"panoptic_{split}2017.json").write_text(json.dumps(content))


def _annotate(scene: RenderedScene, index: int) -> tuple[np.ndarray, dict]:
    """The RGB-coded id map ``[H, W, 3]`` uint8, and the image's entry in the annotation file."""
    count = len(scene.labels)
    # Scattered over all 24 bits, as COCO's are; the step has no factor in common with 2^24 − 1.
    ids = [1 + (7919 * (index + 1) + 1000003 * k) % (2**24 - 1) for k in range(count)]
    table = np.array([*ids, 0], dtype=np.uint32)
    packed = table[scene.ids]
    colours = np.stack([packed >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)
    segments = []
    for number, (label, crowd) in enumerate(zip(scene.labels, scene.is_crowd, strict=True)):
        mask = scene.ids == number
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        segments.append(
            {
                "id": ids[number],
                "category_id": CLASSES[label].category_id,
                "iscrowd": int(crowd),
                "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                "area": int(np.count_nonzero(mask)),
            }
        )
    image_id = index + 1
    entry = {"image_id": image_id, "file_name": f"{image_id:012d}.png", "segments_info": segments}
    return colours, entry
