"""Fit, score and search on many machines with Dask, with the results of one."""

from adlib.distributed._bank import ShardedBank
from adlib.distributed._fit import fit
from adlib.distributed._score import score

__all__ = ["ShardedBank", "fit", "score"]
