"""``evaluate`` and ``predict`` with a finished checkpoint, as their users run them."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eomtlib.commands import main
from eomtlib.commands.verbs import predict
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.data.class_colors import class_colors
from eomtlib.data.formats.class_files import read_classes
from eomtlib.report.comparison import paired
from eomtlib.report.frame import to_dataframe
from eomtlib.study.listing import list_runs
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.study import Study
from tests.samples import SMOKE

OPTIONS = SMOKE | {"duration": "80steps", "num_queries": 20, "train_images": 60, "val_images": 4}


# PQ needs longer than the others until it is above zero.
LONGER = pytest.param("panoptic", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["instance", "semantic", LONGER])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = OPTIONS | ({"duration": "400steps"} if request.param == "panoptic" else {})
    study = Study(rungs="eomt", results_dir=folder, progress=False, task=request.param, **options)
    study.learn()
    return study


def test_evaluate_prints_and_writes_what_the_study_measured(trained, tmp_path, capsys):
    figures = FIGURES[trained.settings.task]
    checkpoint = trained.runs[0].folder / "model"
    output, export = tmp_path / "figures.json", tmp_path / "predictions"
    arguments = ["--checkpoint", checkpoint, "--val-images", 4, "--workers", 0, "--device", "cpu"]
    arguments += ["--precision", "float32", "--output", output, "--export", export]
    assert main(["evaluate", *map(str, arguments)]) == 0
    assert ACCURACIES[figures[0]] in capsys.readouterr().out
    measured = json.loads(output.read_text())
    recorded = trained.store.find("evaluation", variant="").metrics
    assert measured["task"] == trained.settings.task
    assert recorded[figures[0]] > 0
    for name in figures:
        if not np.isnan(recorded[name]):
            assert measured["metrics"][name] == pytest.approx(recorded[name], abs=0.05)
    assert any(export.iterdir())


def test_an_evaluation_of_something_else_is_kept_and_is_no_figure_of_the_run(
    trained, tmp_path, capsys
):
    store, (run,) = trained.store, trained.runs
    before = list_runs(store), to_dataframe(store.records()), run.result().evaluation
    name = run.folder.name
    given = ["--results-dir", str(store.root), "--workers", "0", "--device", "cpu"]
    evaluate = ["evaluate", "--checkpoint", name[:-3], *given, "--precision", "float32"]

    # What the run has measured itself is not written again.
    assert main([*evaluate, "--val-images", "4"]) == 0
    assert f"Written: {store.path(before[2])}" in capsys.readouterr().out
    assert len(store.records("evaluation")) == 1

    figures = tmp_path / "figures"
    of_training = [*evaluate, "--split", "train", "--val-images", "5"]
    assert main(of_training) == 0
    assert main([*of_training, "--figures", str(figures)]) == 0  # in the place of the one before
    said = capsys.readouterr().out
    assert {path.name for path in figures.glob("*.png")} == {"confusion.png", "worst-images.png"}
    (variant,) = (record for record in store.records("evaluation") if record.variant)
    assert str(store.path(variant)) in said
    assert (variant.split, variant.num_images, variant.training_id) == (
        "train",
        5,
        before[2].training_id,
    )
    assert variant.variant == variant.label
    assert "train, 5 images" in variant.label
    assert len(variant.worst_images) == 5
    assert main([*evaluate, "--val-images", "4", "--image-size", "32"]) == 0
    assert len(store.records("evaluation")) == 3

    assert list_runs(store).equals(before[0])
    assert to_dataframe(store.records()).equals(before[1])
    assert run.result().evaluation == before[2]


def test_the_next_commands_can_be_typed_as_they_are(trained, tmp_path, monkeypatch, capsys):
    if trained.settings.task != "semantic":
        pytest.skip("it is the same for every task")
    checkpoint = str(trained.runs[0].folder / "model")
    given = ["--workers", "0", "--device", "cpu", "--val-images", "2"]
    assert main(["evaluate", "--checkpoint", checkpoint, *given]) == 0
    said = capsys.readouterr().err.splitlines()
    commands = [shlex.split(line) for line in said if line.startswith("  eomtlib ")]
    assert [command[1] for command in commands] == ["evaluate", "predict"]
    monkeypatch.chdir(tmp_path)
    assert main(commands[0][1:]) == 0
    # Of the images one is enough here.
    place = commands[1].index("--images") + 1
    commands[1][place] = str(next(Path(commands[1][place]).iterdir()))
    assert main(commands[1][1:]) == 0
    assert any((tmp_path / "segmented" / "overlays").iterdir())


def test_the_outcome_as_json_is_what_the_study_measured(trained, photos, tmp_path, capfd):
    options = ["--checkpoint", trained.runs[0].folder / "model", "--device", "cpu"]
    options += ["--precision", "float32"]
    evaluate = ["evaluate", *map(str, options), "--val-images", "4", "--workers", "0"]
    assert main([*evaluate, "--json"]) == 0
    said, beside = capfd.readouterr()
    measured, recorded = json.loads(said), trained.store.find("evaluation", variant="")
    assert measured["task"] == recorded.task
    assert measured["per_class"].keys() == recorded.per_class.keys()
    for name, value in recorded.metrics.items():
        if not np.isnan(value):
            assert measured["metrics"][name] == pytest.approx(value, abs=0.05)
    assert ACCURACIES[FIGURES[recorded.task][0]] in beside  # in words
    assert main([*evaluate, "--quiet"]) == 0
    said, beside = capfd.readouterr()
    assert beside == ""
    assert said.split()[0] == ACCURACIES[FIGURES[recorded.task][0]]

    predict = ["predict", *map(str, options), "--images", str(photos), "--output"]
    assert main([*predict, str(tmp_path / "out"), "--quiet", "--json"]) == 0
    said, beside = capfd.readouterr()
    assert json.loads(said) == {"written": str(tmp_path / "out"), "images": 1, "skipped": []}
    assert beside == ""
    assert main([*predict, str(tmp_path / "out"), "--quiet", "--json"]) == 2
    said, beside = capfd.readouterr()
    assert (said, beside.count("\n")) == ("", 1)


def test_compare_finds_predictions_and_their_model_alike_and_draws_where_others_differ(
    trained, tmp_path, capsys
):
    model, export = trained.runs[0].folder, tmp_path / "predictions"
    arguments = ["--dataset", "shapes", "--val-images", 4, "--workers", 0, "--device", "cpu"]
    arguments += ["--precision", "float32"]
    given = ["evaluate", "--checkpoint", model, "--export", export, *arguments]
    assert main([*map(str, given)]) == 0

    def compare(a, b, *more):
        given = ["compare", a, b, *arguments, "--output", tmp_path / "out.json", *more]
        assert main([*map(str, given)]) == 0
        return json.loads((tmp_path / "out.json").read_text()), capsys.readouterr().out

    same, said = compare(model.name, export, "--results-dir", model.parent, "--resamples", 100)
    assert same["task"] == trained.settings.task
    assert (same["difference"], same["interval"], same["images"]) == (0, [0, 0], [])
    assert "do not tell which" in said
    assert "It is not of seeds" in said
    at_another_size = ["--image-size", "32", "--figures", tmp_path / "figures", "--worst", 2]
    other, said = compare(export, model, "--resamples", 100, *at_another_size)
    assert other["figures"][0] == pytest.approx(same["figures"][0])
    assert other["difference"] != 0
    assert 0 < len(other["images"]) <= 2
    with Image.open(tmp_path / "figures" / "differences-1.png") as picture:
        assert picture.width > 200
    assert other["images"][0]["image"] in said
    run = trained.runs[0]
    assert paired(run, run, resamples=100).figures == pytest.approx(same["figures"], abs=0.05)
    longer = Study(rungs="eomt", results_dir=tmp_path, progress=False, **OPTIONS).runs[0]
    with pytest.raises(ConfigurationError, match="cannot be compared image by image"):
        paired(run, longer)


def test_predict_writes_an_overlay_and_segments_of_every_image(trained, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    for number, size in enumerate(((80, 60), (50, 90))):
        pixels = trained.runs[0].materials.val_set.read(number)[0].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).resize(size).save(images / f"photo {number}.jpg")
    (images / "notes.txt").write_text("no image")
    output = tmp_path / "out"
    checkpoint = str(trained.runs[0].folder / "model")
    arguments = ["--checkpoint", checkpoint, "--images", str(images), "--output", str(output)]
    assert main(["predict", *arguments, "--device", "cpu"]) == 0
    overlays = sorted((output / "overlays").iterdir())
    assert [path.name for path in overlays] == ["photo 0.png", "photo 1.png"]
    # Three and two times as large, so that names can be read.
    assert [Image.open(path).size for path in overlays] == [(240, 180), (100, 180)]
    written = {path.name for path in (output / "segments").iterdir()}
    task = trained.settings.task
    assert (
        written
        == {
            "panoptic": {"panoptic", "panoptic.json", "classes.json"},
            "instance": {"instances.json", "classes.json"},
            "semantic": {"semantic", "semantic.json", "classes.json"},
        }[task]
    )
    written = {path.name for path in output.iterdir()}
    assert written == {"overlays", "segments", "options.json", "legend.png", "index.html"}
    classes = read_classes(output / "segments" / "classes.json")
    assert [info.name for info in classes] == [info.name for info in trained.classes]
    assert np.array_equal(class_colors(classes), class_colors(trained.classes))

    assert main(["predict", *arguments, "--device", "cpu"]) == 2
    assert "exists already" in capsys.readouterr().err

    arguments[-1] = str(tmp_path / "bare")
    arguments += ["--device", "cpu", "--opacity"]
    assert main(["predict", *arguments, "1.5"]) == 2
    assert "opacity=1.5 must lie between 0 and 1" in capsys.readouterr().err
    assert main(["predict", *arguments, "0", "--side-by-side"]) == 0
    both = np.asarray(Image.open(tmp_path / "bare/overlays/photo 0.png")).astype(int)
    photo = np.asarray(Image.open(images / "photo 0.jpg")).repeat(3, 0).repeat(3, 1)
    assert np.array_equal(both[:, :240], photo)
    # Outlines and names alone differ where colours cover nothing.
    differ = (both[:, -240:] != photo).any(axis=2)
    assert differ.mean() < 0.4
    if task == "semantic":
        assert Image.open(output / "segments/semantic/photo 0.png").mode == "P"


def test_predict_passes_over_what_it_cannot_read_and_says_which(trained, photos, tmp_path, capsys):
    (photos / "b" / "broken.png").write_bytes(b"no picture")
    (photos / "._hidden.png").write_bytes(b"no picture")
    (photos / "b" / "link").symlink_to(photos, target_is_directory=True)  # a circle
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(photos / "one.png", tmp_path / "elsewhere")
    (photos / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    run = verb(trained, photos, tmp_path / "out")
    assert run("--recursive") == 1
    said = capsys.readouterr().err
    assert f"Skipped: {photos / 'b' / 'broken.png'}: cannot be decoded" in said
    assert "broken.png: cannot be decoded" in (tmp_path / "out" / "skipped.txt").read_text()
    names = ["b/one.jpg", "b/one.png", "b/two.png", "linked/one.png", "one.png"]
    stems = ["b/one", "b/one-1", "b/two", "linked/one", "one"]
    assert images_of(tmp_path / "out") == names
    overlays = tmp_path / "out" / "overlays"
    found = sorted(path.relative_to(overlays).as_posix() for path in overlays.glob("**/*.png"))
    assert found == sorted(f"{stem}.png" for stem in stems)
    assert not list(tmp_path.glob("out.partial*"))


def test_predict_goes_on_after_an_interruption(trained, photos, tmp_path, capsys, monkeypatch):
    whole, output = tmp_path / "whole", tmp_path / "out"
    assert verb(trained, photos, whole)("--recursive") == 0
    read, opened = predict.image_pixels, []

    def interrupted(path, **options):
        opened.append(path.name)
        if len(opened) == 3:
            raise KeyboardInterrupt
        return read(path, **options)

    monkeypatch.setattr(predict, "image_pixels", interrupted)
    run = verb(trained, photos, output)
    assert run("--recursive") == 130
    partial = tmp_path / "out.partial"
    assert f"Left: {partial} (2 of 4 images); --resume goes on in it." in capsys.readouterr().err
    assert not output.exists()
    assert run("--recursive") == 2
    assert "was left by an interruption; --resume goes on in it" in capsys.readouterr().err
    assert run("--recursive", "--resume", "--image-size", "32") == 2
    assert "was begun with another" in capsys.readouterr().err
    (partial / "overlays" / ".one.png.0123.tmp").touch()  # of a process that was killed
    assert run("--recursive", "--resume") == 0
    assert len(opened) == 3 + 2  # the one that was interrupted, and what had not been begun
    monkeypatch.undo()
    before, after = (
        {path.relative_to(f): path.read_bytes() for path in f.glob("**/*") if path.is_file()}
        for f in (whole, output)
    )
    assert before == after


def test_an_export_keeps_subfolders_and_text_ids(trained, tmp_path):
    task = trained.settings.task
    if task == "panoptic":
        pytest.skip("its PNGs are called as those of the semantic task")
    folder = tmp_path / "set"
    sources = [("a", "x/1.png"), ("7", "y/1.png"), (7, "y/1.jpg")][: 3 if task == "instance" else 2]
    image, _ = trained.runs[0].materials.val_set.read(0)
    height, width = image.shape[1:]
    for _, name in sources:
        path = folder / "images" / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
        if task == "semantic":
            path = folder / "masks" / "val" / name
            path.parent.mkdir(parents=True)
            Image.fromarray(np.zeros((height, width), np.uint8)).save(path)
    categories = [
        {"id": number, "name": info.name, "isthing": 1}
        for number, info in enumerate(trained.classes)
    ]
    if task == "semantic":
        (folder / "classes.json").write_text(json.dumps(categories))
    else:
        images = [
            {"id": own, "file_name": name, "height": height, "width": width}
            for own, name in sources
        ]
        annotations = [
            {"id": number, "image_id": own, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
            for number, (own, _) in enumerate(sources)
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "val.json").write_text(json.dumps(content))
    arguments = ["--checkpoint", trained.runs[0].folder / "model", "--dataset", "custom"]
    arguments += ["--data-path", folder, "--workers", 0, "--device", "cpu", "--task", task]
    arguments += ["--export", tmp_path / "out"]
    assert main(["evaluate", *map(str, arguments)]) == 0
    if task == "instance":
        entries = json.loads((tmp_path / "out" / "instances.json").read_text())
        assert {entry["image_id"] for entry in entries} == {"a", "7", 7}
    else:
        found = [path.relative_to(tmp_path / "out") for path in tmp_path.glob("out/**/*.*")]
        assert sorted(path.as_posix() for path in found) == [
            "semantic.json",
            "semantic/x/1.png",
            "semantic/y/1.png",
        ]
        assert images_of(tmp_path / "out", ".") == ["x/1.png", "y/1.png"]


@pytest.fixture
def photos(trained, tmp_path):
    """Photos in a folder and one below, two of them called the same but for the ending."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for number, name in enumerate(("one.png", "b/one.png", "b/one.jpg", "b/two.png")):
        image, _ = trained.runs[0].materials.val_set.read(number)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / name)
    return folder


