"""Coreset and search on the CPU, compiled with numba; the twin of ``_torch``."""
