"""The page: jinja2 templates with the values of each section's module."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup
from moss_perception.evaluation.report import (
    checkpoints,
    factors,
    overview,
    played,
    quality,
    strips,
    trust,
)
from moss_perception.evaluation.report.colours import PAGE
from moss_perception.evaluation.report.numbers import ends, known, number
from moss_perception.evaluation.report.summary import Summary
from moss_perception.evaluation.thresholds import show, Verdict


@dataclass(frozen=True)
class Section:
    """
    A section of the page.

    :ivar place: anchor.
    :ivar link: name in the page's navigation.
    :ivar html: rendered HTML.
    """

    place: str
    link: str
    html: Markup


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


def data_uri(data: bytes, kind: str) -> str:
    """Return an image as a data URI; ``kind`` is such as ``svg+xml`` or ``jpeg``."""
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def fill(template: str, values: Mapping[str, Any]) -> Markup:
    """Render a template; ``name`` is without its suffix."""
    return Markup(environment().get_template(f'{template}.html.j2').render(values).strip())


def render(summaries: Sequence[Summary], verdict: Verdict, written: str,
           images: strips.Images | None = None, success_definition: str = '') -> str:
    """
    Render the page.

    :param summaries: one per checkpoint, of the same recordings; the page is about the first.
    :param written: date and time in words.
    :param images: reads frames; see :func:`moss_perception.evaluation.report.write_report`.
    :param success_definition: definition of a success; empty for the default.
    :returns: a self-contained HTML document.
    """
    first = summaries[0]
    style_sheet = files('moss_perception.evaluation.report').joinpath('report.css').read_text(
        encoding='utf-8')
    return str(fill('page', {
        'evaluation': first.evaluation, 'others': len(summaries) - 1, 'written': written,
        'colours': PAGE, 'style_sheet': Markup(style_sheet),
        'requirements': fill('requirements', {'verdict': verdict}),
        'overview': fill('overview', overview.values(first)),
        'sections': _sections(summaries, images, success_definition)})) + '\n'


def _sections(summaries: Sequence[Summary], images: strips.Images | None,
              success_definition: str) -> list[Section]:
    """Render all sections that have values, in order."""
    first, bags = summaries[0], summaries[0].evaluation.bags
    every = (
        ('counted', 'counts', {'domains': first.domains, 'threshold': first.threshold,
                               'success_definition': success_definition}),
        ('quality', 'quality', quality.values(first)),
        ('factors', 'single shifts', factors.values(first)),
        ('calibration', 'calibration', trust.calibration(first)),
        ('scores', 'scores', trust.distributions(first)),
        ('early', 'how early', trust.early(first)),
        ('ood', 'shift monitor', trust.ood(first)),
        ('checkpoints', 'checkpoints', checkpoints.values(summaries)),
        ('strips', 'film strips', strips.values(first, images)),
        ('closed-loop', 'closed loop', played.closed_loop(bags)),
        ('played', 'over topics', played.values(bags)),
        ('recordings', 'recordings', played.recordings(bags)))
    return [Section(place, link, fill(place.replace('-', '_'), values))
            for place, link, values in every if values]
