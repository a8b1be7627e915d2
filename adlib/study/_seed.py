"""One seed for every generator that a script may draw from."""

from __future__ import annotations

import random

import numpy as np

from adlib._validation import check_int

LARGEST = 2**32 - 1  # NumPy's global generator takes no more


def set_seed(seed: int = 42) -> None:
    """Seed Python, NumPy and torch (all GPUs), and make cuDNN deterministic.

    adlib's own results depend on their ``random_state`` alone. This is for the other
    code of a script: it sets global state, so call it once, at the start.

    Args:
        seed: In [0, 2^32 - 1].

    Raises:
        TypeError: ``seed`` is no integer.
        ValueError: ``seed`` is not in [0, 2^32 - 1].
    """
    import torch  # noqa: PLC0415 - heavy

    check_int(seed, "seed", "set_seed", low=0, high=LARGEST)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the one that others draw from
    torch.manual_seed(seed)  # every device's
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
