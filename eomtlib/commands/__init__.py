"""The command line, a verb each: what the notebooks do, for terminals and clusters."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from eomtlib.commands import benchmark, check_data, evaluate, export, fit, predict, pretrain
from eomtlib.commands import book as study
from eomtlib.core.errors import EomtlibError

VERBS = {
    "benchmark": benchmark,
    "check-data": check_data,
    "evaluate": evaluate,
    "export": export,
    "fit": fit,
    "predict": predict,
    "pretrain": pretrain,
    "study": study,
}
"""Verb → its module: ``add_options``, whose docstring is the help, and ``run``, which may return an
exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb.

    Returns:
        The exit status: the verb's own, else 0, 2 for input that cannot be used, 130 where it was
        interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m eomtlib", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for name, verb in VERBS.items():
        said = verb.add_options.__doc__
        verb.add_options(verbs.add_parser(name, help=said, description=said))
    chosen = parser.parse_args(arguments)
    try:
        status = VERBS[chosen.verb].run(chosen)
    except EomtlibError as error:
        print(f"eomtlib {chosen.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        print(f"eomtlib {chosen.verb}: {str(interruption) or 'interrupted'}", file=sys.stderr)
        return 130
    return status or 0
