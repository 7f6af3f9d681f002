"""What of a rung may be chosen otherwise than the papers do, as one piece of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Choices within a rung; None leaves the rung as the papers build it.

    Attributes:
        masking: how it is trained: ``masked``, ``annealed`` or ``unmasked``.
        query_blocks: blocks that process queries, of the ViT (EoMT) or of the decoder (PMT).
        freeze: what of the encoder learns nothing: ``encoder`` for all of it, ``none``, or a number
            of its blocks, with all that stands before them.
        lateral_connections: whether PMT's decoder reads taps through lateral connections; without,
            it reads the encoder's last output, normalised, as it is.
        taps: the blocks of the encoder, from 0, whose outputs PMT's decoder takes.
    """

    masking: str | None = None
    query_blocks: int | None = None
    freeze: str | None = None
    lateral_connections: bool | None = None
    taps: tuple[int, ...] | None = None

    @staticmethod
    def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
        """What a file of an earlier version holds, under the names of today."""
        found = dict(values)
        if "frozen_encoder" in found:
            is_frozen = found.pop("frozen_encoder")
            found["freeze"] = {None: None, True: "encoder", False: "none"}[is_frozen]
        return found

    def chosen(self) -> dict[str, Any]:
        """The choices that were made, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def beside(self, own: ModelOptions) -> ModelOptions:
        """Without what ``own`` has as well: what is left differs from it."""
        differing = {
            name: value for name, value in self.chosen().items() if value != getattr(own, name)
        }
        return ModelOptions(**differing)

    def of_architecture(self) -> dict[str, Any]:
        """Those among them that inference depends on, as JSON values."""
        trained_only = ("masking", "freeze")
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.chosen().items()
            if name not in trained_only
        }
