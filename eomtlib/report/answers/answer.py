"""A question and its answer, as a notebook and a report show it."""

from __future__ import annotations

from dataclasses import dataclass

from IPython.display import Markdown

from eomtlib.core.escaping import for_markdown


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a question came to, in sentences computed from what was measured.

    Attributes:
        question: what was asked.
        sentences: the answer, plain text.
        doubts: what the answer does not cover, or must be known beside it, plain text.
        next_steps: what would tell more: a reason and a command, which may be empty.
    """

    question: str
    sentences: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    next_steps: tuple[tuple[str, str], ...] = ()

    @property
    def ending(self) -> Markdown:
        """The same with what to do next, for the end of a notebook."""
        steps = [
            for_markdown(why) + (f"\n\n      {' '.join(command.splitlines())}" if command else "")
            for why, command in self.next_steps
        ]
        more = ["**What next?**", *(f"- {step}" for step in steps)] if steps else []
        return Markdown("\n\n".join([self._repr_markdown_(), *more]))

    def _repr_markdown_(self) -> str:
        said = "\n".join(f"- {for_markdown(text)}" for text in self.sentences)
        beside = [f"*{for_markdown(text)}*" for text in self.doubts]
        return "\n\n".join([f"**{for_markdown(self.question)}**", said, *beside])
