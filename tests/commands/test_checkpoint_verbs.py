"""``evaluate`` and ``predict`` with a finished checkpoint, as their users run them."""

import json

import numpy as np
import pytest
from PIL import Image

from eomtlib.commands import main
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.words import ACCURACIES, FIGURES
from eomtlib.study.settings import resolve_settings
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
    recorded = trained.store.find("evaluation").metrics
    assert measured["task"] == trained.settings.task
    assert recorded[figures[0]] > 0
    for name in figures:
        if not np.isnan(recorded[name]):
            assert measured["metrics"][name] == pytest.approx(recorded[name], abs=0.05)
    assert any(export.iterdir())


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
    assert [Image.open(path).size for path in overlays] == [(80, 60), (50, 90)]
    written = {path.name for path in (output / "segments").iterdir()}
    task = trained.settings.task
    expected = {"panoptic": {"panoptic", "panoptic.json"}, "instance": {"instances.json"}}
    assert written == expected.get(task, {"semantic"})

    assert main(["predict", *arguments, "--device", "cpu"]) == 2
    assert "exists already" in capsys.readouterr().err
    (images / "broken.png").write_bytes(b"no picture")
    arguments[-1] = str(tmp_path / "other")
    assert main(["predict", *arguments, "--device", "cpu"]) == 2
    assert "broken.png: cannot be decoded" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()  # nothing half-written


def test_classes_may_come_from_a_file(trained, tmp_path, capsys):
    checkpoint = trained.runs[0].folder / "model"
    image, _ = trained.runs[0].materials.val_set.read(0)
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "photo.png")
    listed = [
        {"name": f"class {index}", "isthing": index % 2, "id": 10 * index + 10}
        for index in range(len(trained.classes))
    ]
    file, output = tmp_path / "annotations.json", tmp_path / "out"
    arguments = ["--checkpoint", checkpoint, "--images", tmp_path / "photo.png", "--device", "cpu"]
    arguments += ["--output", output, "--classes", file, "--task", "instance"]
    arguments = ["predict", *map(str, arguments)]
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": listed}))
    assert main(arguments) == 0
    found = json.loads((output / "segments" / "instances.json").read_text())
    numbers = {instance["category_id"] for instance in found}
    assert numbers
    assert numbers <= {info["id"] for info in listed}
    output = tmp_path / "other"
    arguments[arguments.index("--output") + 1] = str(output)
    file.write_text(json.dumps(listed[1:]))
    assert main(arguments) == 2
    assert f"lists {len(listed) - 1} classes, and the model predicts" in capsys.readouterr().err
    assert not output.exists()


def test_a_checkpoint_contradicts_what_it_is_not(trained):
    checkpoint = str(trained.runs[0].folder / "model")
    for name, value in (("pretraining", "mim"), ("num_queries", 7)):
        with pytest.raises(ConfigurationError, match=rf"{name}={value!r}, but checkpoint=.* has"):
            resolve_settings(checkpoint=checkpoint, **{name: value})
    agreed = resolve_settings(checkpoint=checkpoint, pretraining="none", num_queries=20)
    assert (agreed.size, agreed.pretraining, agreed.num_queries) == ("nano", "none", 20)
