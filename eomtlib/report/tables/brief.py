"""What of a table stands on a page: at most seven columns; what is the same in all rows is said."""

from __future__ import annotations

import pandas as pd

from eomtlib.core.console import counted
from eomtlib.core.words import ACCURACIES
from eomtlib.models.ladder import LADDER
from eomtlib.report.frame import accuracy_of
from eomtlib.report.tables.formats import HEADINGS, plain
from eomtlib.report.uncertainty import ALL_ROWS

_WORDS = {"pq": "PQ", "miou": "mIoU", "ap": "AP", "fps": "FPS", "gmacs": "GMACs", "eomt": "EoMT"}
_WORDS |= {"coco": "COCO", "ade": "ADE20K", "cityscapes": "Cityscapes", "m2f": "Mask2Former"}
"""Words in the names of columns → as people write them."""
_COSTS = ("params_m", "fps", "fps_end_to_end")


def brief(
    measured: pd.DataFrame,
    printed: pd.DataFrame | None = None,
    *,
    against: str = "above",
    short: bool = False,
) -> pd.DataFrame:
    """The columns that answer: costs, speed, accuracy, and what each row loses against another.

    Figures of other data and machines are never in one row but as such a difference, which may be
    compared.

    Args:
        measured: as ``measured_table`` returns it.
        printed: of a paper, with the columns of its index.
        against: ``above``, the row before, or ``first``, of those with the same first name.
        short: whether what was measured is of trainings too short to be compared.

    Returns:
        Texts under headings for people; without columns in which nothing stands.
    """
    figure, keys = accuracy_of(measured), list(measured.index.names)
    rows = pd.DataFrame(index=measured.index)
    for name in _COSTS:
        if name in measured:
            rows[HEADINGS[name]] = [_number(value) for value in measured[name]]
    heading = _accuracy_heading(figure) + (", short training" if short else "")
    rows[heading] = [_accuracy(row, figure) for _, row in measured.iterrows()]
    sides = {} if short else {"here": measured[figure]}
    if printed is not None and figure in printed:
        sides["printed"] = printed.set_index(keys)[figure].reindex(measured.index)
    for side, values in sides.items():
        groups = values.groupby(level=keys[0], sort=False) if len(keys) > 1 else None
        if against == "above":
            other = values.shift() if groups is None else groups.shift()
        else:
            other = values.iloc[0] if groups is None else groups.transform("first")
        heading = (
            f"{ACCURACIES[figure]} against the {'row above' if against == 'above' else 'first'}"
        )
        lost = (values - other).where(lambda gain: (gain != 0) | (against == "above"))
        rows[f"{heading}, {side}"] = [_signed(value) for value in lost]
    named = rows.reset_index()
    for key in keys:
        named[key] = [LADDER[v].title if v in LADDER else v for v in named[key]]
    return tidy(named.rename(columns=str)).rename(columns=lambda name: name.replace("_", " "))


def caption(measured: pd.DataFrame) -> str:
    """What all rows of a measured table have in common, in one line."""
    same = {
        name: values[0]
        for name in ("steps", "seeds", "mode", "attention")
        if name in measured and len(values := measured[name].dropna().unique()) == 1
    }
    counts = [counted(int(same[name]), name[:-1]) for name in ("steps", "seeds") if name in same]
    return ", ".join([*counts, *(same[name] for name in ("mode", "attention") if name in same)])


def brief_changes(changes: pd.DataFrame) -> pd.DataFrame:
    """A table of changes with one interval, the one that decides, and without empty columns."""
    figure = next(name for name in ACCURACIES.values() if name in changes)
    shown = changes.drop(columns=["from", "to"]).replace({n: r.title for n, r in LADDER.items()})
    ends = zip(*(changes[name] for name in ALL_ROWS), strict=True)
    shown["95 % of all rows"] = [
        "" if pd.isna(low) else f"{_signed(low)} to {_signed(high)}" for low, high in ends
    ]
    shown[figure] = [_signed(value) for value in changes[figure]]
    order = [c for c in shown if c not in (*ALL_ROWS, "95 % of all rows")]
    order.insert(order.index(figure) + 1, "95 % of all rows")
    return tidy(shown[order])


