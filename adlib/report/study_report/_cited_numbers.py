"""Numbers out of saved results; what is printed is noted with its file and place."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from adlib._files import replacing

Key: TypeAlias = str | int

SMALLEST_P = 0.001  # smaller ones are printed as "< 0.001"
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"  # printed where there is no number


class UsedNumber(NamedTuple):
    """A number that was printed.

    Attributes:
        printed: As the reader sees it.
        file: Below the study's outputs.
        place: Keys and positions in it, parted by slashes.
        value: What stands there.
    """

    printed: str
    file: str
    place: str
    value: float


class CitedNumbers:
    """Reads saved results, and notes each number that is printed.

    Args:
        folder: The study's outputs.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.report.study_report import CitedNumbers
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "clean.json").write_text('{"auroc": 0.91234}')
        ...     cited = CitedNumbers(Path(folder))
        ...     cited.get("clean.json", "auroc")
        '0.912'
        >>> [(one.printed, one.place) for one in cited.used.values()]
        [('0.912', 'auroc')]
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents: dict[str, Any] = {}
        self.used: dict[tuple[str, str, str], UsedNumber] = {}

    def has(self, file: str) -> bool:
        """Return whether there is such a file of results.

        Args:
            file: Below the study's outputs.

        Returns:
            True where it is there.
        """
        return (self._folder / file).is_file()

    def at(self, file: str, *keys: Key) -> Any:
        """Return what stands at a place of a file, to look at, not to print.

        Args:
            file: Below the study's outputs.
            *keys: Keys and positions that lead to the place.

        Returns:
            A number, text, list or mapping, as JSON holds it.

        Raises:
            FileNotFoundError: There is no such file.
            KeyError, IndexError: There is no such place.
        """
        if file not in self._contents:
            text = (self._folder / file).read_text(encoding="utf-8")
            self._contents[file] = json.loads(text)
        found = self._contents[file]
        for key in keys:
            found = found[key]
        return found

    def get(self, file: str, *keys: Key, form: str = ".3f") -> str:
        """Return a number as it is printed, and note it.

        Args:
            file: Below the study's outputs.
            *keys: Keys and positions that lead to the number.
            form: As ``format`` takes it.

        Returns:
            The number, with a minus sign of its own; a dash where there is none.

        Raises:
            FileNotFoundError: There is no such file.
            KeyError, IndexError: There is no such place.
        """
        value = self.at(file, *keys)
        if value is None:
            return NOTHING
        printed = format(value, form).replace("-", MINUS).replace("%", " %")
        self._note(printed, file, keys, value)
        return printed

    def interval(self, file: str, *keys: Key, value: str, form: str = ".3f") -> str:
        """Return "value [low, high]" of a mapping with such bounds, and note them.

        Args:
            file: Below the study's outputs.
            *keys: Keys and positions that lead to the mapping.
            value: Its key of the number itself, beside "low" and "high".
            form: Of all three.

        Returns:
            The number alone where a bound is missing.

        Raises:
            FileNotFoundError: There is no such file.
            KeyError, IndexError: There is no such place.
        """
        inside = self.at(file, *keys)
        text = self.get(file, *keys, value, form=form)
        if inside.get("low") is None or inside.get("high") is None:
            return text
        low, high = (self.get(file, *keys, end, form=form) for end in ("low", "high"))
        return f"{text} [{low}, {high}]"

    def p_value(self, file: str, *keys: Key) -> str:
        """Return a p-value as it stands in a table, and note it.

        Args:
            file: Below the study's outputs.
            *keys: Keys and positions that lead to it.

        Returns:
            Three decimals; "< 0.001" below that; a dash where there is none.

        Raises:
            FileNotFoundError: There is no such file.
            KeyError, IndexError: There is no such place.
        """
        value = self.at(file, *keys)
        if value is None:
            return NOTHING
        if value >= SMALLEST_P:
            return self.get(file, *keys)
        printed = f"< {SMALLEST_P}"
        self._note(printed, file, keys, value)
        return printed

    def total(self, file: str, *keys: Key, names: Sequence[str]) -> str:
        """Return the sum of some entries of a mapping, and note it.

        Args:
            file: Below the study's outputs.
            *keys: Keys and positions that lead to the mapping.
            names: The entries; one that is missing counts as 0.

        Returns:
            A whole number, with commas between thousands.

        Raises:
            FileNotFoundError: There is no such file.
            KeyError, IndexError: There is no such place.
        """
        inside = self.at(file, *keys)
        value = sum(inside.get(name, 0) for name in names)
        printed = f"{value:,}"
        self._note(printed, file, (*keys, "+".join(names)), value)
        return printed

    def write(self, path: Path) -> None:
        """Write what was printed as CSV, each number once.

        Args:
            path: The file, which is replaced if it is there; the folder must exist.

        Raises:
            OSError: The folder cannot be written to.
        """
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(UsedNumber._fields)
        writer.writerows(
            [one.printed, one.file, one.place, repr(one.value)]
            for one in self.used.values()
        )
        with replacing(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")

    def _note(self, printed: str, file: str, keys: Sequence[Key], value: float) -> None:
        place = "/".join(map(str, keys))
        self.used[printed, file, place] = UsedNumber(printed, file, place, value)


def p_phrase(text: str) -> str:
    """Return a printed p-value as a sentence has it: "p = 0.029", "p < 0.001"."""
    if text == NOTHING:
        return "p not defined"
    return f"p {text}" if text.startswith("<") else f"p = {text}"
