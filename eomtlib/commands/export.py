"""``export``: a finished checkpoint as one file that PyTorch runs without this library."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from eomtlib.commands.checkpoint_options import add_checkpoint, open_checkpoint
from eomtlib.core.errors import ConfigurationError
from eomtlib.inference.exported_program import export_program
from eomtlib.study.parameters import resolve_device, resolve_precision


def add_options(parser: argparse.ArgumentParser) -> None:
    """Write a checkpoint as one file that PyTorch runs without this library."""
    add_checkpoint(parser, runs_task=False)
    parser.add_argument("--output", required=True, help="a new file, such as model.pt2")
    parser.add_argument("--batch-size", type=int, default=1, help="images at a time, always")


def run(chosen: argparse.Namespace) -> None:
    """Exports, and says how the file is used."""
    output = Path(chosen.output).expanduser()
    if output.exists():
        raise ConfigurationError(f"output={str(output)!r} exists already; choose a new file.")
    device = resolve_device(chosen.device)
    precision = resolve_precision(chosen.precision, device.partition(":")[0])
    model, config = open_checkpoint(chosen)
    height, width = model.encoder.image_size
    export_program(
        model,
        output,
        batch_size=chosen.batch_size,
        device=device,
        precision=precision,
        about=asdict(config) | {"batch_size": chosen.batch_size, "precision": precision},
    )
    print(
        f"Written: {output}. torch.export.load({str(output)!r}).module() takes images "
        f"[{chosen.batch_size}, 3, {height}, {width}] uint8 on {device} and returns mask logits "
        "and class logits."
    )
