"""Frozen backbones and the patch embeddings that they give."""

from adlib.features._backbone import DEFAULT_STRIDES, Backbone, Stage
from adlib.features._embedder import Embedder
from adlib.features._embedding import (
    EMBEDDINGS,
    Embedding,
    embedding_length,
    patch_embeddings,
)
from adlib.features._feature_cache import (
    FeatureCache,
    current_feature_cache,
    use_feature_cache,
    without_feature_cache,
)
from adlib.features._runtimes import PRECISIONS, RUNTIMES, Precision, Runtime
from adlib.features._weights import DEFAULT_BACKBONE, Normalisation, Weights

__all__ = [
    "DEFAULT_BACKBONE",
    "DEFAULT_STRIDES",
    "EMBEDDINGS",
    "PRECISIONS",
    "RUNTIMES",
    "Backbone",
    "Embedder",
    "Embedding",
    "FeatureCache",
    "Normalisation",
    "Precision",
    "Runtime",
    "Stage",
    "Weights",
    "current_feature_cache",
    "embedding_length",
    "patch_embeddings",
    "use_feature_cache",
    "without_feature_cache",
]
