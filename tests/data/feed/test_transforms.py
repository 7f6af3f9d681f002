import numpy as np
import pytest
import torch
from PIL import Image

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.core.structures import SegmentMap
from eomtlib.data.feed.augmentation import AugmentationConfig
from eomtlib.data.feed.transforms import (
    EvalTransform,
    TrainTransform,
    Window,
    resize_segments,
)

COLOURS = torch.tensor(
    [[250, 10, 10], [10, 250, 10], [10, 10, 250], [250, 250, 10], [10, 250, 250], [130, 130, 130]],
    dtype=torch.uint8,
)


def painted(height=90, width=140, seed=0):
    """A map of rectangles, and an image in which each segment has a colour of its own."""
    rng = np.random.default_rng(seed)
    ids = torch.zeros(1, height, width, dtype=torch.int16)
    for number in range(1, len(COLOURS)):
        y, x = int(rng.integers(0, height - 20)), int(rng.integers(0, width - 20))
        ids[0, y : y + int(rng.integers(15, 50)), x : x + int(rng.integers(15, 60))] = number
    ids[0, -12:, :] = -1
    labels = torch.arange(len(COLOURS)) + 10
    image = torch.cat((COLOURS, torch.full((1, 3), 40, dtype=torch.uint8)))[ids[0].long()]
    crowd = torch.zeros(len(COLOURS), dtype=torch.bool)
    return image.permute(2, 0, 1).contiguous(), SegmentMap(ids, labels, crowd)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def interior(ids, margin=2):
    """Pixels whose neighbours within ``margin`` all carry the same id."""
    same = torch.ones_like(ids, dtype=torch.bool)
    for dy in range(-margin, margin + 1):
        for dx in range(-margin, margin + 1):
            same &= torch.roll(ids, (dy, dx), (0, 1)) == ids
    same[:margin] = same[-margin:] = False
    same[:, :margin] = same[:, -margin:] = False
    return same


@pytest.mark.parametrize("scale", [(0.5, 0.9), (1.0, 1.0), (1.0, 2.0)])
def test_image_and_map_stay_aligned(scale):
    image, segments = painted()
    transform = TrainTransform((72, 104), AugmentationConfig(scale=scale))
    checked = 0
    for seed in range(20):
        shown, cropped = transform(image, segments, generator(seed))
        assert shown.shape == (3, 72, 104)
        assert cropped.size == (72, 104)
        ids = cropped.ids[0]
        inside = interior(ids) & (ids >= 0)
        # Labels lead back to the segment that a pixel's colour was painted for.
        expected = COLOURS[cropped.labels[ids[inside].long()] - 10]
        difference = shown.permute(1, 2, 0)[inside].int() - expected.int()
        assert difference.abs().max() <= 1
        checked += int(inside.sum())
    assert checked > 20_000


def test_labels_are_those_that_show():
    image, segments = painted()
    transform = TrainTransform((40, 40), AugmentationConfig(scale=(2.0, 4.0)))
    lost = 0
    for seed in range(20):
        _, cropped = transform(image, segments, generator(seed))
        numbers = cropped.ids.unique()
        assert numbers[numbers >= 0].tolist() == list(range(cropped.num_segments))
        assert len(cropped.is_crowd) == cropped.num_segments
        lost += cropped.num_segments < segments.num_segments
    assert lost > 0


@pytest.mark.parametrize("resized", [(45, 70), (200, 333), (61, 211)])
def test_a_crop_is_a_crop_of_the_resized_map(resized):
    _, segments = painted()
    window = Window(resized, (7, 11), (30, 50))
    ids = Image.fromarray(segments.ids[0].numpy().astype(np.int32))
    nearest = np.asarray(ids.resize(resized[::-1], Image.Resampling.NEAREST))[7:37, 11:61]
    assert (resize_segments(segments, window).ids[0].numpy() == nearest).mean() > 0.999


@pytest.mark.parametrize("seed", range(8))
def test_overlapping_segments_are_shown_as_if_each_were_alone(seed):
    image, _ = painted()
    layers = [painted(seed=layer)[1].ids[0] for layer in range(3)]
    count = len(COLOURS)
    ids = torch.stack([torch.where(m >= 0, m + count * k, -1) for k, m in enumerate(layers)])
    labels, crowd = torch.arange(3 * count), torch.arange(3 * count) % 4 == 0
    transform = TrainTransform((64, 100), AugmentationConfig(scale=(0.5, 2.5)))
    shown, together = transform(image, SegmentMap(ids, labels, crowd), generator(seed))
    seen = []
    for layer in range(3):
        alone = SegmentMap(ids[layer : layer + 1], labels, crowd)
        picture, segments = transform(image, alone, generator(seed))
        assert torch.equal(picture, shown)
        # Labels are the numbers from before, so they say which segment a pixel is of.
        before = torch.cat((segments.labels, torch.tensor([-1])))[segments.ids[0].long()]
        after = torch.cat((together.labels, torch.tensor([-1])))[together.ids[layer].long()]
        assert torch.equal(after, before)
        seen += segments.labels.tolist()
    assert together.labels.tolist() == seen
    assert torch.equal(together.is_crowd, crowd[together.labels])


def test_ids_without_a_label_are_refused():
    _, segments = painted()
    broken = SegmentMap(segments.ids, segments.labels[:1], segments.is_crowd[:1])
    with pytest.raises(DataError, match="1 labels"):
        resize_segments(broken, Window((45, 70), (0, 0), (45, 70)))


