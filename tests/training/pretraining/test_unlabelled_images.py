"""Folders of images: what is found, what is named when it is bad, and what decides a hash."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from eomtlib.core.errors import ConfigurationError, DataError
from eomtlib.data.sets.shapes_scene import render_scene
from eomtlib.training.pretraining import PretrainingConfig, default_config, pretraining_hash
from eomtlib.training.pretraining import unlabelled_images as images_module
from eomtlib.training.pretraining.unlabelled_images import (
    open_images,
    open_stream,
    random_window,
)

SIZE = (32, 48)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    draws = np.random.default_rng(0)
    for name, size in (("b.png", (40, 50)), ("a/z.JPG", (200, 300)), ("a/x.jpeg", (64, 33))):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name, format="PNG" if name.endswith("png") else "JPEG")
    (root / "notes.txt").write_text("no image")
    (root / "a" / "._x.jpeg").write_bytes(b"what a system left behind")
    return root


def configuration(folder, **given):
    given = {"steps": 4, "batch_size": 5, **given}
    return default_config(size="nano", image_size=SIZE, images=str(folder), **given)


def images_of(stream, steps=4, first_step=0):
    return [batch.images for batch in stream.loader(steps=steps, first_step=first_step)]


def test_images_are_found_in_all_subfolders_and_in_order(folder):
    source = open_images(configuration(folder))
    images = [source.read(i)[0] for i in range(3)]
    # Larger than twice the image size is made smaller; nothing is enlarged.
    assert [image.shape for image in images] == [(3, 64, 33), (3, 64, 96), (3, 40, 50)]
    assert source.sizes.tolist() == [[64, 33], [64, 96], [40, 50]]
    with Image.open(folder / "b.png") as image:
        assert np.array_equal(images[2].permute(1, 2, 0), np.array(image))


def test_a_missing_or_empty_folder_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"images='.*nowhere' is no folder.*'shapes'"):
        open_images(configuration(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match=r"holds no image.*\.jpg, \.jpeg, \.png"):
        open_images(configuration(tmp_path))


def test_a_bad_file_is_named_before_anything_is_trained(folder):
    config = configuration(folder)
    (folder / "a" / "bad.png").write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"bad\.png: cannot be decoded"):
        open_images(config)
    (folder / "a" / "bad.png").unlink()
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"b\.png: cannot be decoded"):
        open_images(config)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_of_a_large_folder_is_named_when_it_is_read(folder, workers, monkeypatch):
    monkeypatch.setattr(images_module, "_IN_MEMORY_BYTES", 0)
    config = configuration(folder)
    stream = open_stream(config, workers=workers)
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^\S*b\.png: cannot be decoded"):
        list(stream.loader(steps=config.steps))


def test_a_batch_depends_on_seed_and_step_alone(folder, monkeypatch):
    config = configuration(folder)
    stream = open_stream(config)
    batches = images_of(stream)
    assert [batch.shape for batch in batches] == [(5, 3, *SIZE)] * 4
    assert {batch.dtype for batch in batches} == {torch.uint8}
    assert torch.equal(images_of(stream, first_step=3)[0], batches[3])
    monkeypatch.setattr(images_module, "_IN_MEMORY_BYTES", 0)
    from_files = open_stream(config, workers=1)
    for batch, again in zip(batches, images_of(from_files), strict=True):
        assert torch.equal(batch, again)
    other = replace(config, seed=1)
    assert not torch.equal(images_of(open_stream(other))[0], batches[0])


def test_shapes_are_shown_whole_and_half_of_them_mirrored():
    config = default_config(size="nano", image_size=(64, 64), num_images=40, batch_size=40)
    (batch,) = images_of(open_stream(config), steps=1)
    found, mirrored = set(), 0
    source = open_images(config)
    originals = [source.read(i)[0] for i in range(40)]
    for image in batch:
        for index, original in enumerate(originals):
            if torch.equal(image, original) or torch.equal(image, original.flip(2)):
                found.add(index)
                mirrored += not torch.equal(image, original)
    assert found == set(range(40))  # one epoch
    assert 10 <= mirrored <= 30


def test_scenes_without_end_are_new_and_of_no_split():
    config = default_config(size="nano", image_size=(64, 64), num_images=0, steps=4, batch_size=50)
    batches = torch.cat(images_of(open_stream(config)))
    assert torch.equal(torch.cat(images_of(open_stream(config), first_step=2)), batches[100:])
    # Mirrored or not.
    seen = {min(i.numpy().tobytes(), i.flip(2).numpy().tobytes()) for i in batches}
    assert len(seen) == config.num_samples == 200
    for split, index in itertools.product((0, 1), range(1000)):
        image = torch.from_numpy(render_scene(0, split, index, (64, 64)).image).permute(2, 0, 1)
        assert not seen & {image.numpy().tobytes(), image.flip(2).numpy().tobytes()}


def test_windows_lie_inside_the_image_and_differ():
    generator = torch.Generator().manual_seed(0)
    areas = []
    for original in ((64, 96), (33, 300), (500, 20)):
        for _ in range(200):
            window = random_window(original, SIZE, generator)
            assert window.size == SIZE
            for offset, size, resized in zip(window.offset, SIZE, window.resized, strict=True):
                assert 0 <= offset <= resized - size
            areas.append(SIZE[0] * SIZE[1] / (window.resized[0] * window.resized[1]))
    assert min(areas[:200]) < 0.3
    assert max(areas[:200]) > 0.85
    assert min(areas) > 0.02


def test_the_hash_depends_on_what_a_folder_holds_and_not_on_where(folder, tmp_path):
    known = pretraining_hash(configuration(folder))
    assert len(known) == 16
    assert int(known, 16) >= 0
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    assert pretraining_hash(configuration(elsewhere)) == known
    assert pretraining_hash(configuration(elsewhere, num_images=7)) == known
    (elsewhere / "notes.txt").unlink()
    assert pretraining_hash(configuration(elsewhere)) == known
    (elsewhere / "b.png").rename(elsewhere / "c.png")
    renamed = pretraining_hash(configuration(elsewhere))
    (elsewhere / "c.png").write_bytes((folder / "b.png").read_bytes() + b"\0")
    longer = pretraining_hash(configuration(elsewhere))
    assert len({known, renamed, longer}) == 3


def test_the_hash_depends_on_every_parameter():
    base = default_config(size="nano", image_size=(64, 64))
    changes = (
        {"size": "micro"},
        {"image_size": (64, 72)},
        {"num_images": 7},
        {"steps": 7},
        {"batch_size": 7},
        {"lr": 0.5},
        {"mask_ratio": 0.6},
        {"seed": 7},
        {"num_images": 0},
    )
    hashes = {pretraining_hash(replace(base, **change)) for change in changes}
    assert len(hashes | {pretraining_hash(base)}) == len(changes) + 1
    assert pretraining_hash(replace(base, seed=0)) == pretraining_hash(base)
    assert pretraining_hash(replace(base, probe_every=7)) == pretraining_hash(base)
    # Encoders that lie somewhere are found again.
    nano = PretrainingConfig(size="nano", image_size=(64, 64))
    assert pretraining_hash(nano) == "3103f92e49ce75fe"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "lage"}, r"size='lage'.*'large'"),
        ({"image_size": (60, 64)}, r"image_size=60×64.*64×64"),
        ({"steps": 0}, r"steps=0 must lie in \[1, inf\)"),
        ({"num_images": -1}, r"num_images=-1"),
        ({"batch_size": 1.5}, r"batch_size=1\.5"),
        ({"lr": 0.0}, r"lr=0\.0 must lie in \(0, inf\)"),
        ({"mask_ratio": 1.0}, r"mask_ratio=1\.0 hides 64 of the 64"),
        ({"mask_ratio": 0.001}, r"mask_ratio=0\.001 hides 0 of the 64"),
        ({"images": ""}, r"images='' is empty"),
    ],
)
def test_parameters_are_checked(change, message):
    with pytest.raises(ConfigurationError, match=message):
        PretrainingConfig(**{"size": "nano", "image_size": (64, 64)} | change)
