"""The command line, a verb each: what the notebooks do, for terminals and clusters."""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
from collections.abc import Sequence
from errno import EACCES, EEXIST, ENOSPC, ENOTDIR, EPERM, EROFS
from functools import partial
from importlib import import_module

from eomtlib import __version__
from eomtlib.commands.options.shared import add_manner
from eomtlib.commands.options.verbs import VERBS
from eomtlib.core.console import Manner, complain, speaking
from eomtlib.core.errors import ConfigurationError, EomtlibError, check_choice

_Formatter = partial(argparse.RawDescriptionHelpFormatter, max_help_position=30)
_EXIT = """exit status:
  0    done
  1    done, and something was found wrong or left out (check-data, predict)
  2    nothing was done: an option, a file or the data cannot be used, which is said
  130  interrupted; the same command goes on, predict with --resume"""
_CANNOT_WRITE = (EACCES, EEXIST, ENOSPC, ENOTDIR, EPERM, EROFS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb.

    Returns:
        The exit status: 0; 1 where the verb found something wrong or left something out; 2 for
        input that cannot be used; 130 where it was interrupted.
    """
    said = "eomtlib"
    try:
        chosen = _parse(sys.argv[1:] if arguments is None else list(arguments))
        said = f"eomtlib {chosen.verb}"
        # A verb's module is heavy, and is not needed for help.
        verb = import_module(f"eomtlib.commands.verbs.{chosen.verb.replace('-', '_')}")
        with speaking(Manner(quiet=chosen.quiet, as_json=chosen.json), as_who=said):
            return verb.run(chosen) or 0
    except EomtlibError as error:
        complain(f"{said}: {error}")
        return 2
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        where = error.filename or "a file"
        complain(f"{said}: {where} cannot be written ({error.strerror}).")
        return 2
    except KeyboardInterrupt as interruption:
        complain(f"{said}: {str(interruption) or 'interrupted'}")
        return 130


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="eomtlib", description=__doc__, epilog=_EXIT, formatter_class=_Formatter
    )
    parser.add_argument("--version", action="version", version=f"eomtlib {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    own: dict[str, argparse.ArgumentParser] = {}
    for name, add_options in VERBS.items():
        described = inspect.cleandoc(add_options.__doc__)
        own[name] = verbs.add_parser(
            name,
            help=described.partition("\n")[0],
            description=described.partition("\n\n")[0],
            epilog=described.partition("\n\n")[2],
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        add_options(own[name])
        add_manner(own[name])
    if arguments and not arguments[0].startswith("-"):
        check_choice("verb", arguments[0], VERBS)
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:
        option = unknown[0].partition("=")[0]
        # argparse has no public list of a parser's options.
        known = own[chosen.verb].format_help().replace("[", " ").replace("]", " ").split()
        close = difflib.get_close_matches(option, [word for word in known if word[0] == "-"], n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigurationError(
            f"{option} is no option of {chosen.verb}.{hint} See: eomtlib {chosen.verb} --help"
        )
    return chosen
