"""Keys that clients identify themselves by; a file holds their hashes alone."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sys
from pathlib import Path

from adlib._files import replacing

N_BYTES = 32  # of randomness in a key
NAME = re.compile(r"[\w.-]{1,64}")
LINE = re.compile(r"([\w.-]{1,64}) ([0-9a-f]{64})")


class Keys:
    """The keys of a file.

    A line of it is a name and the SHA-256 of a key; empty lines and those that begin
    with "#" do not count. A fast hash without salt is right here: a key is 32 random
    bytes, so there is no list of likely ones to try, and a slow hash would only delay
    every request.

    Args:
        path: The file.

    Raises:
        ValueError: A line is not as stated, or there is no key.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._hashes: dict[str, str] = {}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            found = LINE.fullmatch(line.strip())
            if found is None or found[1] in self._hashes:
                raise ValueError(
                    f"Line {number} of {str(path)!r} must be a new name and 64 "
                    "hexadecimal digits. `adlib serve --new-key NAME` writes it."
                )
            self._hashes[found[1]] = found[2]
        if not self._hashes:
            raise ValueError(
                f"{str(path)!r} must hold at least one key; it holds none. Make one by "
                f"`adlib serve --new-key NAME --keys {path}`."
            )

    def name_of(self, key: str) -> str | None:
        """Return the name of a key, None if it is not one of the file.

        All are compared, each in the same time however much of it is right.
        """
        given = _hash(key)
        found = None
        for name, kept in self._hashes.items():
            if hmac.compare_digest(given, kept):
                found = name
        return found


def add_key(path: Path, name: str) -> str:
    """Add a new random key to a file of keys, made if it is not there, and return it.

    Raises:
        ValueError: The name is taken, or has other characters than letters, digits,
            "_", "." and "-", or more than 64.
        OSError: The file cannot be read or written.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            "--new-key must be up to 64 letters, digits, '_', '.' and '-'; got "
            f"{name!r}."
        )
    text = path.read_text("utf-8") if path.exists() else ""
    if any(line.partition(" ")[0] == name for line in text.splitlines()):
        raise ValueError(
            f"--new-key must be a new name; got {name!r}, which {str(path)!r} has. "
            "Delete its line to withdraw that key."
        )
    if text and not text.endswith("\n"):
        text += "\n"
    key = secrets.token_urlsafe(N_BYTES)
    is_new = not path.exists()
    with replacing(path) as temporary:
        temporary.write_text(f"{text}{name} {_hash(key)}\n", encoding="utf-8")
    if is_new and sys.platform != "win32":
        path.chmod(0o600)
    return key


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
