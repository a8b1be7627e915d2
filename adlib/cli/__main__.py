"""Let `python -m adlib.cli` be the program."""

import sys

from adlib.cli import main

sys.exit(main())
