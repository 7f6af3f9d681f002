import multiprocessing
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from eomtlib.core.errors import ConfigurationError, DataError, EomtlibError
from eomtlib.core.structures import ClassInfo, SegmentMap, fitted_size
from eomtlib.data.feed.in_memory import InMemory
from eomtlib.data.feed.loaders import TrainStream, eval_loader, shared_memory_remark
from eomtlib.data.feed.transforms import TrainTransform


class Toy:
    """Ten images of different sizes, each of one colour and one segment."""

    def __init__(self):
        self.classes = tuple(ClassInfo(str(i), True, i) for i in range(10))
        self.image_ids = np.arange(10) + 100
        self.sizes = np.array([(20 + i, 30 - i) for i in range(10)], np.int32)

    def __len__(self):
        return 10

    def source(self, index):
        return index + 100, f"image {index}"

    def read(self, index):
        height, width = self.sizes[index].tolist()
        image = torch.full((3, height, width), 20 * index + 5, dtype=torch.uint8)
        ids = torch.zeros(1, height, width, dtype=torch.int16)
        ids[:, :5] = -1
        return image, SegmentMap(ids, torch.tensor([index]), torch.tensor([index == 3]))


def batches(**changes):
    arguments = {
        "transform": TrainTransform((24, 16)),
        "batch_size": 4,
        "seed": 1,
        "steps": 6,
        "num_workers": 0,
    }
    arguments |= changes
    when = {
        name: arguments.pop(name)
        for name in ("steps", "first_step", "rank", "world_size")
        if name in arguments
    }
    return list(TrainStream(dataset=Toy(), **arguments).loader(**when))


