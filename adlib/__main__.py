"""Run the command line as `python -m adlib`."""

import sys

from adlib.cli import main

sys.exit(main())
