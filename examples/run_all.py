"""Run the whole study: every phase in order, going on where an earlier run ended.

    python examples/run_all.py [--data ROOT] [--classes NAME ...] [--work FOLDER]

Without an argument it takes the demo set. `adlib study CONFIG` does the same.
"""

from pathlib import Path

from adlib.study import config_from_arguments, headline_table, run_study, runs_table

if __name__ == "__main__":
    here = Path(__file__).parent
    config = config_from_arguments(__doc__, here / "config.yaml")
    runs = run_study(config, scripts=sorted(here.glob("phase[0-9][0-9]_*.py")))
    print(runs_table(runs))
    print(headline_table(config.paths.outputs / "results", config.metrics))
    print(f"Written to {config.paths.outputs}.")
