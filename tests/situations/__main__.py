"""List every situation and its outcome: ``python -m tests.situations``."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path

from tests.situations.situation import Situation


def tables() -> dict[str, dict[str, Situation]]:
    """Return the tables of situations by module."""
    files = Path(__file__).parent.glob("test_*.py")
    names = sorted(path.stem for path in files if path.stem != "test_tables")
    modules = {name: import_module(f"tests.situations.{name}") for name in names}
    return {
        name.removeprefix("test_"): module.SITUATIONS
        for name, module in modules.items()
    }


if __name__ == "__main__":
    found = tables()
    for name, table in found.items():
        for what, situation in table.items():
            print(f"{name:14} {situation.outcome:8} {what}")
    outcomes = [one.outcome for table in found.values() for one in table.values()]
    print(len(outcomes), "situations:", dict(Counter(outcomes)))
