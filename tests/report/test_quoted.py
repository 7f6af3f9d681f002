"""Figures in texts: derived again from the gallery's records, here from their JSON alone."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import pytest

from eomtlib.commands import main
from eomtlib.core.code_digest import code_digest
from eomtlib.core.errors import ConfigurationError
from eomtlib.evaluation.speed import TIMING_METHOD
from eomtlib.report.quoted import QUOTED, quote
from eomtlib.study.records.store import ResultStore
from eomtlib.study.runs.identity import METHODS

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "results" / "gallery"
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *GALLERY.rglob("README.md")]
T_95 = {2: 12.7062, 3: 4.3027, 4: 3.1824, 5: 2.7764}  # of a printed table of Student's t
T_OF_11 = {3: 14.7818, 5: 5.7465}  # at 1 − 0.025 / 11


def region(name, inside=""):
    return f"before\n\n<!-- figures: {name} -->\n{inside}<!-- end -->\n\nafter\n"


def test_texts_quote_what_the_records_say():
    """Mended by ``eomtlib book --figures FILE``."""
    for path in TEXTS:
        text = path.read_text()
        assert quote(text, GALLERY) == text, path


def raw(folder, kind):
    files = sorted((folder / "records").glob(f"{kind}-*.json"))
    return {path.stem: json.loads(path.read_text()) for path in files}


def is_own(training, pretraining="shapes-ssl", size="nano", steps=1200):
    """The gallery's study's trainings, told from the others of the folder by hand."""
    same = {"size": size, "pretraining": pretraining, "steps": steps, "batch_size": 8}
    recipe = training["config"]["recipe"]
    return (
        all(training[name] == value for name, value in same.items())
        and not training["config"].get("options")
        and recipe["optimizer"]["lr"] == 1e-3
        and recipe["loss"]["no_object_weight"] == 0.1
    )


def scores(folder, pretraining="shapes-ssl", size="nano", steps=1200):
    """Rung → seed → PQ, and the commits of the trainings."""
    found, commits, trainings = {}, set(), raw(folder, "training")
    for evaluation in raw(folder, "evaluation").values():
        training = trainings[evaluation["training_id"]]
        rung = training["rung"]
        run_so = "unmasked" if rung in ("eomt", "pmt") else "masked"
        if is_own(training, pretraining, size, steps) and evaluation["masking"] == run_so:
            found.setdefault(rung, {})[training["seed"]] = evaluation["metrics"]["pq"]
            commits.add(training["environment"]["commit"][:7])
    return found, commits


def lost(found, rung="eomt", above="vit-adapter-m2f"):
    """By seed, and the 95 % interval of their mean."""
    each = [found[above][seed] - found[rung][seed] for seed in found[rung]]
    half = T_95[len(each)] * stdev(each) / len(each) ** 0.5
    return each, (mean(each), mean(each) - half, mean(each) + half)


def spelled(*values, sign=""):
    return [f"{value:{sign}.1f}".replace("-", "−") for value in values]


@pytest.fixture(scope="module")
def folder():
    """The results folder that figures are of: the last trained with all rungs."""
    whole = {}
    for path in GALLERY.rglob("records"):
        found, _ = scores(path.parent)
        if len(found) == 7:
            whole[max(r["created"] for r in raw(path.parent, "evaluation").values())] = path.parent
    return whole[max(whole)]


def test_the_headline_is_what_the_files_say(folder):
    found, commits = scores(folder)
    fps = {}
    for timing in sorted(raw(folder, "timing").values(), key=lambda record: record["created"]):
        same = timing["size"] == "nano" and timing["pretraining"] == "shapes-ssl"
        if same and not timing["options"] and timing["masking"] is None:
            fps[timing["rung"]] = timing["fps_model"]
    said = quote(region("headline"), GALLERY)
    ours, theirs = fps["eomt"], fps["vit-adapter-m2f"]
    assert f"{ours / theirs:.1f} times as fast" in said
    assert f"{ours:.0f} images a second against {theirs:.0f}" in said
    value, low, high = spelled(*lost(found)[1])
    seeds = len(found["eomt"])
    assert f"loses {value} points of PQ ({low} to {high}; 95\u00a0% over {seeds} seeds)" in said
    assert "prints 4.4 times and 1.1 points" in said  # 128 of 29 FPS, 57.1 and 56.0 PQ: Table 1
    assert all(commit in said.split("measured at")[1] for commit in commits)


def test_the_default_is_what_the_files_say(folder):
    found, commits = scores(folder, steps=700)
    said = quote(region("default"), GALLERY)
    ours, theirs = (mean(found[rung].values()) for rung in ("eomt", "vit-adapter-m2f"))
    wanted = (
        "After 700 steps EoMT has {} PQ, ViT-Adapter + Mask2Former {}. It loses {} points ({} to"
    )
    assert wanted.format(*spelled(ours, theirs, *lost(found)[1][:2])) in said
    assert all(commit in said.split("measured at")[1] for commit in commits)


def test_the_ladder_is_what_the_files_say(folder):
    found, _ = scores(folder)
    said = quote(region("ladder"), GALLERY)
    rows = [line for line in said.splitlines() if line.startswith("| `")]
    cells = {row.split("`")[1]: row.strip("| ").split(" | ") for row in rows}
    assert set(cells) == set(found)
    for above, rung in zip(list(cells), list(cells)[1:], strict=False):
        pq = list(found[rung].values())
        assert cells[rung][1] == "\u00a0±\u00a0".join(spelled(mean(pq), stdev(pq)))
        each, _ = lost(found, rung, above)
        step = cells[rung][2]
        assert step.strip("*").startswith(f"{spelled(-mean(each), sign='+')[0]} (")
        low, high = step.strip("*)").split("(")[1].split(" to ")
        assert step.startswith("**") == ((low[0] == "−") == (high[0] == "−"))
    printed = {rung: row[3] for rung, row in cells.items()}
    assert list(printed.values()) == ["–", "−0.4", "+0.2", "−0.2", "−0.5", "−0.2", "–"]
    assert [row[6] for row in cells.values()] == ["1.0", "1.2", "2.1", "2.2", "2.1", "4.4", "–"]


def test_the_spread_is_what_the_files_say(folder):
    found, _ = scores(folder)
    each = [list(of_rung.values()) for of_rung in found.values()]
    # Pooled: squares round each rung's own mean.
    squares = sum((pq - mean(of_rung)) ** 2 for of_rung in each for pq in of_rung)
    pooled = (squares / sum(len(of_rung) - 1 for of_rung in each)) ** 0.5
    furthest = max(max(of_rung) - min(of_rung) for of_rung in each)
    said = quote(region("spread"), GALLERY)
    assert f"by {pooled:.1f} points" in said
    assert f"differ by {furthest:.1f}." in said


def test_the_pretraining_is_what_the_files_say():
    folder = GALLERY / "study"
    gaps = [lost(scores(folder, pretraining)[0]) for pretraining in ("shapes-ssl", "none")]
    said = quote(region("pretraining"), GALLERY)
    for _, (value, *ends) in gaps:
        assert "{} ({} to {})".format(*spelled(value, *ends)) in said
    closed = [
        without - shipped for shipped, without in zip(*(each for each, _ in gaps), strict=True)
    ]
    assert f"closes by {spelled(mean(closed))[0]} (" in said


def test_the_larger_size_is_what_the_files_say():
    folder = GALLERY / "study"
    small, large = (scores(folder, "shapes-ssl", size)[0] for size in ("nano", "micro"))
    said = quote(region("larger"), GALLERY)
    _, (value, *ends) = lost(large)
    assert "{} points of PQ behind".format(*spelled(value)) in said
    assert "({} to {}; ".format(*spelled(*ends)) in said
    reached = (mean(large["eomt"].values()), mean(small["vit-adapter-m2f"].values()))
    assert "Its {} PQ stand beside {} of".format(*spelled(*reached)) in said
    timings = [json.loads(path.read_text()) for path in folder.glob("records/timing-*micro*.json")]
    fps = {timing["rung"]: timing["fps_model"] for timing in timings}
    assert f"{fps['eomt'] / fps['vit-adapter-m2f']:.1f} times as fast" in said


def test_the_claims_are_what_the_files_say(tmp_path):
    folder = copied(GALLERY / "study", tmp_path / "gallery" / "study").root
    said = quote(region("claims"), folder.parent)
    rows = [line.strip("| ").split(" | ") for line in said.splitlines() if line.startswith("| ")]
    cells = {row[0]: row[1:] for row in rows[2:]}  # below heads and line
    ssl = "shapes-ssl"
    none, long = (scores(folder, name)[0] for name in ("none", ssl))

    def gaps(pretraining, size="nano"):
        found, _ = scores(folder, pretraining, size)
        of_baseline = found["vit-adapter-m2f"]
        return {seed: of_baseline[seed] - pq for seed, pq in found["eomt"].items()}

    for said, before, after, paper in (
        ("pretraining `none` → `shapes-ssl`, `nano`", gaps("none"), gaps(ssl), "+5.0"),
        ("pretraining `none` → `mim`, `nano`", gaps("none"), gaps("mim"), "–"),
        (
            "pretraining `none` → `shapes-ssl`, `micro`",
            gaps("none", "micro"),
            gaps(ssl, "micro"),
            "+5.0",
        ),
        ("size `nano` → `micro`, `none`", gaps("none"), gaps("none", "micro"), "–"),
        ("size `nano` → `micro`, `shapes-ssl`", gaps(ssl), gaps(ssl, "micro"), "+4.7"),
    ):
        each = [before[seed] - gap for seed, gap in after.items()]
        half = T_OF_11[len(each)] * stdev(each) / len(each) ** 0.5
        wanted = "{} ({} to {})".format(
            *spelled(mean(each), mean(each) - half, mean(each) + half, sign="+")
        )
        wanted = f"**{wanted}**" if abs(mean(each)) > half else wanted
        assert cells[f"`eomt`'s gap closes, {said}"] == [paper, wanted, str(len(each))]
    for found, name, paper in ((long, ssl, "−0.7"), (none, "none", "–")):
        frozen = mean(found["pmt"][seed] - found["eomt"][seed] for seed in found["pmt"])
        printed, here, _ = cells[f"encoder frozen: `pmt` against `eomt`, `{name}`"]
        assert (printed, here.strip("*").split()[0]) == (paper, *spelled(frozen, sign="+"))
    annealed = mean(long["eomt"][seed] - long["eomt-masked"][seed] for seed in long["eomt"])
    printed, here, _ = cells["`eomt` trained annealed, run unmasked, against masked"]
    assert (printed, here.strip("*").split()[0]) == ("−0.2", *spelled(annealed))
    assert cells["`eomt` trained masked, run unmasked, against masked"][0] == "−28.8"
    assert len(cells) == 11


@pytest.fixture
def study(tmp_path, folder):
    """A copy of the default study as if it had been trained by the code that is here."""
    return copied(folder, tmp_path / "gallery" / "study")


def copied(folder, target):
    store = ResultStore(target)
    for record in ResultStore(folder).records():
        if record.kind == "training":
            environment = replace(record.environment, commit="1234567890")
            record = replace(record, code=code_digest(), methods=METHODS, environment=environment)
        if record.kind == "timing":
            record = replace(record, method=TIMING_METHOD)
        store.write(record)
    return store


def test_a_region_says_where_the_code_has_changed_since(study):
    gallery = study.root.parent
    assert "<sub>measured at 1234567</sub>\n<!-- end -->" in quote(region("ladder"), gallery)
    own = {name for name, r in raw(study.root, "training").items() if is_own(r)}
    trained = next(r for r in study.records("training") if r.id in own and r.rung == "eomt")
    for changes in ({"code": "0" * 16}, {"code": ""}, {"methods": METHODS | {"timing": 1}}):
        study.write(replace(trained, **changes))
        said = quote(region("headline"), gallery)
        assert "<sub>measured at 1234567; the code has changed since</sub>\n<!-- end -->" in said
    study.write(trained)
    for timing in study.records("timing"):
        study.write(replace(timing, method=1))
    assert "code has changed" in quote(region("headline"), gallery)


def test_one_seed_has_neither_interval_nor_spread(study):
    gallery = study.root.parent
    for training in study.records("training"):
        if training.seed:
            study.path(training).unlink()
    table = quote(region("ladder"), gallery)
    assert "One seed settles nothing." in table
    assert not any(sign in table for sign in ("±", "(−", "(+"))
    said = quote(region("headline") + region("spread") + region("pretraining"), gallery)
    assert "points of PQ (one seed settles nothing)" in said
    assert "One seed has no spread." in said
    assert "(one seed settles nothing): not settled." in said


def test_a_text_is_written_by_a_command(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(region("spread", "old\n") + region("headline"))
    assert main(["book", "--figures", str(page)]) == 0
    text = page.read_text()
    assert "old" not in text
    assert text.count("before\n\n<!-- figures: ") == text.count("<!-- end -->\n\nafter\n") == 2
    assert quote(text, GALLERY) == text
    page.write_text(region("spraed"))
    assert main(["book", "--figures", str(page)]) == 2
    assert f"Did you mean 'spread'? Choose one of: {', '.join(QUOTED)}" in capsys.readouterr().err
    assert page.read_text() == region("spraed")
    assert main(["book", "--figures", str(tmp_path / "none.md")]) == 2
    with pytest.raises(ConfigurationError, match="has no <!-- end --> behind it"):
        quote("<!-- figures: spread -->\n" + region("ladder"), GALLERY)
    with pytest.raises(ConfigurationError, match="no results folder with vit-adapter-m2f, no-ad"):
        quote(region("ladder"), tmp_path)
    with pytest.raises(ConfigurationError, match="has not both sizes of vit-adapter-m2f and eomt"):
        quote(region("larger"), tmp_path)
