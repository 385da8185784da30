"""The page: jinja2 templates with the values of each section's module."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
import math
from typing import Any

import jinja2
from markupsafe import Markup
from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.report import (
    attempts,
    checkpoints,
    over_time,
    quality,
    recordings,
    strips,
    trust,
)
from moss_perception.evaluation.report.figures import PAGE
from moss_perception.evaluation.report.summary import Summary
from moss_perception.evaluation.report.warnings import warnings
from moss_perception.evaluation.thresholds import show, Verdict


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


def data_uri(data: bytes, kind: str) -> str:
    """Return an image as a data URI; ``kind`` is such as ``svg+xml`` or ``jpeg``."""
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


@cache
def environment() -> jinja2.Environment:
    """Return the jinja2 environment, which escapes all values and rejects undefined ones."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader('moss_perception.evaluation.report'), autoescape=True,
        undefined=jinja2.StrictUndefined)
    made.filters.update(
        number=number, ends=ends, known=known, data_uri=data_uri,
        show=lambda value: show(value).replace('-', '−'))
    return made


def fill(template: str, values: Mapping[str, Any]) -> Markup:
    """Render a template; ``name`` is without its suffix."""
    return Markup(environment().get_template(f'{template}.html.j2').render(values).strip())


def render(summaries: Sequence[Summary], months: Sequence[Sequence[over_time.Month]],
           verdict: Verdict, written: str, images: strips.Images | None = None,
           success_definition: str = '') -> str:
    """
    Render the page.

    :param summaries: one per checkpoint, of the same recordings; the page is about the first.
    :param months: of each checkpoint.
    :param written: date and time in words.
    :param images: reads frames; see :func:`moss_perception.evaluation.report.write_report`.
    :param success_definition: definition of a success; empty for the default.
    :returns: a self-contained HTML document.
    """
    first = summaries[0]
    return str(fill('page', {
        'evaluation': first.evaluation, 'others': len(summaries) - 1, 'written': written,
        'warnings': warnings([one.pool for one in first.domains]), 'colours': PAGE,
        'style_sheet': _own('report.css'), 'script': _own('report.js'),
        'requirements': fill('requirements', {'verdict': verdict}),
        'overview': fill('overview', trust.overview(first)),
        'sections': _sections(summaries, months, images, success_definition)})) + '\n'


def _own(name: str) -> Markup:
    """Read a file of this package that becomes a part of the page as it is."""
    text = files('moss_perception.evaluation.report').joinpath(name).read_text(encoding='utf-8')
    return Markup(text)


def _sections(summaries: Sequence[Summary], months: Sequence[Sequence[over_time.Month]],
              images: strips.Images | None, success_definition: str) -> list[dict[str, Any]]:
    """Render all sections that have values, in order: anchor, name in the navigation, HTML."""
    first, bags = summaries[0], summaries[0].evaluation.bags
    every = (
        ('counted', 'counts', {'domains': first.domains, 'threshold': first.threshold,
                               'success_definition': success_definition}),
        ('quality', 'quality', quality.by_domain(first)),
        ('factors', 'single shifts', quality.by_factor(first)),
        ('calibration', 'calibration', trust.calibration(first)),
        ('scores', 'scores', trust.distributions(first)),
        ('early', 'how early', trust.early(first)),
        ('ood', 'shift monitor', trust.ood(first)),
        ('checkpoints', 'checkpoints', checkpoints.values(summaries)),
        ('over-time', 'over time', over_time.values(summaries, months)),
        ('strips', 'film strips', strips.values(first, images)),
        ('attempts', 'all attempts', attempts.values(first)),
        ('closed-loop', 'closed loop', recordings.closed_loop(bags)),
        ('played', 'over topics', recordings.over_topics(bags)),
        ('recordings', 'recordings', recordings.frames(bags)))
    return [{'place': place, 'link': link, 'html': fill(place.replace('-', '_'), values)}
            for place, link, values in every if values]
