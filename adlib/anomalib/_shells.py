"""Read a torch file that holds objects, without running any code that it names.

A pickle says which classes and functions to call. Here it gets the few that rebuild
tensors; every other name becomes an empty shell that keeps what it was given.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import torch
from torch._utils import _rebuild_parameter, _rebuild_tensor_v2

from adlib.exceptions import ModelFileError

# What torch.load(weights_only=True) would call of what anomalib's files name.
CALLED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
}


class Shell(dict[Any, Any]):
    """What is left of an object: the name of its class, its entries and attributes."""

    of: str = ""  # of the type, since an object may have an attribute of that name

    def __new__(cls, *args: Any, **kwargs: Any) -> Shell:
        """Take whatever the class of the object takes."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.given = args

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes of an object, whatever their names."""
        if isinstance(state, dict):
            self.__dict__.update(state)

    def append(self, entry: Any) -> None:
        """Let go of what a list of another class held."""

    extend = append

    def __hash__(self) -> int:  # type: ignore[override]  # members of sets, and keys
        return id(self)


class _Unpickler(pickle._Unpickler):  # it calls CALLED alone
    """Finds what rebuilds tensors, and shells for all else.

    Python's own: that in C takes memory for as many objects as a file says it has.
    """

    def find_class(self, module: str, name: str) -> Any:
        kind = getattr(torch, name, None) if module == "torch" else None
        if isinstance(kind, torch.dtype):
            return kind
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) in CALLED:
            return CALLED[module, name]
        return type("Shell", (Shell,), {"of": name})


def read_torch_file(path: str | os.PathLike[str]) -> Any:
    """Return what a torch file holds, its tensors on the CPU and shells for objects.

    Raises FileNotFoundError, or ModelFileError for a file of another kind or a damaged
    one.
    """
    shown = repr(os.fspath(path))
    if not os.path.exists(path):  # noqa: PTH110 - a path of any kind
        raise FileNotFoundError(f"There is no checkpoint at {shown}.")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
        names = [one.filename.rpartition("/")[2] for one in parts]
        is_script = "constants.pkl" in names  # TorchScript: code
        packed = any(one.compress_type for one in parts)  # a small file, of any size
        if "data.pkl" not in names or is_script or packed:
            raise ModelFileError(f"{shown} is not what torch.save writes.")
        limited = SimpleNamespace(__name__="limited", Unpickler=_Unpickler)
        return torch.load(
            path,
            map_location="cpu",
            pickle_module=limited,
            weights_only=False,  # what it would forbid, the unpickler above never runs
        )
    except ModelFileError:
        raise
    except Exception as error:  # torch and pickle raise many kinds on damaged files
        raise ModelFileError(
            f"{shown} is not a file that torch.save wrote, or it is damaged: {error}"
        ) from error
