"""Exact nearest neighbours: adlib, FAISS's flat index, scikit-learn, anomalib."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import torch
from _anomalib import patchcore_model
from _clock import alternate, compared
from _work import tile_embeddings, widened
from sklearn.neighbors import NearestNeighbors

from adlib.neighbors import MemoryBank, greedy_coreset

ROUNDS, N_BANK, ASKING = 15, 12_000, 299  # the last image asks, the others are the bank


def measure(data: Path) -> list[dict]:
    grids = tile_embeddings(data)
    chosen = greedy_coreset(
        grids[:ASKING].reshape(-1, grids.shape[-1]), N_BANK, start=0, device="cpu"
    )
    results = []
    for n_features in (1368, 152):
        known = widened(grids[:ASKING], n_features).reshape(-1, n_features)
        bank = known[chosen]
        queries = widened(grids[ASKING:], n_features).reshape(-1, n_features)
        del known
        results += _compare(bank, queries)
    return results


def _compare(bank: np.ndarray, queries: np.ndarray) -> list[dict]:
    ours = MemoryBank(bank, device="cpu")
    flat = faiss.IndexFlatL2(bank.shape[1])
    flat.add(bank)
    oracle = NearestNeighbors(algorithm="brute").fit(bank)
    model = patchcore_model(bank)
    asked = torch.from_numpy(queries)
    seconds = alternate(
        ROUNDS,
        **{
            "adlib": lambda: ours.kneighbors(queries, 1),
            "FAISS flat": lambda: flat.search(queries, 1),
            "scikit-learn": lambda: oracle.kneighbors(queries, 1),
            "anomalib": lambda: model.nearest_neighbors(asked, 1),
        },
    )
    squared = [((bank.astype(float) - query) ** 2).sum(axis=1) for query in queries]
    truly = np.argmin(squared, axis=1)
    found = ours.kneighbors(queries, 1)
    exact = np.sqrt(np.min(squared, axis=1))
    error = float(np.max(np.abs(found.distances[:, 0] - exact) / exact))
    agreement = {
        "same neighbours as float64": int((found.indices[:, 0] == truly).sum()),
        "FAISS's": int((flat.search(queries, 1)[1][:, 0] == truly).sum()),
        "largest relative error": error,
    }
    shape = f"{len(queries):,} x {len(bank):,}, d = {bank.shape[1]:,}"
    return compared(f"search, {shape}", seconds, agreement=agreement)
