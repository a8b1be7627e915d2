"""The command line: each command a module, with errors that say what to do.

What is heavy is imported inside the commands: `adlib --help` must not wait for torch.
"""

from adlib.cli._main import app, main

__all__ = ["app", "main"]
