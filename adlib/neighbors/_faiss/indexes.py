"""FAISS indexes: how each kind is built, written to bytes, and read back.

All but the flat one are approximate. The constants were chosen on real patch embeddings
by recall; ``benchmarks/benchmarks/search.py`` tracks what they give.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from math import isqrt
from typing import Any

import numpy as np

from adlib._typing import AnyArray, Float32Array
from adlib._validation import refusal
from adlib.neighbors._bank import SearchKind

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
OWNER = "MemoryBank"

CLASSES: dict[SearchKind, str] = {
    "faiss-flat": "IndexFlatL2",
    "faiss-ivf": "IndexIVFFlat",
    "faiss-hnsw": "IndexHNSWFlat",
    "faiss-ivfpq": "IndexIVFPQ",
    "faiss-sq": "IndexIVFScalarQuantizer",
}
ON_GPU: tuple[SearchKind, ...] = ("faiss-flat", "faiss-ivf", "faiss-ivfpq", "faiss-sq")


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
    if kind == "faiss-flat":
        index = faiss.IndexFlatL2(n_features)
    elif kind == "faiss-hnsw":
        index = faiss.index_factory(n_features, f"HNSW{LINKS},Flat")
        index.hnsw.efConstruction = BUILD_WIDTH
        index.hnsw.efSearch = SEARCH_WIDTH
    else:
        n_lists = max(1, min(LISTS_PER_ROOT * isqrt(n_bank), n_bank // ROWS_A_LIST))
        n_bytes = code_bytes(n_features)
        # "np": not FAISS's polysemous training, which takes minutes and serves Hamming
        # distances alone.
        codes = {
            "faiss-ivf": "Flat",
            "faiss-sq": "SQ8",
            "faiss-ivfpq": f"PQ{n_bytes}np",
        }
        index = faiss.index_factory(
            index_width(kind, n_features), f"IVF{n_lists},{codes[kind]}"
        )
        index.nprobe = PROBES
        _train(index, kind, widened(rows, index.d))
    if kind == "faiss-hnsw" and _links_vary_with_threads(faiss):
        # OpenMP keeps the number apart for each thread that asks: the caller's stays.
        with ThreadPoolExecutor(1, initializer=_work_alone, initargs=(faiss,)) as pool:
            pool.submit(index.add, rows).result()
    else:
        index.add(widened(rows, index.d))
    return index


def _links_vary_with_threads(faiss: Any) -> bool:
    """Say whether FAISS's graphs depend on the order in which its threads run."""
    numbers = re.findall(r"\d+", faiss.__version__)[:3]
    return tuple(int(number) for number in numbers) < SAME_LINKS_SINCE


def _work_alone(faiss: Any) -> None:
    """Let FAISS use one thread in the calls of this thread."""
    faiss.omp_set_num_threads(1)


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


def code_bytes(n_features: int) -> int:
    """Return how many bytes a row takes in "faiss-ivfpq"."""
    wanted = -(-n_features // FEATURES_A_BYTE)
    return next((size for size in CODE_BYTES if size >= wanted), CODE_BYTES[-1])


def index_width(kind: SearchKind, n_features: int) -> int:
    """Return the features of an index: codes want a multiple of their bytes."""
    if kind != "faiss-ivfpq":
        return n_features
    n_bytes = code_bytes(n_features)
    return -(-n_features // n_bytes) * n_bytes


def widened(rows: Float32Array, width: int) -> Float32Array:
    """Return rows with zeros added up to a width, which moves no distance."""
    missing = width - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows


def left_out_parameters(kind: SearchKind, index: Any, selector: Any) -> Any:
    """Return search parameters that heed a selector, else as the index has them."""
    faiss = import_faiss(kind)
    if kind == "faiss-flat":
        return faiss.SearchParameters(sel=selector)
    if kind == "faiss-hnsw":
        return faiss.SearchParametersHNSW(sel=selector, efSearch=index.hnsw.efSearch)
    if kind == "faiss-ivfpq":
        return faiss.IVFPQSearchParameters(sel=selector, nprobe=index.nprobe)
    return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)


def index_on(kind: SearchKind, index: Any, device: str) -> Any:
    """Return a copy on the GPU where kind, device and FAISS allow it, else the index.

    The copy has not been run: no GPU was at hand with a FAISS that supports it.
    """
    faiss = import_faiss(kind)
    on_gpu = kind in ON_GPU and hasattr(faiss, "StandardGpuResources")
    if device == "cpu" or not on_gpu:
        return index
    number = int(device.partition(":")[2])
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), number, index)


def index_to_bytes(kind: SearchKind, index: Any) -> AnyArray:
    """Return an index as FAISS writes it, (n_bytes,) uint8."""
    data: AnyArray = import_faiss(kind).serialize_index(index)
    return data


def index_from_bytes(
    kind: SearchKind, data: AnyArray, n_bank: int, n_features: int
) -> Any:
    """Return the index that ``index_to_bytes`` wrote for such a bank.

    Raises:
        ValueError: The bytes hold no index of this kind and size, or one that names
            rows the bank does not have.
    """
    faiss = import_faiss(kind)
    width = index_width(kind, n_features)
    wanted = f"{CLASSES[kind]} of {n_bank} rows and {width} features"
    rule = f"the bytes of a trained {wanted}"
    remedy = "Build the index anew: pass None."
    try:
        index = faiss.deserialize_index(np.ascontiguousarray(data))
    except (RuntimeError, MemoryError, AssertionError) as error:
        came = "what FAISS cannot read"
        raise ValueError(refusal("index", OWNER, rule, came, remedy)) from error
    found = f"{type(index).__name__} of {index.ntotal} rows and {index.d} features"
    whole = index.is_trained and index.metric_type == faiss.METRIC_L2
    if found != wanted or not whole:
        raise ValueError(refusal("index", OWNER, rule, found, remedy))
    if not _names_the_bank(faiss, kind, index, n_bank):
        came = "one that names other rows"
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
