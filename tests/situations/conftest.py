"""The place where situations happen."""

from __future__ import annotations

import pytest

from tests.situations.situation import Place


@pytest.fixture
def place(tmp_path, good, fitted, capsys):
    """What a situation may use."""
    return Place(tmp_path, good, fitted, capsys)
