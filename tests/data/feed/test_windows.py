import numpy as np
import pytest
import torch
from PIL import Image

from eomtlib.core.structures import SegmentMap
from eomtlib.data.feed.loaders import eval_loader
from eomtlib.data.feed.windows import WindowLayout, WindowTransform


@pytest.mark.parametrize("window", [(32, 32), (24, 48)])
def test_windows_cover_the_image_evenly_and_are_as_few_as_can_be(window):
    rng = np.random.default_rng(0)
    for _ in range(300):
        original = tuple(int(side) for side in rng.integers(1, 400, 2))
        layout = WindowLayout.of(original, window)
        seen = np.zeros(layout.size, int)
        for top, left in layout.offsets:
            assert min(top, left) >= 0
            seen[top : top + window[0], left : left + window[1]] += 1
        assert seen.min() == 1 or len(layout.offsets) > 1
        assert seen.min() > 0
        # One side is the window's, so the fewest windows are what the other side needs.
        assert any(a == b for a, b in zip(layout.size, window, strict=True))
        assert len(layout.offsets) == max(
            -(-side // own) for side, own in zip(layout.size, window, strict=True)
        )
        assert tuple(np.add(layout.offsets[-1], window)) == layout.size
        steps = np.diff(np.array(layout.offsets).sum(1))
        assert len(steps) == 0 or steps.max() - steps.min() <= 1
        if max(original) < 6 * min(original):
            wanted = np.array(original) * max(np.divide(window, original))
            assert np.abs(wanted - layout.size).max() <= 0.5 + 1e-9


def test_windows_show_what_pillow_resizes():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 20, 3), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    windows = WindowTransform((16, 16)).fit(image)
    resized = np.asarray(Image.fromarray(pixels).resize((16, 40), Image.Resampling.BILINEAR))
    expected = [resized[start : start + 16] for start in (0, 12, 24)]
    assert np.array_equal(windows.permute(0, 2, 3, 1).numpy(), np.stack(expected))


class Toy:
    """Images of one grey level each."""

    classes = ()
    sizes = np.array([(20, 20), (16, 40), (70, 20)])
    image_ids = np.array([4, 5, 6])

    def __len__(self):
        return 3

    def read(self, index):
        height, width = self.sizes[index]
        image = torch.full((3, height, width), 10 + index, dtype=torch.uint8)
        ids = torch.zeros(1, height, width, dtype=torch.int16)
        return image, SegmentMap(ids, torch.tensor([0]), torch.tensor([False]))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_hold_the_windows_of_their_images_one_after_the_other(num_workers):
    loader = eval_loader(
        Toy(), canvas=(16, 16), batch_size=2, num_workers=num_workers, in_windows=True
    )
    first, second = list(loader)
    assert first.images[:, 0, 0, 0].tolist() == [10, 11, 11, 11]
    assert second.images[:, 0, 0, 0].tolist() == [12] * 4
    assert first.images.shape[1:] == (3, 16, 16)
    assert len(first) == 2
    assert first.original_sizes == ((20, 20), (16, 40))
    assert second.segments[0].size == (70, 20)
