"""Collect ``test_suites.py`` alone, and print what is not a time in a table apart.

pytest-benchmark's own table knows milliseconds only.
"""

from __future__ import annotations

from pathlib import Path

collect_ignore_glob = ["benchmarks/*", "peers/*"]  # asv's, or scripts
collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("*.py")
    if path.name != "test_suites.py"
]


def pytest_xdist_auto_num_workers() -> int:
    """Use no worker processes: they would measure side by side."""
    return 0


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the figures that tests recorded as properties, each with its unit."""
    figures = [
        (report.nodeid.partition("[")[2].removesuffix("]"), unit, value)
        for report in terminalreporter.getreports("passed")
        for unit, value in report.user_properties
    ]
    if not figures:
        return
    terminalreporter.section("figures that are not times")
    width = max(len(name) for name, *_ in figures)
    for name, unit, value in figures:
        terminalreporter.write_line(f"{name:{width}}  {value:>10.5g} {unit}")
