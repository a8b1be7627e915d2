"""The study's configuration: one typed YAML file, checked before anything runs."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from adlib._validation import check_int, describe
from adlib.datasets import ShiftSettings
from adlib.study import _names as names

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LARGEST = 2**32 - 1  # NumPy's global generator takes no larger seed
# Strict: neither True nor "42" is a number.
Ratio: TypeAlias = Annotated[float, Field(gt=0, lt=1, strict=True)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Section):
    """Which images: ``root``, None: the demo set; ``classes``, None: all."""

    root: Path | None = None
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


class SplitConfig(_Section):
    """How images are divided; see ``adlib.datasets.create_clean_split``."""

    train_ratio: Ratio = 0.8
    val_anomaly_ratio: Ratio = 0.3


class PathsConfig(_Section):
    """Folders: of both splits' JSON files, of the shifted set, of all outputs."""

    processed: Path = Path("data/processed")
    shifted: Path = Path("data/shifted")
    outputs: Path = Path("outputs")

    @property
    def clean_splits(self) -> Path:
        """The file of the clean splits."""
        return self.processed / "clean_splits.json"

    @property
    def shifted_splits(self) -> Path:
        """The record of the shifted set."""
        return self.processed / "shifted_splits.json"

    def model(self, method: str, *parts: str) -> Path:
        """The file of a fitted model, e.g. ``patchcore_hazelnut_clean.adlib``."""
        return self.outputs / "models" / f"{'_'.join([method.lower(), *parts])}.adlib"


class BackboneConfig(_Section):
    """The frozen network that both methods share; see ``adlib.PatchCore``."""

    name: str = "tf_efficientnet_lite0"
    image_size: Annotated[int, Field(ge=16, strict=True)] = 320


class PatchCoreConfig(_Section):
    """PatchCore's own parameters; see ``adlib.PatchCore``."""

    coreset: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.05


class PaDiMConfig(_Section):
    """PaDiM's own parameters; see ``adlib.PaDiM``."""

    n_channels: Annotated[int, Field(ge=1, strict=True)] = 160
    regularization: Annotated[float, Field(gt=0, strict=True)] = 0.1


class AblationConfig(_Section):
    """Most images of a class that ablations train on, and that they score."""

    n_training: Annotated[int, Field(ge=2, strict=True)] = 150
    n_judged: Annotated[int, Field(ge=4, strict=True)] = 100


class CacheConfig(_Section):
    """Feature maps kept on disk, at most so many gigabytes; 0: none."""

    folder: Path = Path("data/features")
    gigabytes: Annotated[float, Field(ge=0, strict=True)] = 4


class Config(_Section):
    """Everything that a run of the study depends on.

    Attributes:
        seed: Of splits, shifts and estimators.
        data: Which images.
        split: How they are divided.
        paths: Where things are written.
        backbone: The network.
        patchcore: PatchCore's own parameters.
        padim: PaDiM's own parameters.
        shift: What the domain shift draws from.
        ablation: How many images the ablations take.
        cache: Feature maps kept on disk.
        tensorboard: Write the figures for TensorBoard, too.
        metrics: What is shown; pixel metrics are absent for sets without masks.

    Example:
        >>> from adlib.study import Config
        >>> config = Config.from_dict({"seed": 7, "patchcore": {"coreset": 0.1}})
        >>> config.seed, config.patchcore.coreset, config.split.train_ratio
        (7, 0.1, 0.8)
    """

    seed: Annotated[int, Field(ge=0, le=LARGEST, strict=True)] = 42
    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    paths: PathsConfig = PathsConfig()
    backbone: BackboneConfig = BackboneConfig()
    patchcore: PatchCoreConfig = PatchCoreConfig()
    padim: PaDiMConfig = PaDiMConfig()
    shift: ShiftSettings = ShiftSettings()
    ablation: AblationConfig = AblationConfig()
    cache: CacheConfig = CacheConfig()
    tensorboard: Annotated[bool, Field(strict=True)] = False
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = (
        names.AUROC,
        names.AVERAGE_PRECISION,
        names.F1,
        "accuracy",
        names.PRECISION,
        names.RECALL,
        names.PIXEL_AUROC,
        names.AUPRO,
    )

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if not set(metrics) <= set(names.METRICS):
            raise ValueError(f"must be of {', '.join(names.METRICS)}")
        return metrics

    @classmethod
    def from_dict(cls, values: object, source: str = "the configuration") -> Self:
        """Return the configuration that some values state; others are the defaults.

        Args:
            values: A mapping, as YAML gives it.
            source: What errors call it.

        Returns:
            A configuration that cannot be changed.

        Raises:
            ValueError: A key is unknown, or a value has the wrong type or is
                impossible; a line for each says which, and what is allowed.
        """
        if not isinstance(values, dict):
            raise ValueError(f"{source} must be a mapping; got {describe(values)}.")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = {_key(one): _line(one) for one in reversed(error.errors())}
            text = "\n".join(reversed(lines.values()))  # the first of each key
            raise ValueError(f"{source}: {text}") from None


