"""Damage model files in every way and load them: adlib's own error, or a model.

    python -m tests.robustness.fuzz_models --executions 20000 --seed 0
    python -m tests.robustness.fuzz_models --coverage --seconds 300

Each execution takes one of the kept model files (tests/models) and damages it: flipped,
cut, repeated or moved bytes; lied lengths and shapes in safetensors' header; and,
behind a checksum that is made to fit again, other values, kinds and fields in adlib's
own header and tensors, as someone would who means harm. What loads must also score, or
say with an error of its own why not. Anything else (another exception, a crash) ends
the run and names the file that did it.

With ``--coverage``, atheris (``pip install atheris``) guides the damage by what code it
reaches; else a seeded generator draws it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

if "--coverage" in sys.argv:  # only what is imported under its eyes is watched
    import atheris

    # numba would not understand what atheris makes of compiled functions.
    compiled = [
        ".".join(path.with_suffix("").parts)
        for path in Path("adlib").rglob("*.py")
        if "@compiled" in path.read_text(encoding="utf-8")
    ]
    with atheris.instrument_imports(include=["adlib"], exclude=compiled):
        import adlib.estimators
import adlib
from adlib.estimators._model_file import METADATA_KEY, _checksum
from adlib.exceptions import ModelFileError

MODELS = Path(__file__).parents[1] / "models"
IMAGES = np.random.default_rng(0).integers(0, 256, (1, 32, 32), dtype=np.uint8)
# What a fitted estimator may say of a file whose fields are each possible, but which
# asks for what this machine lacks: memory, a device, a library.
ALLOWED = (ModelFileError, MemoryError, ImportError)
ODD = [
    None, True, -1, 0, 1, 2, 3, 10**6, 10**9, 2**31, 2**63, 2**70, 0.0, -0.5, 0.5,
    1e-300, 1e308, float("nan"), float("inf"), "", "a", "max", "cpu", "float32",
    "torch", "\0", [], [1], [0, 0], [1, 2, 3], [10**6, 10**6], [None], {}, {"a": 1},
    "hf_hub:a/b", "../x", "convnext_xxlarge", "vit_base_patch16_224", "faiss-hnsw",
    "reweighted", [[1]], "5" * 999,
]  # fmt: skip


def parts_of(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a model file's header, without its checksum, and its tensors."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(
        json.loads(content[8 : 8 + length])["__metadata__"][METADATA_KEY]
    )
    del header["sha256"]
    return header, load(content)


def signed(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    """Return the bytes of a model file whose checksum fits."""
    whole = {**header, "sha256": _checksum(header, tensors)}
    return save(tensors, {METADATA_KEY: json.dumps(whole)})


def flip(content: bytes, draw: random.Random) -> bytes:
    """Change some bytes."""
    damaged = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 4, 64])):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged)


def flip_header(content: bytes, draw: random.Random) -> bytes:
    """Change some bytes of the header."""
    (length,) = struct.unpack("<Q", content[:8])
    damaged = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 8])):
        damaged[draw.randrange(8 + length)] = draw.randrange(256)
    return bytes(damaged)


def cut(content: bytes, draw: random.Random) -> bytes:
    """Leave out, repeat or move a piece."""
    first, last = sorted(draw.randrange(len(content)) for _ in range(2))
    piece = content[first:last]
    return draw.choice(
        [
            content[:first],
            content[:first] + content[last:],
            content[:last] + piece + content[last:],
            piece + content,
        ]
    )


def lie(content: bytes, draw: random.Random) -> bytes:
    """Claim another length of the header, or other shapes, kinds and places."""
    (length,) = struct.unpack("<Q", content[:8])
    if draw.random() < 0.2:
        claimed = draw.choice([0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1])
        return struct.pack("<Q", claimed) + content[8:]
    header = json.loads(content[8 : 8 + length])
    name = draw.choice([name for name in header if name != "__metadata__"])
    entry = header[name]
    field = draw.choice(["dtype", "shape", "data_offsets", "name"])
    if field == "dtype":
        entry["dtype"] = draw.choice(
            ["F32", "F64", "I64", "U8", "BF16", "BOOL", "X", 3]
        )
    elif field == "name":
        header[draw.choice(["", "../x", "bank", "\0", "x" * 9999])] = header.pop(name)
    else:
        values = entry[field]
        if values:
            huge = [0, -1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1, 2**70]
            values[draw.randrange(len(values))] = draw.choice(huge)
        else:
            values.append(2**40)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def forge_header(content: bytes, draw: random.Random) -> bytes:
    """Change, drop or add fields of adlib's header behind a checksum that fits."""
    header, tensors = parts_of(content)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        place = draw.choice([header, header["parameters"], header["state"]])
        if not isinstance(place, dict) or not place:
            continue
        field = draw.choice(sorted(place))
        action = draw.random()
        if action < 0.1:
            del place[field]
        elif action < 0.2:
            place[draw.choice(["extra", "", "self", "__class__"])] = draw.choice(ODD)
        elif isinstance(place[field], list) and place[field] and action < 0.6:
            place[field][draw.randrange(len(place[field]))] = draw.choice(ODD)
        else:
            place[field] = draw.choice(ODD)
        if not isinstance(header.get("parameters"), dict) or not isinstance(
            header.get("state"), dict
        ):
            break
    return signed(header, tensors)


