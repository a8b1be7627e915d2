"""In the kernel of a notebook: bars, cards, and the study as notebooks."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("ipykernel", reason="the extra notebooks is not installed")
nbclient = pytest.importorskip(
    "nbclient", reason="the extra notebooks is not installed"
)
nbformat = pytest.importorskip("nbformat")

BARS = """
import time
from adlib import _progress
from adlib._progress import ProgressBar
_progress.DELAY = 0.1
for enabled in (True, False):
    with ProgressBar("Reading", 1000, enabled=enabled) as bar:
        for number in range(1000):
            bar.advance()
            time.sleep(0.002)
        print("between")
"""
MODEL = """
import numpy as np
from adlib import PatchCore
images = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
model = PatchCore(image_size=64, coreset=0.5).fit(images)
"""


class Client(nbclient.NotebookClient):
    """What runs a notebook, and counts the messages of its kernel by their type."""

    def __init__(self, *cells):
        cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        super().__init__(nbformat.v4.new_notebook(cells=cells), timeout=120)
        self.counts = Counter()

    def process_message(self, message, cell, cell_index):
        self.counts[message["msg_type"]] += 1
        return super().process_message(message, cell, cell_index)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run cells in a new kernel; return their outputs and how many messages came."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # no profile of the user's

    def run(*cells):
        client = Client(*cells)
        client.execute()
        return [cell.outputs for cell in client.nb.cells], client.counts

    return run


def test_a_bar_is_one_output_however_many_steps_and_ends_empty(run):
    (outputs, after), counts = run(BARS, "print('after')")
    (bar,) = [one for one in outputs if one.output_type == "display_data"]
    assert bar.data == {"text/plain": "", "text/html": ""}
    said = [one.text for one in outputs if one.output_type == "stream"]
    assert "".join(said) == "between\nbetween\n"  # as printed, no warning beside it
    assert [one.text for one in after] == ["after\n"]
    assert counts["display_data"] == 1
    # Of 2 seconds, two drawings a second and the last.
    assert 3 <= counts["update_display_data"] <= 12
    assert not {"comm_open", "clear_output"} & counts.keys()  # there is no widget


@pytest.mark.slow
def test_cards_are_shown_for_a_model_and_a_result(run):
    (_, *shown), _ = run(MODEL, "model", "next(model.inspect(images))")
    for (output,), text in zip(shown, ["learned from", "score"], strict=True):
        assert output.output_type == "execute_result"
        assert text in output.data["text/html"]
        assert "text/plain" in output.data
