"""``python -m eomtlib``: the command line."""

import sys

from eomtlib.commands import main

if __name__ == "__main__":
    sys.exit(main())
