"""Other machines need a key; only its hash is kept."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from adlib.cli import main
from adlib.serve._keys import Keys, add_key
from adlib.serve._server import server
from tests.serve.conftest import png, serving

ROOT = Path(__file__).parents[2]
# The first versions without the holes that were known in November 2026.
SAFE = {"starlette": "1.3.1", "python-multipart": "0.0.31", "h11": "0.16"}


def test_a_service_for_other_machines_does_not_start_without_keys(models):
    for host in ("0.0.0.0", "::", "192.168.1.7", "line-3.example"):
        with pytest.raises(ValueError, match=r"--keys must name a file of API keys"):
            server(models, host=host)
    for host in ("127.0.0.1", "::1", "localhost"):
        assert server(models, host=host, device="cpu")


def test_requests_without_a_right_key_are_refused_before_anything_else(
    models, mixed, tmp_path
):
    file = tmp_path / "keys.txt"
    first, second = add_key(file, "line-3"), add_key(file, "tablet")
    image = png(mixed[0])
    wrong = ["", "Bearer", "Bearer x", f"Basic {first}", f"Bearer {first}x"]
    wrong += [f"Bearer {first[:-1]}", "Bearer \xff"]
    with serving(models, host="127.0.0.1", keys=file) as client:
        for value in wrong:
            headers = {"Authorization": value} if value else {}
            reply = client.inspect(image, **headers)
            assert reply.status == 401, value
            assert reply.headers["WWW-Authenticate"] == "Bearer"
            assert client.inspect(image, "nut", **headers).status == 401
        for path in ("/ready", "/metrics"):
            assert client("GET", path).status == 401
        for path in ("/health", "/docs", "/openapi.json"):
            assert client("GET", path).status == 200
            assert "line-3" not in client("GET", path).body.decode()
        for key in (first, second):
            headers = {"Authorization": f"Bearer {key}"}
            assert client.inspect(image, **headers).status == 200
            assert client("GET", "/ready", **headers).status == 200
        # Behind a name, which only a service without keys refuses
        reply = client.inspect(image, Host="line.example", **headers)
        assert reply.status == 200


def test_the_file_holds_hashes_alone_and_only_its_owner_reads_it(tmp_path):
    file = tmp_path / "keys.txt"
    key = add_key(file, "tablet")
    assert len(key) == 43  # 32 bytes
    assert key not in file.read_text()
    assert re.fullmatch(r"tablet [0-9a-f]{64}\n", file.read_text())
    assert file.stat().st_mode & 0o077 == 0
    assert Keys(file).name_of(key) == "tablet"
    with pytest.raises(ValueError, match="must be a new name"):
        add_key(file, "tablet")
    for name in ("", "a b", "a\nb", "x" * 65):
        with pytest.raises(ValueError, match="--new-key must be up to 64 letters"):
            add_key(file, name)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "holds none"),
        ("# a comment\n\n", "holds none"),
        ("tablet secret\n", "Line 1 of"),
        (f"a {'0' * 64}\na {'1' * 64}\n", "Line 2 of"),
    ],
)
def test_a_damaged_file_of_keys_is_refused(tmp_path, text, part):
    file = tmp_path / "keys.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=part):
        Keys(file)


def test_keys_are_compared_in_constant_time(monkeypatch, tmp_path):
    file = tmp_path / "keys.txt"
    keys = [add_key(file, name) for name in ("a", "b", "c")]
    compared = []

    def noted(a, b):
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("adlib.serve._keys.hmac.compare_digest", noted)
    known = Keys(file)
    assert [known.name_of(key) for key in [*keys, "x"]] == ["a", "b", "c", None]
    assert len(compared) == 12  # all, whether the first is right or none


def test_without_keys_only_names_of_this_machine_are_answered(client, mixed):
    for host in ("evil.example", "127.0.0.1.evil.example"):
        assert client.inspect(png(mixed[0]), Host=host).status == 400
    assert client("GET", "/health", Host=f"localhost:{client.port}").status == 200


def test_no_path_of_a_request_reaches_a_file(client, models, mixed):
    for name in (
        "../part",
        "..%2Fmodels%2Fpart",
        "part.adlib",
        "%00",
        "%2Fetc%2Fpasswd",
    ):
        assert client.inspect(png(mixed[0]), name).status == 404
    assert client("GET", "/../part.adlib").status == 404
    assert client("GET", "/models/part.adlib").status == 404


def test_headers_leave_nothing_to_a_browser(client):
    for path in ("/health", "/docs", "/nowhere", "/metrics"):
        headers = client("GET", path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers
        assert "Access-Control-Allow-Origin" not in headers


def test_versions_with_known_holes_are_excluded():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = map(Requirement, project["optional-dependencies"]["serve"])
    bounds = {one.name: next(iter(one.specifier)).version for one in extra}
    for name, version in SAFE.items():
        assert Version(bounds[name]) >= Version(version)


def test_the_command_makes_keys_and_refuses_what_is_not_safe(tmp_path, capsys, models):
    file = tmp_path / "keys.txt"
    assert main(["serve", "--new-key", "tablet", "--keys", str(file)]) == 0
    key = capsys.readouterr().out.strip()
    assert Keys(file).name_of(key) == "tablet"
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "part.adlib").write_bytes(b"x")
    cases = {
        ("--new-key", "tablet"): "--new-key needs --keys",
        (): "MODELS must be a folder",
        (str(tmp_path / "empty"),): "must hold a model that loads; got none of *.adlib",
        (str(tmp_path / "broken"),): "part.adlib is not in service",
        (str(tmp_path / "nowhere"),): "nowhere",
        (str(models), "--host", "0.0.0.0"): "--keys must name a file",
        (str(models), "--timeout", "0"): "seconds of the limits must be above 0",
    }
    for words, text in cases.items():
        assert main(["serve", *words]) == 1
        assert text in capsys.readouterr().err


def test_options_come_from_the_environment_too(monkeypatch, capsys, models):
    monkeypatch.setenv("ADLIB_SERVE_HOST", "0.0.0.0")
    assert main(["serve", str(models)]) == 1
    assert "--host 0.0.0.0 can be reached" in capsys.readouterr().err
