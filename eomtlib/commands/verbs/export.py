"""``export``: a finished checkpoint as one file that PyTorch runs without this library."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from eomtlib.commands.checkpoint import find_model, open_checkpoint
from eomtlib.core.console import deliver, show
from eomtlib.core.errors import ConfigurationError
from eomtlib.core.machine.precision import resolve_device, resolve_precision
from eomtlib.inference.exported_program import ABOUT_FILE, export_program


def run(chosen: argparse.Namespace) -> None:
    """Exports, and says how the file is used."""
    find_model(chosen)
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
    shape = [chosen.batch_size, 3, height, width]
    show(
        f"Written: {output}. torch.export.load({str(output)!r}).module() takes images "
        f"{shape} uint8 on {device} and returns mask logits and class logits, no segments yet: "
        "post-processing is not in the file. Class names and the rest of what it is:\n"
        f"  about = {{{ABOUT_FILE!r}: ''}}; torch.export.load({str(output)!r}, extra_files=about)\n"
        f"  json.loads(about[{ABOUT_FILE!r}])['class_names']"
    )
    deliver({"written": output, "input": shape, "device": device, "precision": precision})
