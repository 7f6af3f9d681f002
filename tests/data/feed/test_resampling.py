import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import resize

from eomtlib.core.structures import SegmentMap
from eomtlib.data.feed.resampling import Window, draw_image
from eomtlib.data.feed.transforms import resize_segments
from eomtlib.data.sets.coco import CocoPanoptic
from tests.data.files import some


def drawn(image, window, *, flip=False, margin=(0, 0)):
    """The window, after a check that the canvas around it is 0."""
    rows, columns = window.size
    canvas = np.full((3, rows + margin[0], columns + margin[1]), 77, np.uint8)
    draw_image(image, window, canvas, flip=flip)
    assert (canvas[:, rows:] == 0).all()
    assert (canvas[:, :, columns:] == 0).all()
    return canvas[:, :rows, :columns].transpose(1, 2, 0).astype(int)


def by_torchvision(image, window):
    """The whole image resized in floating point, then cut and rounded."""
    whole = torch.from_numpy(image).permute(2, 0, 1).float()
    resized = resize(whole, list(window.resized), antialias=True)
    (top, left), (rows, columns) = window.offset, window.size
    shown = resized[:, top : top + rows, left : left + columns]
    return shown.permute(1, 2, 0).round().numpy().astype(int)


def windows(size, crop, seed, number):
    """Windows at all scales from a twentieth to four times, aspect ratio kept or not."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        scales = np.exp(rng.uniform(np.log(0.05), np.log(4), 2))
        if rng.random() < 0.7:
            scales[:] = scales[0]
        resized = [max(1, round(a * b)) for a, b in zip(size, scales, strict=True)]
        shown = [min(a, b) for a, b in zip(resized, crop, strict=True)]
        offset = [int(rng.integers(0, a - b + 1)) for a, b in zip(resized, shown, strict=True)]
        yield Window(tuple(resized), tuple(offset), tuple(shown))


@pytest.mark.parametrize("size", [(90, 140), (141, 89), (1, 1), (1, 30), (30, 1), (2, 3)])
def test_noise_is_within_one_grey_level_of_torchvision(size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    for window in windows(size, (100, 110), seed=1, number=60):
        difference = drawn(image, window, margin=(3, 5)) - by_torchvision(image, window)
        assert np.abs(difference).max() <= 1
        mirrored = drawn(image, window, flip=True)
        assert np.array_equal(mirrored[:, ::-1], drawn(image, window))


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_flat_stays_flat(value):
    image = np.full((53, 71, 3), value, np.uint8)
    for window in windows((53, 71), (80, 80), seed=2, number=40):
        assert (drawn(image, window) == value).all()


def test_an_image_at_its_own_size_is_unchanged():
    image = np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert np.array_equal(drawn(image, Window((40, 50), (0, 0), (40, 50))), image)


def test_coco_images_are_within_one_grey_level_of_torchvision(coco):
    dataset = CocoPanoptic(coco, "val")
    for index in some(dataset):
        image = dataset.read(index)[0].permute(1, 2, 0).numpy()
        for window in windows(image.shape[:2], (640, 640), seed=index, number=4):
            difference = drawn(image, window) - by_torchvision(image, window)
            assert np.abs(difference).max() <= 1
            assert np.abs(difference).mean() < 0.3


@pytest.mark.parametrize("flip", [False, True])
def test_maps_show_the_nearest_pixels(flip):
    rng = np.random.default_rng(4)
    ids = rng.integers(-1, 9, (2, 41, 67)).astype(np.int16)
    labels = torch.arange(9)
    whole = SegmentMap(torch.from_numpy(ids), labels, labels > 5)
    for window in windows((41, 67), (60, 50), seed=5, number=40):
        rows, columns = window.size
        cropped = resize_segments(whole, window, size=(60, 50), flip=flip)
        canvas = cropped.ids.numpy()
        # Pixel i of a side of n covers the source from i · side / n on; its centre is what counts.
        expected = np.empty((2, rows, columns), np.int16)
        for i in range(rows):
            for j in range(columns):
                source = [
                    (2 * (offset + place) + 1) * side // (2 * resized)
                    for offset, place, side, resized in zip(
                        window.offset, (i, j), (41, 67), window.resized, strict=True
                    )
                ]
                expected[:, i, columns - 1 - j if flip else j] = ids[:, source[0], source[1]]
        assert (canvas[:, :rows, :columns] == expected).mean() > 0.999
        assert (canvas[:, rows:] == -1).all()
        assert (canvas[:, :, columns:] == -1).all()
        few = resize_segments(whole, window, size=(60, 50), flip=flip, only_shown=True)
        assert few.labels.tolist() == [k for k in range(9) if (canvas == k).any()]
        assert few.is_crowd.tolist() == (few.labels > 5).tolist()
        back = np.append(few.labels.numpy(), -1)  # void wraps around
        assert np.array_equal(back[few.ids.numpy()], canvas)
