"""What a publisher says of a data set: its terms, and where its archives lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Archive(NamedTuple):
    """One archive of a data set: its address, and the MD5 sum of the whole file."""

    url: str
    md5: str


@dataclass(frozen=True, slots=True)
class Publication:
    """A data set that can be downloaded.

    Attributes:
        title: Its name in prose.
        terms: Licence, copyright, and what one may do, in a few lines.
        reference: The paper to cite.
        archives: An archive for each class, named ``<class>.tar.xz``, that holds one
            folder under the class's name.
    """

    title: str
    terms: str
    reference: str
    archives: Mapping[str, Archive]

    def notice(self) -> str:
        """Return what users must read before the download."""
        return f"{self.title}\n\n{self.terms}\n\nPlease cite: {self.reference}"