def assert_same(first, second):
    assert torch.equal(first.images, second.images)
    assert first.image_ids == second.image_ids
    assert first.indices == second.indices
    assert first.original_sizes == second.original_sizes
    assert first.step == second.step
    for one, other in zip(first.segments, second.segments, strict=True):
        assert torch.equal(one.ids, other.ids)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.is_crowd, other.is_crowd)


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own():
    run = batches(steps=10)
    image_ids = [image_id for batch in run for image_id in batch.image_ids]
    epochs = [image_ids[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(100, 110)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [batch.step for batch in run] == list(range(10))
    assert [n for batch in run for n in batch.indices] == list(range(40))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_nothing(num_workers):
    for one, other in zip(batches(), batches(num_workers=num_workers), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_goes_on_where_it_stopped(num_workers):
    whole = batches()
    rest = batches(first_step=3, num_workers=num_workers)
    assert len(rest) == 3
    for one, other in zip(whole[3:], rest, strict=True):
        assert_same(one, other)


def test_processes_share_the_stream():
    whole = batches()
    parts = [batches(batch_size=2, rank=rank, world_size=2) for rank in (0, 1)]
    for batch, *halves in zip(whole, *parts, strict=True):
        assert torch.equal(batch.images, torch.cat([half.images for half in halves]))
        assert batch.indices == halves[0].indices + halves[1].indices
        assert batch.step == halves[0].step == halves[1].step


def test_the_seed_changes_order_and_augmentation():
    assert [b.image_ids for b in batches()] != [b.image_ids for b in batches(seed=2)]


def test_length_is_the_whole_run():
    stream = TrainStream(
        dataset=Toy(), transform=TrainTransform((8, 8)), batch_size=2, seed=0, num_workers=0
    )
    loader = stream.loader(steps=9, first_step=4)
    assert len(loader) == 9
    assert [batch.step for batch in loader] == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_reads_each_image_once_at_full_size(num_workers):
    toy = Toy()
    seen = list(eval_loader(toy, canvas=(16, 24), batch_size=3, num_workers=num_workers))
    assert [index for batch in seen for index in batch.indices] == list(range(10))
    for batch in seen:
        for image, segments, index, size in zip(
            batch.images, batch.segments, batch.indices, batch.original_sizes, strict=True
        ):
            assert segments.size == size == tuple(toy.sizes[index])
            assert torch.equal(segments.ids, toy.read(index)[1].ids)
            assert segments.is_crowd.tolist() == [index == 3]
            height, width = fitted_size(size, (16, 24))
            assert (image[:, :height, :width] == 20 * index + 5).all()
            assert int((image > 0).sum()) == 3 * height * width


@pytest.mark.parametrize("num_workers", [0, 2])
def test_layers_come_through_a_worker(num_workers):
    layered = Layered()
    for batch in eval_loader(layered, canvas=(16, 24), batch_size=4, num_workers=num_workers):
        for index, segments in zip(batch.indices, batch.segments, strict=True):
            expected = layered.read(index)[1]
            assert torch.equal(segments.ids, expected.ids)
            assert torch.equal(segments.labels, expected.labels)
            assert torch.equal(segments.is_crowd, expected.is_crowd)


def test_evaluation_is_shared_out_and_limited():
    loaders = [
        eval_loader(Toy(), canvas=(8, 8), limit=7, num_workers=0, rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    indices = [[i for batch in loader for i in batch.indices] for loader in loaders]
    assert indices == [[0, 2, 4, 6], [1, 3, 5]]


class Layered(Toy):
    """Maps of one to three layers, each with a segment of its own."""

    def read(self, index):
        image, segments = super().read(index)
        ids = segments.ids.repeat(1 + index % 3, 1, 1)
        for number, layer in enumerate(ids):
            layer[5 + number :] = number
        labels = torch.arange(len(ids))
        return image, SegmentMap(ids, labels, labels == 1)


@pytest.mark.parametrize("toy", [Toy(), Layered()])
def test_memory_holds_what_the_files_hold(toy):
    held = InMemory(toy)
    assert len(held) == len(toy)
    for index in [*range(10), *range(10)]:
        image, segments = toy.read(index)
        held_image, held_segments = held.read(index)
        assert torch.equal(image, held_image)
        assert torch.equal(segments.ids, held_segments.ids)
        assert torch.equal(segments.labels, held_segments.labels)
        assert torch.equal(segments.is_crowd, held_segments.is_crowd)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"steps": 0}, {"num_workers": -1}])
def test_wrong_numbers_are_named(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        batches(**wrong)


class Broken(Toy):
    def read(self, index):
        raise DataError(f"image {index}.jpg: cannot be read")


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("training", [True, False])
def test_an_unreadable_file_is_one_clear_line_from_a_worker_too(num_workers, training):
    if training:
        stream = TrainStream(
            dataset=Broken(),
            transform=TrainTransform((24, 16)),
            batch_size=2,
            seed=0,
            num_workers=num_workers,
        )
        loader = stream.loader(steps=2)
    else:
        loader = eval_loader(Broken(), canvas=(24, 16), num_workers=num_workers)
    with pytest.raises(DataError, match=r"^image \d+.jpg: cannot be read$"):
        list(loader)


def of_room(mebibytes):
    return lambda _: SimpleNamespace(total=mebibytes << 20, free=mebibytes << 20)


def test_shared_memory_that_is_too_small_is_said_before_the_first_batch(monkeypatch):
    def first(workers):
        stream = TrainStream(
            dataset=Toy(),
            seed=0,
            transform=TrainTransform((512, 512)),
            batch_size=32,
            num_workers=workers,
        )
        return stream.loader(steps=1).num_workers

    monkeypatch.setattr("eomtlib.data.feed.loaders.default_workers", lambda _: 4)
    monkeypatch.setattr("eomtlib.data.feed.loaders.shutil.disk_usage", of_room(64))
    with pytest.raises(ConfigurationError, match=r"workers=4: .*192 MiB.*/dev/shm.*has 64 MiB"):
        first(4)
    with pytest.warns(UserWarning, match="loaded without"):
        assert first(None) == 0
    assert "64 MiB" in shared_memory_remark()
    monkeypatch.setattr("eomtlib.data.feed.loaders.shutil.disk_usage", of_room(8192))
    assert first(4) == first(None) == 4
    assert shared_memory_remark() == ""


def test_a_loading_process_that_is_killed_is_said():
    stream = TrainStream(
        dataset=Toy(), seed=0, transform=TrainTransform((32, 32)), batch_size=1, num_workers=1
    )
    before = set(multiprocessing.active_children())
    batches = iter(stream.loader(steps=10_000))
    next(batches)
    for child in set(multiprocessing.active_children()) - before:
        child.kill()
    with pytest.raises(EomtlibError, match=r"a loading process ended .*Set workers to a smaller"):
        list(batches)
