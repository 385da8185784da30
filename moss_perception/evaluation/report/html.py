"""Pieces of HTML, escaped, without scripts and without anything from elsewhere."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
import math

from moss_perception.evaluation.intervals import Interval


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def safe(text: object) -> Markup:
    """Escape text, unless it is HTML already."""
    return text if isinstance(text, Markup) else Markup(escape(str(text)))


def join(parts: Iterable[object]) -> Markup:
    """Put pieces after one another."""
    return Markup(''.join(safe(part) for part in parts))


def tag(name: str, *content: object, **attributes: str) -> Markup:
    """
    Make an element.

    :param content: text is escaped.
    :param attributes: ``class_`` is ``class``.
    """
    written = ''.join(f' {key.rstrip("_")}="{escape(value)}"'
                      for key, value in attributes.items() if value)
    return Markup(f'<{name}{written}>{join(content)}</{name}>')


def number(value: float, digits: int = 3, percent: bool = False, sign: bool = False) -> str:
    """
    Write a figure; an undefined one as words, never as nan.

    :param percent: as a percentage; with ``sign`` in percentage points.
    """
    if not math.isfinite(value):
        return 'undefined'
    plus = '+' if sign else ''
    text = (f'{100 * value:{plus}.0f} {"pp" if sign else "%"}' if percent
            else f'{value:{plus}.{digits}f}')
    return text.replace('-', '−')


def figure(of: Interval, percent: bool = False, sign: bool = False, digits: int = 3,
           brief: bool = False) -> Markup:
    """
    Write a figure with its interval below it, or why it is undefined.

    :param brief: leave the reason out.
    """
    parts: list[object] = [number(of.value, digits, percent, sign)]
    if of.defined and math.isfinite(of.low):
        low, high = (number(end, digits, percent, sign) for end in (of.low, of.high))
        unit = ' pp' if sign else ' %'
        parts.append(tag('span', f'{low.removesuffix(unit)} to {high}', class_='ci'))
    if of.why and not brief:
        parts.append(tag('span', of.why, class_='why'))
    return join(parts)


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: object = '',
          text_columns: Sequence[int] = (), dense: bool = False, wide: bool = False) -> Markup:
    """
    Make a table; where the screen is narrow each row becomes two lines.

    :param caption: stands above it.
    :param text_columns: besides the first, columns that are words.
    :param dense: many columns of short numbers.
    :param wide: of these, so wide that three of them fill a narrow screen.
    """
    def cell(kind: str, place: int, content: object, scope: str = '') -> Markup:
        label = {'data-label': str(head[place])} if dense and kind == 'td' else {}
        return tag(kind, content, scope=scope, **label,
                   class_='text' if place in text_columns else '')

    top = tag('tr', *(cell('th', n, one, 'col') for n, one in enumerate(head)))
    body = [tag('tr', *(cell('td' if n else 'th', n, one, '' if n else 'row')
                        for n, one in enumerate(row))) for row in rows]
    made = tag('table', tag('thead', top), tag('tbody', *body),
               class_='dense wide' if dense and wide else 'dense' if dense else '')
    above = [tag('p', caption, class_='note above')] if caption else []
    return join([*above, tag('div', made, class_='scroll')])


def picture(data: bytes, kind: str, alt: str) -> Markup:
    """
    Embed a picture.

    :param kind: such as ``svg+xml`` or ``jpeg``.
    :param alt: what it shows, for those who can't see it.
    """
    source = f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
    return Markup(f'<img src="{source}" alt="{escape(alt)}">')


def plot(data: bytes, alt: str, caption: object = '') -> Markup:
    """Embed a plot with a caption."""
    return tag('figure', picture(data, 'svg+xml', alt), tag('figcaption', caption))


def box(kind: str, *content: object) -> Markup:
    """Make a box: ``warn``, ``met`` or ``short``."""
    return tag('div', *content, class_=f'box {kind}')


def bullets(lines: Iterable[object]) -> Markup:
    """Make a list."""
    return tag('ul', *(tag('li', line) for line in lines))


def page(title: str, sheet: str, body: Iterable[object]) -> str:
    """Make the whole document."""
    return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{escape(title)}</title>\n<style>\n{sheet}\n</style>\n</head>\n<body>\n'
            + '\n'.join(safe(part) for part in body) + '\n</body>\n</html>\n')
