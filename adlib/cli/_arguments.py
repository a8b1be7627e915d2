"""Let an option take several values at once, which typer does not know."""

from __future__ import annotations

from collections.abc import Iterable

TAKING_SEVERAL = ("--classes", "--defects", "--good")


def spread(arguments: Iterable[str]) -> list[str]:
    """Repeat an option before each of its values, as typer wants it.

    ``--classes a b -o out`` becomes ``--classes a --classes b -o out``. Values end at
    the next option, or at ``--``, after which nothing is changed.
    """
    result: list[str] = []
    taking, ended = "", False
    values_given = False
    for argument in arguments:
        if ended or argument == "--":
            ended = True
            result.append(argument)
        elif argument in TAKING_SEVERAL:
            taking, values_given = argument, False
            result.append(argument)
        elif argument.startswith("-"):
            option, equals, _ = argument.partition("=")
            several = equals and option in TAKING_SEVERAL
            taking, values_given = (option, True) if several else ("", False)
            result.append(argument)
        elif taking:
            result += [taking, argument] if values_given else [argument]
            values_given = True
        else:
            result.append(argument)
    return result
