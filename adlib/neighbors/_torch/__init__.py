"""Coreset and search with torch, for GPUs; the twin of ``_cpu``."""
