"""Let `python -m adlib` be the program."""

import sys

from adlib.cli import main

sys.exit(main())
