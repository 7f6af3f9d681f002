"""Which plot leads: accuracies that say nothing are not drawn."""

import matplotlib.pyplot as plt
import pandas as pd

from eomtlib.models.ladder import HEAD_SIZES
from eomtlib.report.leading import leading
from eomtlib.report.papers.printed import load_paper_table
from eomtlib.study.records.store import RunResult
from eomtlib.study.study import Study
from tests.samples import timing

PRINTED = load_paper_table("eomt_table1_ladder").set_index("rung")["pq"]


class Told:
    """A study as ``leading`` sees it, of runs that were not made."""

    def __init__(self, study, timings, label=""):
        self.settings, self.runs, self.label = study.settings, study.runs, label
        self.results = [RunResult(None, None, (t,), None) for t in timings]


def told(tmp_path, size, *, label="", pq=50.0, side=640):
    rungs = ("vit-adapter-m2f", "eomt")
    study = Study(rungs=rungs, size=size, pretraining="none", results_dir=tmp_path, progress=False)
    timings = [
        timing(
            rung=rung,
            size=size,
            pretraining=study.settings.pretraining,
            cost_image_size=(side, side),
            num_queries=HEAD_SIZES[size].num_queries,
            fps_model=10.0 + n,
        )
        for n, rung in enumerate(rungs)
    ]
    frame = pd.DataFrame({"rung": rungs, "size": size, "seed": 0, "fps": [10.0, 11.0], "pq": pq})
    return Told(study, timings, label), frame


def test_a_training_that_says_something_leads_with_what_was_measured(tmp_path):
    chosen = leading(*told(tmp_path, "nano", side=64))
    assert chosen.kind == "measured"
    assert chosen.points["pq"].tolist() == [50.0, 50.0]


def test_after_a_short_one_the_papers_accuracies_stand_at_the_speed_measured_here(tmp_path):
    chosen = leading(*told(tmp_path, "large", label="short training", pq=0.0))
    assert chosen.kind == "printed"
    points = chosen.points.set_index("rung")
    assert points["pq"].to_dict() == {r: PRINTED[r] for r in ("vit-adapter-m2f", "eomt")}
    assert points["fps"].to_dict() == {"vit-adapter-m2f": 10.0, "eomt": 11.0}
    assert "as printed" in chosen.title
    assert "short training" in chosen.note
    low, _ = chosen.draw().axes[0].get_ylim()
    assert low > 40
    assert "57.1 PQ, 10 FPS" in chosen.alt


def test_of_sizes_that_no_paper_prints_speed_stands_alone(tmp_path):
    chosen = leading(*told(tmp_path, "nano", label="short training", pq=0.0, side=64))
    assert chosen.kind == "speed"
    ax = chosen.draw().axes[0]
    assert [bar.get_width() for bar in ax.patches] == [10.0, 11.0]
    plt.close("all")
