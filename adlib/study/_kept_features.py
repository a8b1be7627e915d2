"""The feature cache that a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adlib.features import FeatureCache, use_feature_cache

if TYPE_CHECKING:
    from adlib.study._config import Config

GIGABYTE = 10**9


def keep_features(config: Config) -> FeatureCache | None:
    """Let backbones keep their feature maps from now on, as a configuration says.

    What the study takes the time of runs without: ``fit_on_split``, ``ablate`` and
    ``measure_model`` look past the cache.

    Args:
        config: The study's.

    Returns:
        The cache, or None where the configuration allows it no space.

    Raises:
        OSError: Its folder cannot be made.

    Example:
        >>> from adlib.study import Config, keep_features
        >>> keep_features(Config.from_dict({"cache": {"gigabytes": 0}})) is None
        True
    """
    limit = round(config.cache.gigabytes * GIGABYTE)
    cache = FeatureCache(config.cache.folder, limit) if limit else None
    use_feature_cache(cache)
    return cache
