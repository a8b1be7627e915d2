"""Frozen backbones and the patch embeddings that they give."""

from adlib.features._backbone import Backbone, Stage
from adlib.features._embedding import Embedder, patch_embeddings
from adlib.features._feature_cache import FeatureCache, use_feature_cache
from adlib.features._weights import Normalisation

__all__ = [
    "Backbone",
    "Embedder",
    "FeatureCache",
    "Normalisation",
    "Stage",
    "patch_embeddings",
    "use_feature_cache",
]
