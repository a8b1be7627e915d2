"""The report of a study, and the figures of its tables. Needs the extra ``report``."""

try:
    from adlib.report._study_report import write_study_report
except ModuleNotFoundError as error:
    raise ImportError(
        f"adlib.report needs the package {error.name!r}. "
        'Run: pip install "adlib-vision[report]"'
    ) from error

__all__ = ["write_study_report"]
