"""What a fitted model really is, to be kept beside its results."""

from __future__ import annotations

from typing import Any

from adlib.estimators import AnomalyDetector, PaDiM, PatchCore
from adlib.features._embedding import embedding_length

# What changes speed alone, or says nothing of the model.
LEFT_OUT = {"batch_size", "device", "n_workers", "on_error", "progress"}


def model_facts(model: AnomalyDetector) -> dict[str, Any]:
    """Return what a fitted model is, as JSON has it, so that a report need not assume.

    Args:
        model: Fitted.

    Returns:
        "parameters" as given; "stages", each with stride and channels; "n_training";
        "grid", (height, width) of the patches; of PatchCore "n_bank" entries of
        "n_patches"; of PatchCore and PaDiM "n_embedded" features of an embedding and
        "n_features" that are kept of them.
    """
    parameters = model.get_params(deep=False)
    stages = model.backbone_.stages
    facts: dict[str, Any] = {
        "parameters": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in parameters.items()
            if name not in LEFT_OUT
        },
        "stages": [
            {"stride": stage.stride, "channels": stage.channels} for stage in stages
        ],
        "grid": list(model.grid_),
        "n_training": len(model.training_images_),
    }
    if isinstance(model, PatchCore):
        n_bank, n_features = model.memory_bank_.embeddings.shape
        facts |= {"n_bank": n_bank, "n_patches": model.n_patches_}
    elif isinstance(model, PaDiM):
        n_features = model.gaussian_.mean.shape[1]
    else:
        return facts
    channels = [stage.channels for stage in stages]
    n_embedded = embedding_length(model.embedding, channels)
    return facts | {"n_embedded": n_embedded, "n_features": n_features}
