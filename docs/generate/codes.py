"""The table of codes in docs/troubleshooting.md, made from ``core/codes.py``: run this file."""

from pathlib import Path
import re

from moss_perception.core.codes import CODES
from tables import table

PAGE = Path(__file__).resolve().parents[1] / 'troubleshooting.md'
_BLOCK = re.compile(r'(<!-- begin codes -->\n).*?(<!-- end codes -->)', re.DOTALL)


def anchor(heading):
    """Return the anchor of a heading."""
    return re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')


def markdown():
    """Write a row for each code, with an anchor such as ``#moss008``."""
    rows = [[f'<a id="{str(code).lower()}"></a>{code}', code.meaning,
             f'[{code.section}](#{anchor(code.section)})'] for code in CODES.values()]
    return table(['code', 'meaning', 'what to do'], rows)


def fill(page):
    """Put the table into the page, which is also read without the site."""
    return _BLOCK.sub(lambda found: f'{found[1]}{markdown()}\n{found[2]}', page)


if __name__ == '__main__':
    PAGE.write_text(fill(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
