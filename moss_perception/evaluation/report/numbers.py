"""Number formats of the page."""

import math

from moss_perception.evaluation.intervals import Interval


def number(value: float, digits: int = 3, percent: bool = False, sign: bool = False,
           unit: bool = True) -> str:
    """
    Write a figure; an undefined one as words, never as nan.

    :param percent: as a percentage; with ``sign`` in percentage points.
    :param unit: whether a percentage has its unit.
    """
    if not math.isfinite(value):
        return 'undefined'
    plus = '+' if sign else ''
    if percent:
        text = f'{100 * value:{plus}.0f}' + (f' {"pp" if sign else "%"}' if unit else '')
    else:
        text = f'{value:{plus}.{digits}f}'
    return text.replace('-', '−')


def ends(of: Interval, digits: int = 3, percent: bool = False, sign: bool = False) -> str:
    """Format the bounds of an interval; empty if it has none."""
    if not (of.defined and math.isfinite(of.low)):
        return ''
    return (f'{number(of.low, digits, percent, sign, unit=False)} to '
            f'{number(of.high, digits, percent, sign)}')


def known(value: float, percent: bool = False) -> str:
    """Format a value; a dash if it is unknown."""
    return number(value, 1, percent) if math.isfinite(value) else '–'
