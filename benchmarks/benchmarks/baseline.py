"""What costs time and memory before any work is done."""

from __future__ import annotations

import subprocess
import sys


class Import:
    """Importing adlib, which must stay quick, in a fresh interpreter."""

    def time_nothing(self):
        """Start the interpreter: what the other times hold beside the import."""
        subprocess.run([sys.executable, "-c", ""], check=True)

    def time_import(self):
        subprocess.run([sys.executable, "-c", "import adlib"], check=True)

    def time_import_estimator(self):
        command = "from adlib import PatchCore"
        subprocess.run([sys.executable, "-c", command], check=True)


class Idle:
    """Peak memory of a process that has imported everything and done nothing."""

    def peakmem_idle(self):
        from adlib import PatchCore

        PatchCore()
