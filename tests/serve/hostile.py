"""Send a service what nobody sends by accident, and see that nothing comes of it.

    python -m tests.serve.hostile --uploads 10000 --seed 0

Images of every format that may come are cut, changed in some bytes, joined to others,
renamed, or state what they do not hold; among them are bombs of deflate in PNG, TIFF
and color profiles, and forms whose file names are paths. The service runs in a process
of its own. Its answers must be 200, 400, 413, 415 or 422; a good image must score what
``inspect`` says, after all as before; the process must not grow beyond ``--slack``
megabytes, and no file may be written where it runs, among its models or in its folder
for temporary files.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from adlib import PatchCore
from tests.conftest import scratched, texture
from tests.serve.conftest import Client, form, png
from tests.serve.kills import running

ALLOWED = {200, 400, 413, 415, 422}
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
NAMES = (
    "../../etc/cron.d/x", "/etc/passwd", "C:\\x.png", "..\\..\\x.png", "a\x00.png",
    "<script>alert(1)</script>.png", "'; DROP TABLE results;--", "\u202egnp.exe", "",
    "n" * 5000, "con", "file://x", "part.adlib", "%2e%2e%2fx.png", "{{7*7}}.png",
)  # fmt: skip


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file of a format."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG, with a right checksum."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png_of(height: int, width: int, data: bytes, *chunks: bytes) -> bytes:
    """Return a PNG that states a size, with other chunks before its data."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = b"".join(chunks) + chunk(b"IDAT", data)
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def tiff_bomb(n_bytes: int, bits: int, samples: int) -> bytes:
    """Return a TIFF of 8x8 pixels whose one strip inflates to so many bytes."""
    data = zlib.compress(bytes(n_bytes), 9)
    photometric = 1 if samples == 1 else 2
    tags = [
        (256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, bits), (259, 3, 1, 8),
        (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, samples),
        (278, 3, 1, 8), (279, 4, 1, len(data)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\x00" + struct.pack("<I", 8 + len(data)) + data + directory


def bombs() -> list[bytes]:
    """Return small files that would take gigabytes."""
    gigabyte = zlib.compress(bytes(10**9), 9)
    profile = chunk(b"iCCP", b"x\x00\x00" + gigabyte)
    text = chunk(b"zTXt", b"x\x00\x00" + gigabyte)
    plain = zlib.compress(bytes(9 * 8))
    deep = io.BytesIO()
    tifffile.imwrite(deep, np.zeros((9, 9, 3), np.uint16), compression="zlib")
    many = [Image.new("L", (8, 8), i % 256) for i in range(2000)]
    frames = io.BytesIO()
    many[0].save(frames, format="GIF", save_all=True, append_images=many[1:])
    return [
        png_of(60_000, 60_000, zlib.compress(bytes(60_000))),
        png_of(7_000, 7_000, gigabyte),
        png_of(8, 8, gigabyte),
        png_of(8, 8, plain, profile),
        png_of(8, 8, plain, text),
        *(tiff_bomb(10**9, bits, n) for bits in (8, 16) for n in (1, 3)),
        deep.getvalue().replace(struct.pack("<HHII", 256, 3, 1, 9), b"\xff" * 12),
        frames.getvalue(),
        encoded(np.zeros((7_000, 7_000), np.uint8), "PNG"),
        b"\xff\xd8" + b"\xff\xda\x00\x08" * 5000,
    ]


def changes(images: list[bytes], rng: random.Random) -> list[Callable[[], bytes]]:
    """Return ways to make a hostile body of good ones."""

    def cut() -> bytes:
        whole = rng.choice(images)
        return whole[: rng.randrange(1, len(whole))]

    def changed() -> bytes:
        whole = bytearray(rng.choice(images))
        near = rng.choice((64, 512, len(whole)))  # most often in the header
        for _ in range(rng.choice((1, 2, 4, 16))):
            whole[rng.randrange(min(near, len(whole)))] = rng.randrange(256)
        return bytes(whole)

    def stretched() -> bytes:
        whole = rng.choice(images)
        place = rng.randrange(min(512, len(whole)))
        number = rng.choice((0xFF, 0x7F, 0x00))
        return whole[:place] + bytes([number]) * 4 + whole[place + 4 :]

    def joined() -> bytes:
        one, other = rng.choice(images), rng.choice(images)
        starts = (b"PK\x03\x04", b"%PDF-1.7\n", b"<svg onload=alert(1)>", b"")
        return rng.choice(starts) + one[: rng.randrange(len(one))] + other

    return [cut, changed, stretched, joined]


def attack(n_uploads: int, seed: int, slack: float) -> Counter[str]:
    """Send so many; return how many there were of each kind and status."""
    rng = random.Random(seed)
    pictures = [
        texture(10),
        scratched(13),
        np.stack([texture(i) for i in (1, 2, 3)], 2),
    ]
    images = [encoded(one, kind) for one in pictures for kind in FORMATS]
    images += [encoded(pictures[0], "TIFF", compression="tiff_lzw")]
    images += [encoded(pictures[0].astype(np.uint16) * 257, "PNG")]
    makers, big = changes(images, rng), bombs()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        folder, scratch, here = (
            Path(place, name) for name in ("models", "tmp", "here")
        )
        for made in (folder, scratch, here):
            made.mkdir()
        model = PatchCore(image_size=64, coreset=0.2, device="cpu", progress=False)
        model.fit([texture(i) for i in range(6)])
        model.calibrate([texture(i) for i in range(20, 26)], false_positive_rate=0.2)
        model.save(folder / "part.adlib")
        good, wanted = png(pictures[0]), float(model.score([pictures[0]])[0])
        os.environ["TMPDIR"] = str(scratch)
        with running(folder, "--timeout", "60", cwd=here) as (client, process):
            first = 0.0
            for number in range(n_uploads):
                if number % 20 == 0:
                    kind, body = "bomb", big[number // 20 % len(big)]
                else:
                    make = rng.choice(makers)
                    kind, body = make.__name__, make()
                status = sent(client, body, rng)
                assert status in ALLOWED, (kind, status, body[:80])
                counts[f"{kind} {status}"] += 1
                if number == min(400, n_uploads - 1):  # each bomb has come
                    first = peak(process.pid)
                if number % 500 == 499 or number == n_uploads - 1:
                    (one,) = client.inspect(good).json["images"]
                    assert one["score"] == wanted
                    most = peak(process.pid)
                    print(f"{number + 1} uploads, {most:.0f} MB at most", flush=True)
            assert most - first <= slack, f"it grew from {first:.0f} to {most:.0f} MB"
            found = [path.name for path in folder.iterdir()]
            assert found == ["part.adlib"], found
            for place_of_files in (scratch, here):
                assert list(place_of_files.rglob("*")) == []
    return counts


def peak(process: int) -> float:
    """Return the most megabytes that a process of Linux has had so far."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def sent(client: Client, body: bytes, rng: random.Random) -> int:
    """Send a body in one of several ways; return the status of the answer."""
    way = rng.randrange(4)
    if way == 0:
        names = rng.choices(NAMES, k=rng.randrange(1, 4))
        data, headers = form(*((name, body) for name in names))
        data = data[: len(data) - rng.choice((0, 0, 0, 9))]
        return int(client.inspect(data, **headers).status)
    kind = rng.choice(("image/png", "image/svg+xml", "application/octet-stream"))
    query = rng.choice(("", "", "?map=npy", "?map=png"))
    return int(client.inspect(body, "part", query, Content_Type=kind).status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slack", type=float, default=100.0)
    asked = parser.parse_args()
    for kind, count in sorted(attack(asked.uploads, asked.seed, asked.slack).items()):
        print(f"{count:6} {kind}")


if __name__ == "__main__":
    main()