def verb(trained, images, output):
    """Runs ``predict``, with more options."""
    checkpoint = trained.runs[0].folder / "model"
    arguments = ["--checkpoint", checkpoint, "--images", images, "--output", output]
    arguments += ["--device", "cpu"]
    return lambda *more: main(["predict", *map(str, arguments), *more])


def images_of(output, inside="segments"):
    (file,) = set((output / inside).glob("*.json")) - {output / inside / "classes.json"}
    return [image["file_name"] for image in json.loads(file.read_text())["images"]]


def test_classes_may_come_from_a_file(trained, tmp_path, capsys):
    checkpoint = trained.runs[0].folder / "model"
    image, _ = trained.runs[0].materials.val_set.read(0)
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "photo.png")
    listed = [
        {"name": f"class {index}", "isthing": index % 2, "id": 10 * index + 10}
        for index in range(len(trained.classes))
    ]
    listed[0]["color"] = "#010203"
    file, output = tmp_path / "annotations.json", tmp_path / "out"
    arguments = ["--checkpoint", checkpoint, "--images", tmp_path / "photo.png", "--device", "cpu"]
    arguments += ["--output", output, "--classes", file, "--task", "instance"]
    arguments = ["predict", *map(str, arguments)]
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": listed}))
    assert main(arguments) == 0
    found = json.loads((output / "segments" / "instances.json").read_text())
    assert found["images"][0]["file_name"] == "photo.png"
    assert [category["id"] for category in found["categories"]] == [info["id"] for info in listed]
    colors = [category["color"] for category in found["categories"]]
    assert colors[:2] == [[1, 2, 3], class_colors(trained.classes)[1].tolist()]
    numbers = {instance["category_id"] for instance in found["annotations"]}
    assert numbers
    assert numbers <= {info["id"] for info in listed}
    output = tmp_path / "other"
    arguments[arguments.index("--output") + 1] = str(output)
    file.write_text(json.dumps(listed[1:]))
    assert main(arguments) == 2
    assert f"lists {len(listed) - 1} classes, and the model predicts" in capsys.readouterr().err
    assert not output.exists()


