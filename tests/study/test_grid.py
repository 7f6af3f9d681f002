"""Several studies as one, at a smoke size."""

import re

import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.report.frame import to_frame
from eomtlib.report.pictures import segmentations
from eomtlib.report.tables.measured import printed_masking, with_models
from eomtlib.study import study
from eomtlib.study.parameters.parsing import parse_numbers, parse_seeds
from eomtlib.study.parameters.settings import Settings
from eomtlib.study.points import grid
from eomtlib.study.questions import frozen_points, masking_points
from eomtlib.study.study import Study
from tests import samples

SMOKE = samples.SMOKE | {"duration": "3steps"}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_a_grid_has_every_combination_that_exists():
    points = grid(size="nano,small", pretraining="none,dinov2", rung="eomt,pmt")
    assert len(points) == 2 * (1 + 2)  # timm has no nano
    assert {"size": "nano", "pretraining": "dinov2", "rung": "eomt"} not in points
    assert [point["rung"] for point in grid(seed="1,0", rung="pmt,eomt")] == 2 * ["eomt", "pmt"]
    with pytest.raises(ConfigurationError, match=r"size='nano'.*no encoder in common"):
        grid(size="nano", pretraining="dinov3", rung="eomt")


@pytest.mark.parametrize("bad", ["", "a", "0,0", "-1", "1.5"])
def test_seeds_that_are_none_are_said(bad):
    with pytest.raises(ConfigurationError, match="seeds="):
        parse_seeds(bad)


def test_numbers_come_as_papermill_hands_them_over():
    assert Settings(taps=5).taps == Settings(taps="5").taps == (5,)
    assert Settings(taps=0).taps == (0,)
    assert Settings(taps="").taps is None
    assert parse_numbers("query_blocks", "1, 3") == parse_numbers("query_blocks", [1, 3]) == (1, 3)
    with pytest.raises(ConfigurationError, match="query_blocks=0"):
        parse_numbers("query_blocks", 0)


def test_a_training_is_evaluated_with_and_without_its_masks_and_found_again(tmp_path):
    points = [p for p in masking_points(["eomt"], 0) if p["rung"] == "eomt-masked"]
    study = Study(points, results_dir=tmp_path, progress=False, **SMOKE)
    assert study.plan().table["finished"].tolist() == ["–", "–"]
    one, other = study.run()
    frame = with_models(to_frame(study))
    assert frame["inference_masking"].tolist() == ["masked", "unmasked"]
    assert frame["model"].tolist() == ["EoMT", "EoMT"]
    assert one.training.id == other.training.id
    assert one.evaluation.masking == "masked"
    assert other.evaluation.masking == "unmasked"
    assert one.timing.gmacs > other.timing.gmacs  # masks cost
    again = Study(points, results_dir=tmp_path, progress=False, **SMOKE)
    assert set(again.plan().table["finished"]) == {"training, evaluation, timing"}
    assert again.run() == [one, other]
    # The rung as the papers build it is the same run, and not another's timing.
    plain = Study(grid(seed=0, rung="eomt-masked"), results_dir=tmp_path, progress=False, **SMOKE)
    assert plain.run()[0] == one


def test_choices_in_a_model_are_runs_of_their_own(tmp_path):
    points = [
        {"rung": "pmt"},
        {"rung": "pmt", "freeze": "none"},
        {"rung": "pmt", "taps": (1, 5), "query_blocks": 2},
        {"rung": "pmt", "lateral_connections": False},
    ]
    study = Study(points, results_dir=tmp_path, progress=False, **SMOKE)
    results = study.run()
    frame = to_frame(study)
    assert len({result.training.id for result in results}) == 4
    # Training the encoder changes no architecture; the others cost something else.
    timings = [result.timing.id for result in results]
    assert timings[0] == timings[1]
    assert len(set(timings)) == 3
    assert frame["taps"].tolist()[2] == "1,5"
    assert frame["params_m"].tolist()[3] < frame["params_m"].tolist()[0]
    chosen = Study(points[2:3], results_dir=tmp_path, progress=False, **SMOKE)
    segmented = segmentations(chosen, num_images=1)
    # A choice is read back from its checkpoint; so briefly trained it may find no segment.
    assert {"target"} <= set(segmented.rows)


def test_a_choice_that_is_the_rungs_own_is_the_rung_itself(tmp_path):
    own = {"query_blocks": 4, "taps": "0,2,3,5", "freeze": "encoder", "masking": "annealed"}
    hashes = [
        Study([{"rung": rung, **choices}], results_dir=tmp_path, progress=False, **SMOKE)
        .runs[0]
        .identity.training_key.digest()
        for rung, choices in (
            ("pmt", {}),
            ("pmt", own),
            ("eomt", {}),
            ("eomt", {"query_blocks": 3}),
            ("eomt", {"query_blocks": 2}),
        )
    ]
    assert hashes[0] == hashes[1]
    assert hashes[2] == hashes[3] != hashes[4]


