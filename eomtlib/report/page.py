"""The page of a notebook: figures and tables that are shown, and saved under its name."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from eomtlib.core.escaping import for_markdown
from eomtlib.report import plots, tables
from eomtlib.report.leading import Leading
from eomtlib.study.study import Study

_SHOWN_DPI = 100  # of the 150 that a figure is saved with: sharp on fine screens


class Page:
    """Shows and saves.

    Args:
        results_dir: of the study.
        name: of the folders of figures and tables in it.
        label: what must stand beside accuracies (``Study.label``).
    """

    def __init__(self, results_dir: Path, name: str, *, label: str = "") -> None:
        self.figures = results_dir / "figures" / name
        self.tables = results_dir / "tables" / name
        self.label = label

    @classmethod
    def of(cls, study: Study, name: str = "") -> Page:
        """Of a study; the name goes before the study's own."""
        own = f"{name}-{study.name}" if name else study.name
        return cls(study.results_dir, own, label=study.label)

    def figure(self, figure: Figure, name: str, *, alt: str) -> None:
        """Saves a figure as PNG and SVG, and shows the former.

        Args:
            figure: closed afterwards.
            name: of the files, without an ending.
            alt: what it shows, for whoever cannot see it.
        """
        png, _ = plots.save_figure(figure, self.figures / name)
        plt.close(figure)
        width = Image(png.read_bytes(), format="png", retina=True).width * 2
        display(Image(png.read_bytes(), format="png", alt=alt, width=width * _SHOWN_DPI // 150))

    def leading(self, chosen: Leading, name: str = "pareto") -> None:
        """Shows and saves the leading plot."""
        self.figure(chosen.draw(), name, alt=chosen.alt)

    def table(
        self,
        table: pd.DataFrame,
        name: str,
        *,
        note: str = "",
        shown: pd.DataFrame | None = None,
    ) -> None:
        """Saves a table whole, and shows it or what is ``shown`` of it, with its note below."""
        tables.save_table(table, self.tables / name, note=note)
        display(tables.style_plain(tables.tidy(table if shown is None else shown)))
        if note:
            display(Markdown(for_markdown(note)))

    def changes(
        self, changes: pd.DataFrame, name: str, *, title: str = "", beside: str | None = None
    ) -> None:
        """Shows and saves differences and what their seeds say; with a title, as a figure as well.

        Where the label says that trainings are too short, no figure is drawn.

        Args:
            changes: as ``tables.change_table`` and ``closing_table`` return it; may be empty.
            name: of the files.
            title: of the figure.
            beside: as ``plots.plot_changes`` takes it.
        """
        if changes.empty:
            return
        said = tables.seeds_note(changes, label=self.label)
        if title and not self.label:
            figure = plots.plot_changes(changes, beside=beside, title=title, note=self.label)
            self.figure(figure, name, alt=f"{title}: the table below as points with intervals.")
        self.table(changes, name, note=said, shown=tables.brief_changes(changes))
