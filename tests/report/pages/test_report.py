import re

import pytest

from eomtlib.commands import main
from eomtlib.report.pages import RecordedStudy, recorded_studies, write_report
from eomtlib.report.pages.saying import recorded_leading
from eomtlib.report.pages.template_values import classes, losses, model_frame, pareto, taken
from eomtlib.study.records.store import ResultStore, RunResult
from tests.report.pages.hostile import NAMES, Elements
from tests.report.pages.test_recorded import trained
from tests.samples import timing


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "runs")


def written(store, path):
    study, *others = recorded_studies(store).values()
    return write_report(path, study, store, others=others).read_text("utf-8")


def ladder(store, **config):
    for place, rung in enumerate(("vit-adapter-m2f", "eomt")):
        for seed in (0, 1):
            trained(store, rung, seed=seed, pq=50.0 - 20 * place + seed, **config)
        store.write(timing(rung=rung, fps_model=20.0 * (1 + place)))


def test_one_file_says_the_answer_the_figures_and_what_was_run(store, tmp_path):
    ladder(store)
    page = written(store, tmp_path / "report.html")
    text = " ".join(Elements(page).text.split())
    for said in ("EoMT runs 2.0 times as fast", "50.5 ± 0.7", "30.5 ± 0.7", "2 models, 2 seeds"):
        assert said in text
    for said in ("Some CPU, 8 cores, 4 threads", "The weights of these runs are not", "300"):
        assert said in text
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)


def test_whatever_classes_and_notes_are_called_they_are_text(store, tmp_path):
    ladder(store, classes=["a", "b", "c"])
    harmless = Elements(written(store, tmp_path / "harmless.html"))
    hostile = ResultStore(tmp_path / "hostile")
    ladder(hostile, classes=list(NAMES[:3]))
    page = written(hostile, tmp_path / "report.html")
    elements = Elements(page)
    assert [tag for tag, _ in elements.found] == [tag for tag, _ in harmless.found]
    assert all(name in elements.text for name in NAMES[:3])
    assert page.count("window.harm = 1</script>") == 0


def test_after_a_short_training_the_papers_accuracies_lead_at_the_speed_measured_here(store):
    for rung in ("vit-adapter-m2f", "eomt"):
        size = {"size": "large", "pretraining": "dinov2"}
        trained(store, rung, label="short training: 20steps", pq=0.0, num_queries=200, **size)
        fps = timing(rung=rung, cost_image_size=(640, 640), num_queries=200, **size)
        store.write(fps)
    (study,) = recorded_studies(store).values()
    frame = model_frame(study.results)
    timings = [result.timing for result in study.results]
    leading = recorded_leading(frame, timings, label="short training: 20steps")
    plot = pareto(leading)
    # EoMT, Table 1: 57.1 and 56.0 on COCO with DINOv2 at ViT-L.
    assert [series["points"][0][:2] for series in plot["series"]] == [[50.0, 57.1], [50.0, 56.0]]
    assert "printed" in plot["y"]["label"]


def test_classes_come_by_their_mean_over_models_and_seeds(store):
    for seed, figures in enumerate(({"a": 10.0, "b": 50.0}, {"a": 20.0, "b": 70.0})):
        trained(store, seed=seed, per_class=figures)
    (study,) = recorded_studies(store).values()
    table = classes(model_frame(study.results), study.results)
    assert table["EoMT"].to_dict() == {"b": 60.0, "a": 15.0}


def test_losses_are_means_over_seeds_by_kind_of_error_or_by_pair_of_classes(store):
    trained(store, seed=0, evaluated={"errors": {"kinds": {"missed": 30.0, "split": 1.0}}})
    trained(store, seed=1, evaluated={"errors": {"kinds": {"missed": 10.0, "split": 3.0}}})
    pair = {"true": NAMES[0], "predicted": "b", "loss": 4.0}
    trained(store, "pmt", seed=0, evaluated={"errors": {"pairs": [pair]}})
    trained(store, "vit-adapter-m2f")  # its record does not say
    (study,) = recorded_studies(store).values()
    table = losses(model_frame(study.results), study.results)
    assert table["EoMT"].dropna().to_dict() == {"missed": 20.0, "split": 2.0}
    assert table["PMT"].dropna().to_dict() == {f"{NAMES[0]} → b": 4.0}
    assert table.index[0] == "missed"


def test_confusions_are_shares_of_the_true_class(store):
    trained(store, evaluated={"confusion": ("0:30 1:70", "1:50", "")})
    (study,) = recorded_studies(store).values()
    table = taken(model_frame(study.results), study.results)
    assert table["EoMT"].to_dict() == {"a → b": 70.0}


def test_models_that_were_only_timed_have_a_report_without_accuracies(store, tmp_path):
    study = RecordedStudy("timed", [RunResult(None, None, (timing(),), None)])
    page = write_report(tmp_path / "report.html", study, store).read_text("utf-8")
    assert "Nothing was trained" in page
    assert "50.0" in page


def test_the_verb_reports_the_newest_study_and_names_the_others(store, tmp_path, capsys):
    ladder(store)
    trained(store, image_size=(32, 32), dataset="coco", created="2027-01-01T00:00:00+00:00")
    output = tmp_path / "report.html"
    arguments = ["report", "--results-dir", str(store.root), "--output", str(output)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    other = re.search(r"--study (\S+) \(4 runs\)", said)[1]
    assert "--data-path says where coco is" in output.read_text()
    assert main([*arguments, "--study", other, "--num-images", "0"]) == 0
    assert "50.5 ± 0.7" in output.read_text()
    assert main([*arguments, "--study", "none-such"]) == 2
    assert other in capsys.readouterr().err
    assert main([*arguments[:3], "--output", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
