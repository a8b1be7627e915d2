"""The service as a process: killed, stopped, started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.serve.conftest import png
from tests.serve.kills import kill, load, running


@pytest.mark.slow
def test_killed_under_load_it_comes_back_and_judges_the_same():
    total = kill(2, seed=0)
    assert total["answers"] > 0


@pytest.mark.slow
def test_a_signal_stops_it_and_all_it_accepted_is_answered(models, part, mixed):
    cases = [(png(image), float(part.score([image])[0])) for image in mixed]
    with running(models) as (client, process):
        over = threading.Event()
        threads, counts, wrong = load(client, cases, over)
        while counts["answers"] < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.slow
def test_its_log_is_lines_of_json(models):
    words = [sys.executable, "-m", "adlib", "serve", str(models), "--port", "0"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    lines = [json.loads(process.stderr.readline()) for _ in range(4)]
    process.terminate()
    lines += map(json.loads, process.communicate(timeout=60)[1].splitlines())
    assert {"time", "level", "logger", "message"} == set(lines[0])
    assert "part.adlib is in service" in lines[0]["message"]
    assert any("Uvicorn running" in line["message"] for line in lines)
