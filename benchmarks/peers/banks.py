"""Exact search in a real detector's memory banks: adlib and FAISS's flat index.

The banks are coresets of 1, 5 and 10 % of the patches of 320 good screws at 320x320;
the queries are all patches of a test image, another one in each round.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from _clock import alternate, compared, one_by_one
from _work import embeddings, paths_in

from adlib.neighbors import MemoryBank, greedy_coreset

SHARES, SIDE, ROUNDS = (0.01, 0.05, 0.1), 320, 9
TOP = 16  # patches whose mean is the image score: 1 % of 1,600


def measure(data: Path) -> list[dict]:
    good = embeddings(paths_in(data / "screw" / "train" / "good", 320), SIDE)
    known = good.reshape(-1, good.shape[-1])
    some = paths_in(data / "screw" / "test")[::18]  # good ones, and each kind of defect
    asked = [one.reshape(-1, one.shape[-1]) for one in embeddings(some, SIDE)]
    # A smaller greedy coreset is the beginning of a larger one.
    chosen = greedy_coreset(known, int(max(SHARES) * len(known)), start=0, device="cpu")
    results = []
    for share in SHARES:
        bank = known[chosen[: int(share * len(known))]]
        results += _compare(bank, asked, f"{100 * share:.0f} %")
    return results


def _compare(bank: np.ndarray, images: list[np.ndarray], share: str) -> list[dict]:
    ours = MemoryBank(bank, device="cpu")
    flat = faiss.IndexFlatL2(bank.shape[1])
    flat.add(bank)
    calls = {
        "adlib": lambda image: ours.kneighbors(image, 1),
        "score": lambda image: ours.farthest(image[None], TOP),
        "FAISS flat": lambda image: flat.search(image, 1),
    }
    turns = {name: one_by_one(call, images) for name, call in calls.items()}
    seconds = alternate(ROUNDS, **turns)
    theirs = seconds["FAISS flat"]
    shape = f"{len(images[0]):,} x {len(bank):,} ({share}), d = {bank.shape[1]}"
    agreement = {"largest relative difference": _difference(ours, flat, images)}
    whole = {"adlib": seconds["adlib"], "FAISS flat": theirs}
    alone = {"adlib": seconds["score"], "FAISS flat, all patches": theirs}
    return [
        *compared(f"all patches, {shape}", whole, agreement=agreement),
        *compared(f"what the image score needs, {shape}", alone, agreement=agreement),
    ]


def _difference(ours: MemoryBank, flat, images: list[np.ndarray]) -> float:
    """Return by how much distances differ, of all patches and of the farthest."""
    found = []
    for image in images:
        theirs = np.sqrt(flat.search(image, 1)[0][:, 0])
        whole = ours.kneighbors(image, 1).distances[:, 0]
        top = np.sort(ours.farthest(image[None], TOP).distances[0])[-TOP:]
        found.append(np.max(np.abs(whole - theirs) / whole))
        found.append(np.max(np.abs(top - np.sort(theirs)[-TOP:]) / top))
    return float(max(found))
