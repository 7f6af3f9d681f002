"""A study, its records and its checkpoints on an encoder that only timm's name says."""

import pytest

from eomtlib.commands import main
from eomtlib.core.errors import ConfigurationError
from eomtlib.report.frame import to_frame
from eomtlib.report.plots.changes import plot_changes
from eomtlib.report.plots.pareto import plot_pareto
from eomtlib.report.plots.style import pretraining_lines
from eomtlib.report.tables import change_table
from eomtlib.study.parameters.resolving import resolve_settings
from eomtlib.study.points import grid
from eomtlib.study.questions import frozen_points, time_ladder
from eomtlib.study.study import Study
from eomtlib.training.recipes import recipe

NAME = "timm:test_vit2.r160_in1k"
SIGLIP = "timm:vit_base_patch16_siglip_512.v2_webli"
BRIEF = {
    "device": "cpu",
    "image_size": 64,
    "duration": 2,
    "batch_size": 2,
    "train_images": 4,
    "val_images": 2,
    "timing_modes": "eager",
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_settings_take_the_size_from_the_name():
    given = {"device": "cpu", "weights": "random"}
    settings = resolve_settings(pretraining="timm:vit_base_patch16_siglip_512", **given)
    assert (settings.size, settings.pretraining) == ("base", SIGLIP)
    assert settings.label.endswith(f"random weights, not those of {SIGLIP}")
    assert resolve_settings(pretraining=SIGLIP, size="base", **given) == settings
    with pytest.raises(ConfigurationError, match=r"^size='large', but .*'base'. Leave size out"):
        resolve_settings(pretraining=SIGLIP, size="large", **given)
    with pytest.raises(ConfigurationError, match="Did you mean 'timm:vit_base_patch16_siglip_512'"):
        resolve_settings(pretraining="timm:vit_base_patch16_siglip_51", **given)


def test_dinov3_by_timms_name_learns_as_dinov3_does():
    plus = "timm:vit_small_plus_patch16_dinov3_qkvb.lvd1689m"
    own, published = (
        recipe("panoptic", "coco", "eomt", size="small", pretraining=name)
        for name in (plus, "dinov3")
    )
    assert own == published
    assert recipe("panoptic", "coco", "eomt", size="base", pretraining=SIGLIP) == recipe(
        "panoptic", "coco", "eomt", size="base", pretraining="dinov2"
    )


def test_frozen_points_know_the_encoders_depth():
    names = [point["model"] for point in frozen_points("nano", pretraining=NAME, seeds=0)]
    assert "PMT, taps 4, 5, 6, 7" in names  # of eight blocks


def test_random_weights_are_for_published_encoders(tmp_path):
    for pretraining in ("none", "mim"):
        with pytest.raises(ConfigurationError, match=r"weights='random' has no use with pretr"):
            Study(rungs="eomt", pretraining=pretraining, weights="random", results_dir=tmp_path)


def test_many_names_make_no_name_that_is_too_long(tmp_path):
    names = [SIGLIP, "timm:vit_base_patch16_clip_224.openai", "timm:vit_base_patch16_224.mae"]
    points = grid(pretraining=names, rung="eomt")
    study = Study(points, weights="random", results_dir=tmp_path, train=False, **BRIEF)
    assert "-3-pretrainings-" in study.name
    assert ":" not in study.name


def test_a_study_with_records_tables_figures_and_checkpoint(tmp_path, capsys):
    points = grid(seed="0,1", pretraining=[NAME, "none"], rung="eomt")
    study = Study(points, weights="random", results_dir=tmp_path, progress=False, **BRIEF)
    results = study.run()
    training = results[0].training
    assert (training.size, training.pretraining) == ("small", NAME)
    assert training.pretraining_used == "random"
    assert "random weights" in training.label
    assert training.key.weights == "random"
    assert ":" not in results[0].folder.name
    assert results[0].timing.key.architecture.encoder == "test_vit2.r160_in1k"
    frame = to_frame(study)
    assert set(frame["size"]) == {"small", "nano"}
    changes = change_table(frame, axis="rung", base="eomt", within=["pretraining"])
    gains = change_table(frame, axis="pretraining", base="none", within=["rung"])
    assert len(gains) == 1
    plot_changes(gains, beside="pretraining")
    assert plot_pareto(frame, along="pretraining").axes
    assert changes.empty
    again = Study(points, weights="random", results_dir=tmp_path, progress=False, **BRIEF)
    assert all("training" in run.finished() for run in again.runs)
    main(
        [
            *("evaluate", "--checkpoint", str(results[0].folder / "model"), "--dataset", "shapes"),
            *("--val-images", "2", "--device", "cpu"),
        ]
    )
    assert "pq" in capsys.readouterr().out.lower()


def test_a_ladder_is_timed_by_name(tmp_path):
    records = time_ladder(
        pretrainings=NAME, rungs="eomt", image_size=64, device="cpu", results_dir=tmp_path
    )
    assert {(record.size, record.pretraining) for record in records} == {("small", NAME)}


def test_lines_of_names_that_are_not_ours_differ_from_those_beside_them():
    lines = pretraining_lines(["dinov2", SIGLIP, NAME])
    assert len({str(lines[name]) for name in ("dinov2", SIGLIP, NAME)}) == 3
