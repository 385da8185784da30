"""Texts of strangers, made harmless for a terminal, a log, a report or a spreadsheet."""

from typing import Any

NAME, LINE = 200, 4000
"""Most characters of a name, and of a whole line."""

_BLANKS = '\n\t\r'
# What a spreadsheet takes for the beginning of a formula, also behind blanks.
_FORMULA = ('=', '+', '-', '@')


def clean(text: Any, longest: int = NAME) -> str:
    """
    Make a text of somebody else safe to show, in one line.

    Names in messages may hold escape sequences for a terminal, line ends that forge a line of a
    log, or characters that turn the direction of writing: line ends become blanks, and the others
    question marks. HTML is the page's own business.

    :param longest: most characters; a longer text ends with an ellipsis.
    """
    # Texts can have megabytes.
    few = str(text)[:longest + 1]
    shown = ''.join(x if x.isprintable() else ' ' if x in _BLANKS else '?' for x in few)
    return shown if len(shown) <= longest else shown[:longest - 1] + '…'


def one_line(text: Any) -> str:
    """Make a message harmless that may contain texts of somebody else; see :func:`clean`."""
    return clean(text, LINE)


def cell(value: Any) -> Any:
    """
    Make the value of a cell harmless for a spreadsheet, which runs a text such as ``=1+1``.

    :param value: a number, or what a cell says; a text that is no number and begins like a
        formula gets an apostrophe in front, as OWASP recommends.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def uncell(text: str) -> str:
    """Return a text as it was before :func:`cell`."""
    return text[1:] if text[:1] == "'" and text[1:].lstrip().startswith(_FORMULA) else text
