"""Run the whole study: every phase in order, going on where an earlier run ended.

    python examples/run_all.py [--data ROOT] [--classes NAME ...] [--work FOLDER]

Without an argument it takes the demo set. `adlib study CONFIG` does the same.
"""

from pathlib import Path

from adlib.study import run_study
from adlib.study._config import config_from_arguments
from adlib.study._run_study import summary

if __name__ == "__main__":
    here = Path(__file__).parent
    config = config_from_arguments(__doc__, here / "config.yaml")
    scripts = sorted(here.glob("phase[0-9][0-9]_*.py"))
    print(summary(run_study(config, scripts=scripts), config))