def forge_tensors(content: bytes, draw: random.Random) -> bytes:
    """Change, drop, reshape or add tensors behind a checksum that fits."""
    header, tensors = parts_of(content)
    own = [name for name in tensors if not name.startswith("backbone.")]
    names = own if draw.random() < 0.8 else sorted(tensors)
    for _ in range(draw.choice([1, 1, 2])):
        name = draw.choice(names)
        tensor = tensors.pop(name, None)
        action = draw.random()
        if tensor is None or action < 0.15:
            continue
        if action < 0.3:
            name = draw.choice(["extra", "backbone.extra", ""])
        change = draw.choice(CHANGES)
        tensors[name] = np.ascontiguousarray(change(tensor.copy(), draw))
    return signed(header, tensors)


def other_values(tensor: np.ndarray, draw: random.Random) -> np.ndarray:
    """Set one number, or all of them, to what no model has."""
    odd: list[float] = [0, 1, -1, 10**6, 2**31 - 1, -(2**31)]
    if tensor.dtype.kind == "f":
        odd += [np.nan, np.inf, -np.inf, 1e38, 1e-40]
    value = draw.choice(odd)
    if tensor.dtype.kind in "iu":
        limits = np.iinfo(tensor.dtype)
        value = min(max(value, limits.min), limits.max)
    flat = tensor.reshape(-1)
    place = (
        draw.randrange(len(flat)) if len(flat) and draw.random() < 0.5 else slice(None)
    )
    flat[place] = value
    return tensor


def other_length(tensor: np.ndarray, draw: random.Random) -> np.ndarray:
    """Shorten or double the first axis."""
    if not tensor.ndim:
        return tensor
    length = draw.choice([0, 1, len(tensor) // 2, 2 * len(tensor)])
    return np.concatenate([tensor, tensor])[:length]


def other_shape(tensor: np.ndarray, draw: random.Random) -> np.ndarray:
    """Flatten or turn the tensor, or add an axis."""
    return draw.choice([tensor.reshape(-1), tensor.T, tensor[None]])


def other_type(tensor: np.ndarray, draw: random.Random) -> np.ndarray:
    """Turn the numbers into others of another kind."""
    with np.errstate(all="ignore"):
        return tensor.astype(draw.choice([np.float64, np.int64, np.uint8, np.float32]))


CHANGES = [other_values, other_values, other_length, other_shape, other_type]


def bomb(content: bytes, draw: random.Random) -> bytes:
    """Put a JSON bomb into adlib's header: deep, long, or with endless numbers."""
    size = draw.choice([10**3, 10**5, 10**6])
    text = draw.choice(
        [
            "[" * size,
            '{"a":' * size,
            "[" + "[]," * size + "[]]",
            "1" * size,
            "-" * size,
            '"' + "\\u0000" * size + '"',
            '{"format": ' + "9" * size + "}",
            '{"format": 1e999}',
        ]
    )
    _, tensors = parts_of(content)
    return save(tensors, {METADATA_KEY: text})


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    flip, flip_header, cut, lie, forge_header, forge_tensors, bomb,
]  # fmt: skip


def outcome(content: bytes, path: Path) -> str:
    """Load a file and score one image; return how it went, or raise what is a fault."""
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = adlib.load(path, device="cpu")
    except ALLOWED as error:
        return type(error).__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.anomaly_maps(IMAGES)
            model.score(IMAGES)
    except (*ALLOWED, ValueError, TypeError) as error:
        return f"{type(error).__name__} when scoring"
    return "a model"


@cache
def originals() -> list[bytes]:
    """Return the kept model files that need no foreign reader."""
    return [
        path.read_bytes()
        for path in sorted(MODELS.glob("*.adlib"))
        if "hnsw" not in path.name  # FAISS's reader is not made for such files
    ]


def draw_damage(seed: int) -> tuple[str, bytes]:
    """Return the name of a damage and a file with it, the same for the same seed."""
    draw = random.Random(seed)
    damage = draw.choice(DAMAGES)
    return damage.__name__, damage(draw.choice(originals()), draw)


def run(executions: int, seed: int, path: Path) -> None:
    """Draw damages and count how they end."""
    counts: Counter[tuple[str, str]] = Counter()
    started = time.monotonic()
    for number in range(executions):
        name, content = draw_damage(seed * 10**9 + number)
        try:
            counts[name, outcome(content, path)] += 1
        except BaseException:
            print(f"draw_damage({seed * 10**9 + number}), {name}: kept at {path}")
            raise
    for (name, end), count in sorted(counts.items()):
        print(f"{name:14} {end:28} {count:8,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.monotonic() - started
    print(f"{executions:,} executions in {seconds:.0f} s, peak {peak:.0f} MB")


def run_guided(seconds: int, path: Path) -> None:
    """Let atheris choose the damages by the code that they reach."""
    import atheris

    def execute(choices: bytes) -> None:
        draw = random.Random(choices[8:])
        files = originals()
        content = files[choices[0] % len(files)] if choices else files[0]
        for choice in choices[1:4]:
            try:
                content = DAMAGES[choice % len(DAMAGES)](content, draw)
            except Exception:
                break  # what is damaged already cannot be taken apart again
        outcome(content, path)

    limits = [f"-max_total_time={seconds}", "-max_len=64", "-rss_limit_mb=4096"]
    kept = f"-artifact_prefix={path.parent}/"
    atheris.Setup([sys.argv[0], *limits, kept], execute)
    atheris.Fuzz()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--executions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coverage", action="store_true", help="guided by atheris")
    parser.add_argument("--seconds", type=int, default=300, help="with --coverage")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.adlib"
        if asked.coverage:
            run_guided(asked.seconds, path)
        else:
            run(asked.executions, asked.seed, path)


if __name__ == "__main__":
    main()
