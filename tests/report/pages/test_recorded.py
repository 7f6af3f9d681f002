import pytest

from eomtlib.core.errors import ConfigurationError
from eomtlib.report.pages import recorded_studies
from eomtlib.report.pages.recorded import variants
from eomtlib.study.records.store import ResultStore
from tests.samples import evaluation, timing, training

CONFIG = {"classes": ["a", "b"], "num_queries": 40, "duration": "300steps", "recipe": {"lr": 1e-3}}


def trained(store, rung="eomt", *, seed=0, pq=30.0, per_class=None, evaluated=None, **changes):
    """Records of a run, with changes of the training's fields or its configuration."""
    own = {"rung": rung, "created": "2026-01-01T00:00:00+00:00", "image_size": (128, 96)}
    fields = {*own, "size", "pretraining", "label", "dataset"}
    own |= {name: changes.pop(name) for name in fields & set(changes)}
    config = CONFIG | {"seed": seed} | changes
    made = store.write(training(config=config, seed=seed, checkpoint=f"{rung}-{seed}/model", **own))
    figures = per_class or dict.fromkeys(config["classes"], pq)
    store.write(
        evaluation(
            training_id=made.id,
            metrics={"pq": pq, "pq_things": pq, "pq_stuff": pq, "sq": 70.0, "rq": 40.0},
            per_class={name: {"pq": value} for name, value in figures.items()},
            masking="unmasked" if rung in ("eomt", "pmt") else "masked",
            input_size=own.pop("image_size"),
            **own | (evaluated or {}),
        )
    )
    return made


def test_runs_of_one_configuration_are_a_study_and_the_newest_comes_first(tmp_path):
    store = ResultStore(tmp_path)
    for seed in (0, 1):
        for rung in ("eomt", "vit-adapter-m2f"):
            trained(store, rung, seed=seed)
    other = trained(store, image_size=(64, 64), created="2026-02-01T00:00:00+00:00")
    newest, first = recorded_studies(store).values()
    assert [result.training.id for result in newest.results] == [other.id]
    found = [(r.training.rung, r.training.seed) for r in first.results]
    assert found == [(rung, seed) for rung in ("vit-adapter-m2f", "eomt") for seed in (0, 1)]
    assert variants(first.results) == [""] * 4


def test_of_a_run_that_was_done_again_the_newer_one_counts(tmp_path):
    store = ResultStore(tmp_path)
    trained(store, pq=10.0)
    trained(store, pq=20.0, created="2026-01-02T00:00:00+00:00")
    (study,) = recorded_studies(store).values()
    assert [result.evaluation.metrics["pq"] for result in study.results] == [20.0]


def test_what_was_varied_within_a_rung_is_said_of_it_alone(tmp_path):
    store = ResultStore(tmp_path)
    trained(store, "vit-adapter-m2f")
    trained(store, recipe={"lr": 1e-3})
    trained(store, recipe={"lr": 2e-3})
    trained(store, options={"query_blocks": 2})
    (study,) = recorded_studies(store).values()
    assert study.results[0].training.rung == "vit-adapter-m2f"
    said = variants(study.results)
    assert said[0] == ""
    found = {frozenset(text.split(", ")) for text in said[1:]}
    assert found == {*map(frozenset, (["lr 0.001"], ["lr 0.002"], ["lr 0.001", "query_blocks 2"]))}


def test_a_folder_without_evaluated_trainings_has_none(tmp_path):
    store = ResultStore(tmp_path)
    store.write(timing())
    store.write(evaluation())  # of a training that is not there
    with pytest.raises(ConfigurationError, match="no records"):
        recorded_studies(store)