def read_config(path: str | Path) -> Config:
    """Read a configuration from a YAML file.

    Args:
        path: The file; an empty one states the defaults.

    Returns:
        The configuration.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no YAML, or ``Config.from_dict`` refuses it.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import read_config
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "study.yaml").write_text("seed: 7")
        ...     read_config(Path(folder, "study.yaml")).seed
        7
    """
    import yaml  # noqa: PLC0415 - only here

    source = Path(path)
    try:
        values = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{source} must be YAML: {error}") from error
    return Config.from_dict({} if values is None else values, str(source))


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


def config_from_arguments(
    description: str | None, config_file: Path, arguments: Sequence[str] | None = None
) -> Config:
    """Return a script's configuration: its file, changed as the command line says."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--data", help="folder of the data set; default: the demo set")
    parser.add_argument("--classes", nargs="+", help="which classes; default: all")
    parser.add_argument("--config", type=Path, default=config_file, help="YAML file")
    parser.add_argument("--work", type=Path, help="folder of data/ and outputs/")
    given = vars(parser.parse_args(arguments))
    return changed_config(read_config(given.pop("config")), **given)


def changed_config(
    config: Config,
    *,
    data: str | None = None,
    classes: Sequence[str] | None = None,
    work: Path | None = None,
) -> Config:
    """Return a configuration, changed as a command line says."""
    stated = config.model_dump()
    if data is not None:
        stated["data"]["root"] = data
    if classes is not None:
        stated["data"]["classes"] = classes
    if work is not None:
        stated["paths"] = {name: work / path for name, path in stated["paths"].items()}
        stated["cache"]["folder"] = work / stated["cache"]["folder"]
    return Config.from_dict(stated, "the command line")


def found_anywhere(config: Config) -> Config:
    """Return a configuration whose folders are found from any working folder."""
    stated = config.model_dump()
    if config.data.root is not None:
        stated["data"]["root"] = config.data.root.absolute()
    stated["paths"] = {name: Path(path).absolute() for name, path in config.paths}
    stated["cache"]["folder"] = config.cache.folder.absolute()
    return Config.from_dict(stated)


def _key(details: ErrorDetails) -> str:
    return ".".join(str(part) for part in details["loc"] if not isinstance(part, int))


def _line(details: ErrorDetails) -> str:
    """Word one refusal: which key, what is allowed, what came."""
    key = _key(details)
    if details["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        allowed: Any = Config().model_dump()
        for section in key.split(".")[:-1]:
            allowed = allowed[section]
        return f"{key} is not a key. Allowed are: {', '.join(allowed)}."
    rule = details["msg"].removeprefix("Value error, ").removesuffix(".")
    if "ShiftSettings" in rule:  # it says which part, and what came
        return f"{key}: {rule}."
    rule = rule.removeprefix("Input ").replace("should", "must", 1)
    return f"{key}: {rule}; got {describe(details['input'])}."
