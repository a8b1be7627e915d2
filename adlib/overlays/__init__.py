"""Anomaly maps laid over their images, for people. Needs the extra ``report``."""

try:
    from adlib.overlays._examined import save_examined
    from adlib.overlays._overlay import overlay
    from adlib.overlays._saved import save_overlays
except ModuleNotFoundError as error:
    raise ImportError(
        f"adlib.overlays needs the package {error.name!r}. "
        'Run: pip install "adlib-vision[report]"'
    ) from error

__all__ = ["overlay", "save_examined", "save_overlays"]
