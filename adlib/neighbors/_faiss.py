"""Nearest neighbours with FAISS: an index names candidates, float64 sums decide.

The index is asked for a few more candidates than are wanted. Their distances are
measured like the exact engines', so a distance is always the true one to the row that
it stands beside; what an approximate index can get wrong is only which rows it names.
A query for which it names too few is searched in full.

The constants were chosen on real patch embeddings by recall;
``benchmarks/benchmarks/search.py`` tracks what they give.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib import import_module
from math import isqrt
from typing import Any

import numpy as np

from adlib._compile import compiled
from adlib._threads import Threads, available_threads, run_in_slices, undivided
from adlib._typing import AnyArray, Float32Array, Float64Array, Int64Array
from adlib._validation import refusal
from adlib.neighbors._bank import OWNER, UNTRAINED, SearchKind
from adlib.neighbors._cpu.distances import squared_distance
from adlib.neighbors._cpu.search import ExactSearch

SPARE = 8  # candidates beyond those asked for: coarse codes confuse near ones
MOST_ON_GPU = 2048  # candidates that FAISS's GPU indexes can give
# Inverted lists: 4 * sqrt(n) of them, as FAISS's guidelines have it, as long as each
# keeps the 39 rows that its k-means wants.
LISTS_PER_ROOT, ROWS_A_LIST = 4, 39
PROBES = 32  # lists that a query visits
# Product quantiser: a byte for every four features or more. A GPU takes these numbers
# of bytes; wider ones need half precision there.
CODE_BYTES = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48)
FEATURES_A_BYTE = 4
CENTROIDS = 256  # what a byte can name
PQ_ITERATIONS = 10  # of k-means; FAISS's 25 take longer and find no more
# HNSW: M, efConstruction, efSearch. A wide build takes longer, once, and finds more at
# the same speed; FAISS's own 40 and 16 lose recall as banks grow.
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 200, 64
SAME_LINKS_SINCE = (1, 15, 1)  # of FAISS; measured, by building on one to five threads
SEED = 1234  # of every k-means

CLASSES: dict[SearchKind, str] = {
    "faiss-flat": "IndexFlatL2",
    "faiss-ivf": "IndexIVFFlat",
    "faiss-hnsw": "IndexHNSWFlat",
    "faiss-ivfpq": "IndexIVFPQ",
    "faiss-sq": "IndexIVFScalarQuantizer",
}


class FaissSearch:
    """Nearest neighbours among the candidates of a FAISS index, built or ``stored``.

    Searches that leave groups out stay on the CPU, since GPU indexes cannot.
    """

    @undivided()
    def __init__(
        self,
        kind: SearchKind,
        points: Float32Array,
        groups: Int64Array,
        device: str = "cpu",
        stored: AnyArray | None = None,
    ) -> None:
        self._kind = kind
        self._points = points
        self._groups = groups
        self._faiss = import_faiss(kind)
        if stored is None:
            self._index = build_index(kind, points)
        else:
            self._index = _read_index(kind, stored, *points.shape)
        self._fast_index = index_on(kind, self._index, device)

    def index_bytes(self) -> AnyArray | None:
        """Return the index, (n_bytes,) uint8; None where the bank is all there is."""
        if self._kind in UNTRAINED:
            return None
        data: AnyArray = self._faiss.serialize_index(self._index)
        return data

    @undivided()
    def kneighbors(
        self, queries: Float32Array, n_neighbors: int, left_out: Int64Array | None
    ) -> tuple[Float64Array, Int64Array]:
        """Return squared distances and indices; see ``Search``."""
        n_candidates = min(n_neighbors + SPARE, len(self._points))
        candidates = self._candidates(queries, n_candidates, left_out)
        squared = self._measure(queries, candidates)
        order = np.lexsort((candidates, squared))[:, :n_neighbors]
        squared = np.take_along_axis(squared, order, axis=1)
        indices = np.take_along_axis(candidates, order, axis=1)
        incomplete = np.flatnonzero(np.isinf(squared[:, -1]))
        if incomplete.size:
            again = queries[incomplete]
            skipped = None if left_out is None else left_out[incomplete]
            found = self._exact.kneighbors(again, n_neighbors, skipped)
            squared[incomplete], indices[incomplete] = found
        return squared, indices

    def _candidates(
        self, rows: Float32Array, n_candidates: int, left_out: Int64Array | None
    ) -> Int64Array:
        """Return candidates for each query, (n_queries, n_candidates); -1 is none."""
        rows = _widened(rows, self._index.d)
        if left_out is None:
            small = n_candidates <= MOST_ON_GPU
            index = self._fast_index if small else self._index
            candidates: Int64Array = index.search(rows, n_candidates)[1]
            return candidates
        candidates = np.empty((len(rows), n_candidates), np.int64)
        for group in np.unique(left_out):
            which = np.flatnonzero(left_out == group)
            inside = self._faiss.IDSelectorBatch(np.flatnonzero(self._groups == group))
            parameters = self._parameters(self._faiss.IDSelectorNot(inside))
            found = self._index.search(rows[which], n_candidates, params=parameters)
            candidates[which] = found[1]
        return candidates

    def _parameters(self, selector: Any) -> Any:
        """Return search parameters that heed a selector, else as the index has them."""
        if self._kind == "faiss-flat":
            return self._faiss.SearchParameters(sel=selector)
        if self._kind == "faiss-hnsw":
            width = self._index.hnsw.efSearch
            return self._faiss.SearchParametersHNSW(sel=selector, efSearch=width)
        probes = self._index.nprobe
        return self._faiss.SearchParametersIVF(sel=selector, nprobe=probes)

    def _measure(self, rows: Float32Array, candidates: Int64Array) -> Float64Array:
        """Return squared distances to candidates, inf where there is none."""
        squared = np.full(candidates.shape, np.inf)

        def measure(first: int, last: int) -> None:
            part = slice(first, last)
            _measure(rows[part], self._points, candidates[part], squared[part])

        n_threads = available_threads()
        with Threads(n_threads) as pool:
            run_in_slices(pool, n_threads, len(rows), measure)
        return squared

    @cached_property
    def _exact(self) -> ExactSearch:
        return ExactSearch(self._points, self._groups)


def import_faiss(kind: SearchKind) -> Any:
    """Return the module ``faiss``, whose wrappers are made at run time, or raise."""
    try:
        return import_module("faiss")
    except ImportError:
        raise ImportError(
            f'search="{kind}" needs FAISS. Run: '
            'pip install "adlib-vision[faiss]", or take search="exact".'
        ) from None


def build_index(kind: SearchKind, rows: Float32Array) -> Any:
    """Return a trained CPU index over rows, (n_bank, n_features).

    The same rows give the same bytes, on any number of threads (tested). FAISS before
    1.15.1 needs to link an HNSW graph on one thread for that, which takes longer.
    """
    faiss = import_faiss(kind)
    n_bank, n_features = rows.shape
    alone = False
    if kind == "faiss-flat":
        index = faiss.IndexFlatL2(n_features)
    elif kind == "faiss-hnsw":
        index = faiss.index_factory(n_features, f"HNSW{LINKS},Flat")
        index.hnsw.efConstruction = BUILD_WIDTH
        index.hnsw.efSearch = SEARCH_WIDTH
        release = tuple(map(int, re.findall(r"\d+", faiss.__version__)[:3]))
        alone = release < SAME_LINKS_SINCE
    else:
        n_lists = max(1, min(LISTS_PER_ROOT * isqrt(n_bank), n_bank // ROWS_A_LIST))
        n_bytes, width = code_shape(kind, n_features)
        # "np": not FAISS's polysemous training, which takes minutes and serves Hamming
        # distances alone.
        codes = {
            "faiss-ivf": "Flat",
            "faiss-sq": "SQ8",
            "faiss-ivfpq": f"PQ{n_bytes}np",
        }
        index = faiss.index_factory(width, f"IVF{n_lists},{codes[kind]}")
        index.nprobe = PROBES
        rows = _widened(rows, width)
        _train(index, kind, rows)
    if alone:
        # OpenMP keeps the number apart for each thread that asks: the caller's stays.
        with ThreadPoolExecutor(1, "", faiss.omp_set_num_threads, (1,)) as pool:
            pool.submit(index.add, rows).result()
    else:
        index.add(rows)
    return index


def _train(index: Any, kind: SearchKind, rows: Float32Array) -> None:
    """Find centroids and codes with a fixed seed; rows repeat where they are few."""
    clusterings = [index.cp]
    if kind == "faiss-ivfpq":
        index.pq.cp.niter = PQ_ITERATIONS
        index.pq.cp.max_points_per_centroid = ROWS_A_LIST
        clusterings.append(index.pq.cp)
        n_rows = max(len(rows), CENTROIDS)  # FAISS wants as many rows as centroids
        rows = np.resize(rows, (n_rows, rows.shape[1]))
    for clustering in clusterings:
        clustering.seed = SEED
        clustering.min_points_per_centroid = 1  # fewer than FAISS likes: no warning
    index.train(rows)


def code_shape(kind: SearchKind, n_features: int) -> tuple[int, int]:
    """Return a row's bytes in "faiss-ivfpq", and the features that an index takes.

    Codes want a multiple of their bytes.
    """
    wanted = -(-n_features // FEATURES_A_BYTE)
    n_bytes = next((size for size in CODE_BYTES if size >= wanted), CODE_BYTES[-1])
    missing = -n_features % n_bytes if kind == "faiss-ivfpq" else 0
    return n_bytes, n_features + missing


def _widened(rows: Float32Array, width: int) -> Float32Array:
    """Return rows with zeros added up to a width, which moves no distance."""
    missing = width - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows


def index_on(kind: SearchKind, index: Any, device: str) -> Any:
    """Return a copy on the GPU where kind, device and FAISS allow it, else the index.

    The copy has not been run: no GPU was at hand with a FAISS that supports it.
    """
    faiss = import_faiss(kind)
    on_gpu = kind != "faiss-hnsw" and hasattr(faiss, "StandardGpuResources")
    if device == "cpu" or not on_gpu:
        return index
    number = int(device.partition(":")[2])
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), number, index)


def _read_index(kind: SearchKind, data: AnyArray, n_bank: int, n_features: int) -> Any:
    """Return the index that ``index_bytes`` gave of such a bank, or raise ValueError.

    It is refused if it is of another kind or size, or names rows that the bank lacks.
    """
    faiss = import_faiss(kind)
    _, width = code_shape(kind, n_features)
    wanted = f"{CLASSES[kind]} of {n_bank} rows and {width} features"
    rule = f"the bytes of a trained {wanted}"
    remedy = "Build the index anew: pass None."
    try:
        index = faiss.deserialize_index(np.ascontiguousarray(data))
    except (RuntimeError, MemoryError, AssertionError) as error:
        came = "what FAISS cannot read"
        raise ValueError(refusal("index", OWNER, rule, came, remedy)) from error
    came = f"{type(index).__name__} of {index.ntotal} rows and {index.d} features"
    fits = came == wanted and index.is_trained
    fits = fits and index.metric_type == faiss.METRIC_L2
    if fits and not _names_the_bank(faiss, kind, index, n_bank):
        fits, came = False, "one that names other rows"
    if not fits:
        raise ValueError(refusal("index", OWNER, rule, came, remedy))
    return index


def _names_the_bank(faiss: Any, kind: SearchKind, index: Any, n_bank: int) -> bool:
    """Say whether every row that an index can name is one of the bank's."""
    if kind == "faiss-hnsw":
        links = faiss.vector_to_array(index.hnsw.neighbors)
        entry = index.hnsw.entry_point
        inside = ((links >= -1) & (links < n_bank)).all()
        return bool(inside and 0 <= entry < n_bank and index.storage.ntotal == n_bank)
    lists = index.invlists
    sizes = [(k, lists.list_size(k)) for k in range(index.nlist)]
    named = [faiss.rev_swig_ptr(lists.get_ids(k), size) for k, size in sizes if size]
    return np.array_equal(np.sort(np.concatenate(named)), np.arange(n_bank))


@compiled()
def _measure(
    rows: Float32Array,
    bank: Float32Array,
    candidates: Int64Array,
    squared: Float64Array,
) -> None:  # pragma: no cover - compiled
    for i in range(candidates.shape[0]):
        for j in range(candidates.shape[1]):
            if candidates[i, j] >= 0:
                squared[i, j] = squared_distance(rows[i], bank[candidates[i, j]])
