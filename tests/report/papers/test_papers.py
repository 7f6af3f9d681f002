"""Printed tables beside records that were written by hand."""

import math

import pandas as pd
import pytest

from eomtlib.core.machine.environment import environment
from eomtlib.report.papers.catalogue import PRINTED_TABLES, ModelRow
from eomtlib.report.papers.filling import fill, read_records
from eomtlib.report.papers.printed import load_paper_table, paper_dir
from eomtlib.study.records.store import ResultStore
from tests import samples

TABLES = {table.name: table for table in PRINTED_TABLES}
HERE = environment()
PAPERS = {"size": "large", "pretraining": "dinov2", "environment": HERE}


def test_every_table_of_the_papers_is_shown_with_all_its_cells():
    assert set(TABLES) == {path.stem for path in paper_dir().glob("*.csv")}
    for name, table in TABLES.items():
        filled = fill(table, [])
        pd.testing.assert_frame_equal(
            filled[load_paper_table(name).columns], load_paper_table(name)
        )
        measured = [column for column in filled if column.endswith(" here")]
        assert bool(measured) == (table.note == "")
        assert filled[measured].isna().all(axis=None)  # nothing was measured, nothing is made up


def training(rung, seed, **options):
    config = {"rung": rung, "seed": seed, "num_queries": 200}
    config |= {"options": options} if options else {}
    known = {"rung": rung, "config": config, "dataset": "coco", "image_size": (640, 640)}
    return samples.training(**PAPERS | known, seed=seed, steps=88692, epochs=12.0, batch_size=16)


def evaluation(of, pq, masking, **changed):
    known = {"rung": of.rung, "training_id": of.id, "num_images": 5000, "input_size": (640, 640)}
    known |= {"dataset": "coco", "masking": masking, "metrics": {"pq": pq}, "per_class": {}}
    return samples.evaluation(**PAPERS | known | changed)


def timing(rung, fps, **changed):
    known = {"rung": rung, "cost_image_size": (640, 640), "num_classes": 133, "num_queries": 200}
    known |= {"fps_model": fps, "fps_end_to_end": None}
    known |= {"params_m": 316.7, "gmacs": 668.0}
    return samples.timing(**PAPERS | known | changed)


def test_a_cell_is_filled_by_records_of_that_very_model():
    eomt = [training("eomt", seed) for seed in (0, 1)]
    masked = training("eomt-masked", 0)
    records = [
        *eomt,
        masked,
        evaluation(eomt[0], 55.0, "unmasked"),
        evaluation(eomt[1], 57.0, "unmasked"),
        evaluation(eomt[0], 10.0, "unmasked", label="short training: 20steps"),
        evaluation(eomt[0], 99.0, "unmasked", variant="coco, train, 5000 images"),
        evaluation(eomt[0], 11.0, "unmasked", input_size=(1280, 1280)),
        evaluation(eomt[0], 12.0, "unmasked", dataset="shapes"),
        evaluation(eomt[0], 80.0, "unmasked", num_images=10),
        evaluation(masked, 56.4, "masked"),
        evaluation(masked, 25.0, "unmasked"),
        timing("eomt", 100.0),
        timing("eomt", 150.0, mode="max-autotune"),
        timing("eomt", 999.0, size="base"),
        timing("eomt", 999.0, num_queries=20),
        timing("eomt", 120.0, num_classes=13, gmacs=1.0),
    ]
    table = fill(TABLES["eomt_table1_ladder"], records, machine=HERE.machine).set_index("rung")
    assert table.loc["eomt", ["pq here", "fps here", "gmacs here"]].tolist() == [56.0, 150.0, 668.0]
    assert table.loc["eomt-masked", "pq here"] == 56.4
    assert math.isnan(table.loc["eomt-masked", "fps here"])
    assert table.loc["no-adapter"].filter(like="here").isna().all()
    annealing = fill(TABLES["eomt_table7_mask_annealing"], records)
    assert annealing["pq_eomt here"].tolist()[:2] == [56.4, 25.0]
    assert annealing["pq_eomt here"].tolist()[3] == 56.0
    other_machine = fill(TABLES["eomt_table1_ladder"], records, machine="another")
    assert other_machine["fps here"].isna().all()


def test_an_own_number_of_query_blocks_is_the_rung_itself():
    own, more = training("eomt", 0), training("eomt", 0, query_blocks=6)
    records = [own, more, evaluation(own, 56.0, "unmasked"), evaluation(more, 55.0, "unmasked")]
    table = fill(TABLES["eomt_tableD_query_blocks"], records).set_index("query_blocks")
    assert table["pq here"].dropna().to_dict() == {6: 55.0, 4: 56.0}


def test_costs_are_counted_where_no_record_has_them():
    seen = []

    def count(model: ModelRow):
        seen.append(model)
        return 1.0, 2.0

    table = fill(TABLES["eomt_table2_pretraining"], [timing("eomt", 9.0)], count=count)
    row = table.set_index(["pretraining", "rung"]).loc[("dinov2", "eomt")]
    assert row["params_m here"] == pytest.approx(316.7)
    assert table["gmacs here"].iloc[0] == 2.0
    assert {model.pretraining for model in seen} >= {"eva02", "deit3-in21k"}


def test_records_are_found_in_folders_of_folders_and_each_once(tmp_path):
    record = timing("eomt", 9.0)
    for folder in ("runs", "gallery/nano", "gallery/copy"):
        ResultStore(tmp_path / folder).write(record)
    assert [r.id for r in read_records([tmp_path / "runs", tmp_path / "gallery"])] == [record.id]