def test_weights_are_for_the_encoders_that_are_published(tmp_path):
    points = grid(pretraining="none,dinov2", rung="eomt")
    options = {**SMOKE, "size": "small", "image_size": 64, "weights": str(tmp_path / "absent")}
    with pytest.raises(ConfigurationError, match=r"weights=.*absent.*does not exist"):
        Study(points, results_dir=tmp_path, progress=False, **options)
    with pytest.raises(ConfigurationError, match="no use with pretraining='none'"):
        Study(points[:1], results_dir=tmp_path, progress=False, **options)
    for weights in (str(tmp_path / "absent"), "random"):
        both = {**SMOKE, "weights": weights}
        with pytest.raises(ConfigurationError, match=rf"weights='{weights}' has no use: encoders"):
            Study(grid(size="nano,micro", rung="eomt"), results_dir=tmp_path, **both)


def test_the_plan_counts_a_shared_training_once(tmp_path):
    options = {**SMOKE, "duration": "100000steps", "results_dir": tmp_path, "progress": False}
    points = grid(rung="eomt-masked", inference_masking="masked,unmasked")
    alone, both = (Study(p, **options).plan().seconds for p in (points[:1], points))
    assert both < 1.6 * alone  # twice as long, were it counted for each


def test_bad_points_are_said_before_anything_is_trained(tmp_path):
    for point, said in (
        ({"rung": "eomt", "taps": "1,5"}, "taps=.*no meaning for eomt"),
        ({"rung": "pmt", "taps": "5,1"}, "ascending"),
        ({"rung": "pmt", "taps": "5,6"}, "from 0 to 5"),
        ({"rung": "pmt", "taps": "5", "lateral_connections": "no"}, "Leave taps out"),
        ({"rung": "single-scale", "query_blocks": 2}, "no meaning for single-scale"),
    ):
        study = Study([{"rung": "eomt"}, point], results_dir=tmp_path, progress=False, **SMOKE)
        with pytest.raises(ConfigurationError, match=said):
            study.run()
    with pytest.raises(ConfigurationError, match="masking='never'"):
        Study([{"rung": "eomt", "masking": "never"}], results_dir=tmp_path, **SMOKE)
    assert not list(tmp_path.rglob("*.json"))


def test_a_pretraining_of_our_own_comes_first_and_once(tmp_path):
    points = grid(seed="0,1", pretraining="none,mim", rung="eomt")
    options = {**SMOKE, "pretraining_steps": 2}
    study = Study(points, results_dir=tmp_path, progress=False, **options)
    results = zip(study.points, study.run(), strict=True)
    assert len(list(tmp_path.glob("pretraining/*/encoder.safetensors"))) == 1
    by_point = {(point["seed"], point["pretraining"]): result for point, result in results}
    assert by_point[0, "mim"].training.pretraining_used.startswith("mim on shapes, 2 steps")
    assert by_point[0, "mim"].training.final_loss != by_point[0, "none"].training.final_loss
    # One architecture, whatever its weights are: timed once.
    assert by_point[0, "mim"].timing == by_point[0, "none"].timing


def test_the_printed_masking_table_names_models_as_ours_are():
    printed = printed_masking().set_index(["model", "masking", "inference_masking"])
    assert printed.loc[("EoMT", "annealed", "unmasked"), "pq"] == 56.0
    assert printed.loc[("ViT-Adapter + Mask2Former", "annealed", "unmasked"), "pq"] == 56.8
    assert len(printed) == 8


def test_other_taps_of_a_frozen_encoder_are_its_last_blocks_unless_said():
    points = {point["model"]: point for point in frozen_points("nano", seeds="0")}
    assert points["PMT, taps 2, 3, 4, 5"]["taps"] == (2, 3, 4, 5)
    assert "PMT, taps 1, 5" in {p["model"] for p in frozen_points("nano", seeds=0, taps="1,5")}


def test_rungs_of_one_configuration_resolve_it_once(tmp_path, monkeypatch):
    called, resolve = [], study.resolve_settings
    monkeypatch.setattr(
        study, "resolve_settings", lambda **given: called.append(given) or resolve(**given)
    )
    runs = Study(seeds="0,1", results_dir=tmp_path, progress=False, **SMOKE).runs
    assert len(runs) == 2 * 7
    assert [given["seed"] for given in called] == [0, 1]


def test_studies_that_differ_have_folders_of_their_own(tmp_path):
    def name(**changed):
        return Study(
            results_dir=tmp_path, progress=False, **{**SMOKE, "rungs": "eomt"} | changed
        ).name

    own = name()
    assert re.fullmatch(r"nano-shapes-ssl-shapes-64x64-\w+-seed0-[0-9a-f]{6}", own)
    assert name() == own
    changes = {"rungs": "pmt", "batch_size": 1, "num_queries": 7, "val_images": 3}
    others = {name(**{key: value}) for key, value in changes.items()}
    assert len(others - {own}) == len(changes)
