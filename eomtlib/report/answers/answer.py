"""A question and its answer, as a notebook and a report show it."""

from __future__ import annotations

from dataclasses import dataclass

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
    def ending(self) -> Ending:
        """The same, with what to do next, for the end of a notebook."""
        return Ending(self)

    def _repr_markdown_(self) -> str:
        said = [f"- {for_markdown(text)}" for text in self.sentences]
        beside = [f"*{for_markdown(text)}*" for text in self.doubts]
        return "\n\n".join([f"**{for_markdown(self.question)}**", "\n".join(said), *beside])

    def __repr__(self) -> str:
        return "\n".join([self.question, *(f"- {text}" for text in self.sentences), *self.doubts])


@dataclass(frozen=True)
class Ending:
    """An answer and what to do next."""

    answer: Answer

    def _repr_markdown_(self) -> str:
        steps = [
            f"- {for_markdown(why)}" + (f"\n\n  ```\n  {command}\n  ```" if command else "")
            for why, command in self.answer.next_steps
        ]
        return "\n\n".join(
            [self.answer._repr_markdown_(), *(["**What next?**", *steps] if steps else [])]
        )

    def __repr__(self) -> str:
        steps = [f"- {why}" + (f"\n    {do}" if do else "") for why, do in self.answer.next_steps]
        return "\n".join([repr(self.answer), *steps])
