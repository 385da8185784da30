"""Pages of documentation whose tables are written from results."""

from collections.abc import Callable
import re

_BLOCK = re.compile(r'(<!-- begin (\w+) \| (.+?) -->\n).*?(<!-- end -->)', re.DOTALL)


def fill(page: str, block: Callable[[str, str], str | None]) -> str:
    """
    Write anew what stands between the comments ``begin RESULT | WHAT`` and ``end`` of a page.

    :param page: Markdown.
    :param block: given ``RESULT`` and ``WHAT``, returns Markdown, or ``None`` for what is to stay.
    """
    def written(found: re.Match) -> str:
        text = block(found[2], found[3])
        return found[0] if text is None else f'{found[1]}\n{text}\n\n{found[4]}'

    return _BLOCK.sub(written, page)


def names(page: str) -> list[tuple[str, str]]:
    """Return each ``RESULT`` and ``WHAT`` of a page."""
    return [(found[2], found[3]) for found in _BLOCK.finditer(page)]