def test_a_test_split_has_the_ids_of_its_list(trained, photos, tmp_path, capsys):
    """What COCO's servers take: its ids, and of instances the list alone."""
    names = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.*"))]
    images = [
        {"id": 700 - k, "file_name": name.replace("b/t", "t"), "height": 64, "width": 64}
        for k, name in enumerate(names)
    ]
    classes = [
        {"name": f"class {k}", "isthing": 1, "id": 3 * k + 1} for k in range(len(trained.classes))
    ]
    info = tmp_path / "image_info_test.json"
    info.write_text(json.dumps({"images": images[1:], "categories": classes}))
    run = verb(trained, photos, tmp_path / "out")
    more = ["--recursive", "--image-info", str(info)]
    assert run(*more) == 2
    assert f"lists no {names[0]} (1 such file(s))" in capsys.readouterr().err
    of_one = [image | {"file_name": image["file_name"].rpartition("/")[2]} for image in images]
    info.write_text(json.dumps({"images": of_one[:1] + of_one[2:], "categories": classes}))
    assert run(*more) == 2
    assert "two files stand for one" in capsys.readouterr().err
    info.write_text(json.dumps({"images": images, "categories": classes}))
    assert run(*more) == 0
    written = {"instance": "instances.json"}.get(task := trained.settings.task, f"{task}.json")
    found = json.loads((tmp_path / "out/segments" / written).read_text())
    numbers = {image["id"] for image in images}
    if trained.settings.task == "instance":
        assert {entry["image_id"] for entry in found} <= numbers
        assert {entry["category_id"] for entry in found} <= {info["id"] for info in classes}
        assert found
        assert set(found[0]) == {"image_id", "category_id", "segmentation", "score"}
    else:
        assert {image["id"] for image in found["images"]} == numbers
        assert [info["id"] for info in found["categories"]] == [info["id"] for info in classes]


def test_a_checkpoint_contradicts_what_it_is_not(trained):
    checkpoint = str(trained.runs[0].folder / "model")
    for name, value in (("pretraining", "mim"), ("num_queries", 7)):
        with pytest.raises(ConfigurationError, match=rf"{name}={value!r}, but checkpoint=.* has"):
            resolve_settings(checkpoint=checkpoint, **{name: value})
    agreed = resolve_settings(checkpoint=checkpoint, pretraining="shapes-ssl", num_queries=20)
    assert (agreed.size, agreed.pretraining) == ("nano", "shapes-ssl")
    assert agreed.num_queries == 20