def test_a_flip_mirrors_what_is_shown_and_nothing_else():
    image, segments = painted()
    still, mirroring = (
        TrainTransform((64, 150), AugmentationConfig(flip=flip)) for flip in (0.0, 1.0)
    )
    for seed in range(10):
        shown, cropped = still(image, segments, generator(seed))
        flipped, turned = mirroring(image, segments, generator(seed))
        width = int((shown > 0).any(0).any(0).sum())
        assert torch.equal(flipped[:, :, :width], shown[:, :, :width].flip(-1))
        assert torch.equal(turned.ids[:, :, :width], cropped.ids[:, :, :width].flip(-1))
        assert torch.equal(turned.labels, cropped.labels)
        assert (flipped[:, :, width:] == 0).all()


def test_a_given_canvas_is_written_to():
    image, segments = painted()
    transform = TrainTransform((64, 64), AugmentationConfig(brightness=0.3, colour=1.0))
    canvas = torch.full((3, 64, 64), 9, dtype=torch.uint8)
    shown, _ = transform(image, segments, generator(2), canvas=canvas)
    assert shown.data_ptr() == canvas.data_ptr()
    assert torch.equal(canvas, transform(image, segments, generator(2))[0])


def test_a_small_image_is_padded_at_the_bottom_and_right():
    image, segments = painted()
    transform = TrainTransform((64, 64), AugmentationConfig(scale=(0.5, 0.5)))
    shown, cropped = transform(image, segments, generator(0))
    # 90 × 140 fits a square of 32 as 21 × 32.
    assert (cropped.ids[:, 21:] == -1).all()
    assert (cropped.ids[:, :, 32:] == -1).all()
    assert (shown[:, 21:] == 0).all()
    assert (shown[:, :21, :32] > 0).all()


def test_the_result_is_a_function_of_the_generator():
    image, segments = painted()
    config = AugmentationConfig(brightness=0.2, contrast=0.5, saturation=0.5, hue=0.05)
    transform = TrainTransform((64, 64), config)
    first, first_map = transform(image, segments, generator(5))
    torch.manual_seed(123)
    second, second_map = transform(image, segments, generator(5))
    other, _ = transform(image, segments, generator(6))
    assert torch.equal(first, second)
    assert torch.equal(first_map.ids, second_map.ids)
    assert not torch.equal(first, other)


def test_colours_change_only_where_they_are_asked_to():
    image, segments = painted()
    still = {"flip": 0.0, "scale": (1.0, 1.0)}
    plain, _ = TrainTransform((90, 140), AugmentationConfig(**still))(image, segments, generator(1))
    assert torch.equal(plain, image)
    config = AugmentationConfig(**still, colour=1.0, saturation=1.0)
    grey = image[:, (image[0] == 130) & (image[1] == 130)]
    for seed in range(3):
        shown, cropped = TrainTransform((90, 140), config)(image, segments, generator(seed))
        assert not torch.equal(shown, image)
        # Saturation leaves grey as it is.
        still_grey = shown[:, (image[0] == 130) & (image[1] == 130)]
        assert (still_grey.int() - grey.int()).abs().max() <= 1
        assert torch.equal(cropped.labels[cropped.ids.long()], segments.labels[segments.ids.long()])


def test_contrast_is_around_the_mean_of_the_whole_image():
    image = torch.full((3, 40, 400), 50, dtype=torch.uint8)
    image[:, :, 200:] = 200
    segments = SegmentMap(
        torch.zeros(1, 40, 400, dtype=torch.int16), torch.tensor([0]), torch.tensor([False])
    )
    config = AugmentationConfig(scale=(10.0, 10.0), contrast=0.5, colour=1.0)
    for seed in range(8):
        shown, _ = TrainTransform((40, 40), config)(image, segments, generator(seed))
        seen = shown.unique()
        # Around the mean of a crop of one colour alone, nothing would change.
        assert len(seen) > 1 or seen.item() not in (50, 200)


def test_empty_crops_are_drawn_again():
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    ids = torch.full((1, 64, 64), -1, dtype=torch.int16)
    ids[0, :20] = 0
    ids[0, 40:] = 1
    segments = SegmentMap(ids, torch.tensor([3, 4]), torch.tensor([False, True]))

    def empty(attempts):
        config = AugmentationConfig(scale=(4.0, 4.0), crop_attempts=attempts)
        transform = TrainTransform((64, 64), config)
        results = [transform(image, segments, generator(seed))[1] for seed in range(60)]
        return sum(bool(result.is_crowd.all()) for result in results)

    assert empty(1) > 25
    assert 0 < empty(4) < empty(1) / 2
    nothing = SegmentMap(torch.full_like(ids, -1), segments.labels[:0], segments.is_crowd[:0])
    _, result = TrainTransform((32, 32))(image, nothing, generator(0))
    assert result.num_segments == 0
    assert (result.ids == -1).all()


def test_evaluation_fits_the_image():
    image, _ = painted()
    shown = EvalTransform((64, 64)).fit(image)
    assert shown.shape == (3, 64, 64)
    assert (shown[:, 41:] == 0).all()
    expected = torch.nn.functional.interpolate(
        image[None].float(), size=(41, 64), mode="bilinear", antialias=True
    )[0]
    assert (shown[:, :41] - expected).abs().max() <= 1.01


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.5}, {"scale": (2.0, 1.0)}, {"scale": (0.0, 1.0)}, {"hue": 0.7}]
)
def test_wrong_configuration_is_named(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        AugmentationConfig(**wrong)
