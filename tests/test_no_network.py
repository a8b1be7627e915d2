"""Nothing is sent anywhere unasked: fit, score, save, load and demo with no sockets."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from adlib import PaDiM, PatchCore, load
from adlib.cli import main
from adlib.datasets import demo_root


class ReachedError(AssertionError):
    """Something tried to reach the network."""


@pytest.fixture
def no_network(monkeypatch):
    """Refuse every way out of this process but those to itself."""

    def refuse(*arguments, **options):
        raise ReachedError(f"a socket was used: {arguments[1:]}")

    for name in ("connect", "connect_ex", "sendto", "sendmsg", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)


def test_the_guard_guards(no_network):
    with pytest.raises(ReachedError), socket.socket() as one:
        one.connect(("127.0.0.1", 9))
    with pytest.raises(ReachedError):
        socket.getaddrinfo("localhost", 80)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize("detector", [PatchCore, PaDiM])
def test_a_detector_reaches_for_nothing(no_network, tmp_path, detector, runtime):
    X = np.random.default_rng(0).random((24, 64, 64, 3), dtype=np.float32)
    model = detector(image_size=64, runtime=runtime, false_positive_rate=0.1).fit(X)
    model.save(tmp_path / "model.adlib")
    assert np.isfinite(load(tmp_path / "model.adlib").score(X)).all()


@pytest.mark.slow
def test_the_demo_set_and_the_command_line_reach_for_nothing(
    no_network, tmp_path, capsys
):
    root = demo_root(tmp_path / "cache")
    good = root / "brick/train/good"
    model = tmp_path / "model.adlib"
    main(["fit", str(good), "--output", str(model), "--image-size", "64"])
    main(["score", str(model), str(good)])
    main(["info", str(model)])
    assert "PatchCore" in capsys.readouterr().out