def brief_speed(table: pd.DataFrame) -> pd.DataFrame:
    """Of ``speed.speed_table``: which model in which way, its speed, and how EoMT's compares."""
    shown = table.assign(rung=[LADDER[rung].title for rung in table["rung"]])
    names = ["size", "pretraining", "mode", "sampler"]
    differ = [name for name in names if shown[name].replace("–", pd.NA).nunique() > 1]
    shown["FPS"] = [
        _number(fps) + (" *" if remark else "")
        for fps, remark in zip(table["FPS"], table["remarks"], strict=True)
    ]
    figures = ["params (M)", "FPS", "FPS end to end", "EoMT, times as fast", "FPS printed (H100)"]
    for name in ("FPS end to end", "EoMT, times as fast"):
        shown[name] = [_number(value) for value in shown[name]]
    return tidy(shown[[*differ, "rung", *figures]].replace("–", pd.NA))


def brief_printed(filled: pd.DataFrame, *, most: int = 7) -> pd.DataFrame:
    """Of ``papers.filling.fill``: printed and measured in one cell, the first columns of a table.

    Args:
        filled: columns as printed, those of models of ours followed by ``<column> here``.
        most: columns.
    """
    shown = {}
    for column in _by_weight([name for name in filled if not name.endswith(" here")])[:most]:
        here = filled.get(f"{column} here", pd.Series(float("nan"), filled.index))
        words = column.replace("params_m", "params (M)").split("_")
        heading = " ".join(_WORDS.get(word, word) for word in words)
        heading += " printed / here" if here.notna().any() else ""
        shown[heading] = [
            _printed(value) + (f" / {_number(own)}" if not pd.isna(own) else "")
            for value, own in zip(filled[column], here, strict=True)
        ]
    return tidy(pd.DataFrame(shown))


def _by_weight(columns: list[str]) -> list[str]:
    """What names a row, then accuracies, speeds, costs, and the parts of accuracies."""
    parts = ("_things", "_stuff", "_large", "_medium", "_small", "_figure1")
    parts += ("ade_input", "cityscapes_input", "from_coco", "note", "step")

    def weight(name: str) -> int:
        if name.endswith(parts):
            return 4
        kinds = (("pq", "miou", "ap"), ("fps",), ("params", "gmacs"))
        found = [n for n, kind in enumerate(kinds, 1) if set(kind) & set(name.split("_"))]
        return found[0] if found else 0

    return sorted(columns, key=weight)


def brief_records(table: pd.DataFrame, *, most: int = 7) -> pd.DataFrame:
    """Of ``records_table``: where models differ, and what they reach."""
    names = ["dataset", "input_size", "size", "pretraining", "rung", "options", "steps"]
    differ = [name for name in names if name in table and table[name].nunique() > 1]
    figure = accuracy_of(table)
    shown = table[differ].copy()
    shown[ACCURACIES[figure]] = [_accuracy(row, figure) for _, row in table.iterrows()]
    shown["seeds"] = table["seeds"]
    return tidy(shown.rename(columns=lambda name: name.replace("_", " "))).iloc[:, -most:]


def _printed(value: object) -> str:
    return plain(value) if isinstance(value, str) or pd.isna(value) else f"{value:g}"


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Rungs by their titles, and without columns in which no row has a value."""
    if "rung" in table:
        table = table.replace({"rung": {name: rung.title for name, rung in LADDER.items()}})
    is_empty = table.isna() | table.isin(["", "–"])
    return table.loc[:, ~is_empty.all()]


def _accuracy_heading(figure: str) -> str:
    return f"{ACCURACIES[figure]} (things / stuff)" if figure == "pq" else ACCURACIES[figure]


def _accuracy(row: pd.Series, figure: str) -> str:
    if pd.isna(row[figure]):
        return "–"
    spread = row.get(f"{figure}_std", float("nan"))
    text = f"{row[figure]:.1f}" + ("" if pd.isna(spread) else f" ± {spread:.1f}")
    parts = [row.get(f"{figure}_{part}") for part in ("things", "stuff")]
    if any(part is None or pd.isna(part) for part in parts):
        return text
    return f"{text} ({parts[0]:.1f} / {parts[1]:.1f})"


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _signed(value: float) -> str:
    """With a sign, to one decimal: ``−0.5``."""
    return "–" if pd.isna(value) else f"{value:+.1f}".replace("-", "−")
