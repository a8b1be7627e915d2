"""Whole experiments, whose results are two tables: scores and figures."""

try:
    from adlib.study._compare import compare_conditions, compare_methods
    from adlib.study._config import Config, read_config, set_seed
    from adlib.study._evaluate import evaluate
    from adlib.study._run_study import PhaseError, run_study
    from adlib.study._tables import read_figures, read_scores
except ModuleNotFoundError as error:
    raise ImportError(
        f"adlib.study needs the package {error.name!r}. "
        'Run: pip install "adlib-vision[study]"'
    ) from error

__all__ = [
    "Config",
    "PhaseError",
    "compare_conditions",
    "compare_methods",
    "evaluate",
    "read_config",
    "read_figures",
    "read_scores",
    "run_study",
    "set_seed",
]
