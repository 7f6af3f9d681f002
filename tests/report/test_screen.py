"""What a terminal says of a made-up evaluation."""

import numpy as np

from eomtlib.core.words import FIGURES
from eomtlib.evaluation.metrics.confusion import as_texts
from eomtlib.report.screen import class_lines, class_table, confusions, headline, never_found
from tests.samples import evaluation

NAMES = ("sky", "road", "sign", "cat\x1b[31m", "unseen")


def semantic(confusion, names=NAMES):
    """The record of pixels by true and by predicted class, the last of which is nothing."""
    counts = np.array(confusion)
    hits, pixels, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    iou = 100 * hits / np.maximum(pixels + predicted - hits, 1)
    own = {
        name: {"iou": iou[k], "pixels": float(pixels[k]), "predicted": float(predicted[k])}
        for k, name in enumerate(names)
    }
    return evaluation(
        task="semantic", metrics={"miou": 1.0}, per_class=own, confusion=as_texts(confusion)
    )


RECORD = semantic(
    [
        [900, 100, 0, 0, 0, 0],
        [0, 2000, 0, 0, 0, 0],
        [1, 999, 0, 0, 0, 0],
        [0, 10, 0, 60, 0, 30],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
)


def test_figures_in_a_line_leave_counts_out():
    metrics = {"pq": 45.123, "pq_things": 40, "pq_stuff": 50, "sq": 70, "rq": float("nan"), "n": 3}
    said = headline("panoptic", metrics)
    assert said == "PQ 45.12, PQ things 40.00, PQ stuff 50.00, SQ 70.00, RQ –"
    assert headline("instance", dict.fromkeys(FIGURES["instance"], 1.0)).startswith(
        "AP 1.00, AP50 1.00, AP75 1.00, AP small 1.00"
    )


def test_classes_are_sorted_and_those_never_found_marked():
    lines = class_lines(RECORD, rest="FILE")
    assert [line.split()[0] for line in lines[:5]] == ["class", "sky", "road", "cat?[31m", "sign"]
    assert lines[0].split() == ["class", "IoU", "pixels"]
    assert lines[1].split() == ["sky", "89.9", "1,000"]
    assert lines[4].split() == ["sign", "0.0", "1,000", "never", "found"]
    assert not any("unseen" in line or "\x1b" in line for line in lines)
    assert never_found(RECORD) == "1 of 4 classes never found: sign"


def test_confusions_in_words_are_shares_of_the_true_class():
    lines = class_lines(RECORD, rest="FILE")
    assert [line.split() for line in lines[7:]] == [
        ["sign", "→", "road", "99.9", "%", "of", "1,000", "pixels"],
        ["cat?[31m", "→", "(nothing)", "30.0", "%", "of", "100", "pixels"],
        ["sky", "→", "road", "10.0", "%", "of", "1,000", "pixels"],
    ]
    assert confusions(RECORD)["true"].tolist() == ["sign", "cat\x1b[31m", "sky"]


def test_of_many_classes_the_best_and_the_worst_are_shown():
    names = [f"class {k}" for k in range(133)]
    counts = np.diag(np.arange(1, 135) * 100)
    counts[:, 0] += 50 * 133
    lines = class_lines(semantic(counts.tolist(), names), rest="FILE")
    assert "... 108 classes between: FILE" in lines
    table = class_table(semantic(counts.tolist(), names))["class"].tolist()
    shown = [line.rpartition("  ")[0].strip() for line in lines[1 : lines.index("")]]
    assert len(shown) == 26
    assert lines[1].startswith(table[0])
    assert lines[25 + 1].startswith(table[-1])
    assert len(lines) < 45


def test_other_tasks_count_segments_and_instances():
    own = {
        "a": {"pq": 50.0, "tp": 3.0, "fp": 1.0, "fn": 1.0},
        "b": {"pq": 0.0, "tp": 0.0, "fp": 2.0, "fn": 5.0},
        "c": {"pq": 0.0, "tp": 0.0, "fp": 2.0, "fn": 0.0},
        "d": {"pq": 0.0, "tp": 0.0, "fp": 0.0, "fn": 0.0},
    }
    table = class_table(evaluation(per_class=own))
    assert table.columns.tolist() == ["class", "PQ", "segments", "note"]
    assert table["class"].tolist() == ["a", "b", "c"]
    assert table["segments"].tolist() == [4, 5, 0]
    notes = ["", "never found", "not in these images, but predicted"]
    assert table["note"].tolist() == notes
    own = {"a": {"ap": 1.0, "ap50": 1.0, "instances": 2.0}, "b": {"ap": 0.0, "instances": 0.0}}
    table = class_table(evaluation(task="instance", per_class=own))
    assert table.values.tolist() == [["a", 1.0, 2, ""]]
    # What an older record holds: no confusion.
    assert "Taken" not in "".join(class_lines(evaluation(per_class=own, task="instance"), rest=""))


def test_a_record_of_nothing_is_no_error():
    assert class_lines(evaluation(per_class={}), rest="FILE") == ["no class occurs"]
