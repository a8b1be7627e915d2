"""Whole experiments as functions that return typed results."""

from adlib.study._demo import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
