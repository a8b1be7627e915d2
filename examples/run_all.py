"""Run the whole study: every phase in order, going on where an earlier run ended.

    python examples/run_all.py [--data ROOT] [--classes NAME ...] [--work FOLDER]

Without an argument it takes the demo set. `adlib study CONFIG` does the same.
"""

from pathlib import Path

from adlib.study import run_study
from adlib.study._config import config_from_arguments
from adlib.study._run_study import summary

if __name__ == "__main__":
    config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
    print(summary(run_study(config), config))
