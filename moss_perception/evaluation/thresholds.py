"""What an evaluation must reach: expressions such as ``auroc>=0.8``, parsed and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
import operator
import re

from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import lay_out

_OPERATORS = {'>=': operator.ge, '<=': operator.le, '>': operator.gt, '<': operator.lt}
_FORM = re.compile(r'\s*([a-z0-9_]+)\s*(?:@\s*([^\s<>=]+))?\s*(>=|<=|>|<)\s*(\S+)\s*')
# What may be asked for; those with an interval may also be asked for by its ends.
WITH_INTERVAL = ('auroc', 'auprc', 'accuracy', 'balanced_accuracy', 'success', 'passed_success',
                 'brier', 'ece', 'error_auroc', 'ood_auroc', 'auroc_gap', 'auprc_gap',
                 'accuracy_gap', 'balanced_accuracy_gap', 'success_gap', 'brier_gap', 'ece_gap')
PLAIN = ('attempts', 'scored_attempts', 'scored_share', 'lost_share', 'missing_share',
         'inference_p50_ms', 'inference_p95_ms', 'decode_p50_ms', 'decode_p95_ms',
         'false_alarm_rate')
# These compare a domain with the reference, and so say nothing of the reference itself.
COMPARING = ('ood_auroc', 'false_alarm_rate',
             *(name for name in WITH_INTERVAL if name.endswith('_gap')))
NAMES = (*PLAIN, *WITH_INTERVAL, *(f'{name}_{end}' for name in WITH_INTERVAL
                                   for end in ('low', 'high')))


@dataclass(frozen=True)
class Requirement:
    """
    One thing that must hold.

    :ivar text: as it was given.
    :ivar metric: one of ``NAMES``.
    :ivar domain: where; empty for each domain.
    :ivar comparison: ``>=``, ``<=``, ``>`` or ``<``.
    :ivar bound: the number on the right.
    """

    text: str
    metric: str
    domain: str
    comparison: str
    bound: float

    def holds(self, value: float) -> bool:
        """Compare a value; what is undefined never holds."""
        return bool(_OPERATORS[self.comparison](value, self.bound))


@dataclass(frozen=True)
class Row:
    """
    A requirement in one domain.

    :ivar expression: as it was given.
    :ivar domain: where it was checked.
    :ivar metric: which figure.
    :ivar value: what it is; NaN if undefined.
    :ivar required: such as ``>= 0.8``.
    :ivar met: whether it holds.
    :ivar reason: why the value is undefined; else empty.
    """

    expression: str
    domain: str
    metric: str
    value: float
    required: str
    met: bool
    reason: str = ''


@dataclass(frozen=True)
class Verdict:
    """
    Whether all requirements hold.

    :ivar met: ``True`` also where nothing was required.
    :ivar rows: each requirement in each domain it is about.
    """

    met: bool
    rows: tuple[Row, ...] = ()

    def table(self, short_only: bool = False) -> str:
        """
        Lay out the rows for a terminal.

        :param short_only: only those that fell short.
        """
        rows = [row for row in self.rows if not (short_only and row.met)]
        return lay_out([(
            row.domain, row.metric, show(row.value), row.required,
            'met' if row.met else 'SHORT' + (f': {row.reason}' if row.reason else ''))
            for row in rows], ('domain', 'what', 'is', 'required', ''))


def show(value: float) -> str:
    """Write a figure in four digits; what is undefined in words."""
    return 'undefined' if not math.isfinite(value) else f'{value:.4g}'


PASSES = 0.5
"""Scores from here on say that a grasp will hold, unless another threshold is asked for."""


def score_threshold(text: str | None) -> float:
    """
    Read the threshold of scores; :data:`PASSES` without one.

    :raises ConfigError: if it is no number in [0, 1].
    """
    if not text:
        return PASSES
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ConfigError(f'threshold={text} is not allowed: expected a number in [0, 1]')
    return value


def parse(text: str) -> Requirement:
    """
    Read a requirement: a metric, ``@`` and a domain if only one is meant, and a bound.

    :param text: such as ``auroc>=0.8``, ``auroc_low@real>0.6`` or ``auroc_gap<=0.1``.
    :raises ConfigError: if it has another form, or the metric is unknown.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise ConfigError(f'requirement {text!r} is not understood: expected one such as '
                          "'auroc>=0.8' or 'auroc_low@real>0.6'")
    metric, domain, comparison, number = match.groups()
    if metric not in NAMES:
        raise ConfigError(f'requirement {text!r} asks for {metric!r}, which is not measured: '
                          f'expected one of {", ".join((*PLAIN, *WITH_INTERVAL))}, the latter '
                          'also with _low or _high for an end of its interval')
    try:
        bound = float(number)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise ConfigError(f'requirement {text!r} has the bound {number!r}: expected a number')
    return Requirement(text.strip(), metric, domain or '', comparison, bound)


def check(requirements: Sequence[Requirement | str],
          figures: Mapping[str, Mapping[str, tuple[float, str]]], reference: str) -> Verdict:
    """
    Compare what was found with what is required.

    A requirement that names no domain is checked in each, and none may fall short. A figure that
    is undefined falls short, with the reason.

    :param requirements: parsed or as text.
    :param figures: by domain and metric: the value and, where it is NaN, the reason.
    :param reference: the domain that others are compared with.
    :raises ConfigError: if a domain is not among those evaluated, or a text is not understood.
    """
    rows = []
    for one in requirements:
        need = parse(one) if isinstance(one, str) else one
        rows += [_row(need, name, figures[name]) for name in _domains(need, figures, reference)]
    return Verdict(all(row.met for row in rows), tuple(rows))


def _domains(need: Requirement, figures: Mapping, reference: str) -> list[str]:
    if need.domain and need.domain not in figures:
        raise ConfigError(f'requirement {need.text!r} names domain {need.domain!r}: expected one '
                          f'that was evaluated: {", ".join(figures)}')
    if need.domain:
        return [need.domain]
    compares = need.metric.removesuffix('_low').removesuffix('_high') in COMPARING
    found = [name for name in figures if not (compares and name == reference)]
    # A gap that nothing is compared over must not pass for want of a second domain.
    return found or list(figures)


def _row(need: Requirement, domain: str, figures: Mapping[str, tuple[float, str]]) -> Row:
    value, reason = figures.get(need.metric, (math.nan, 'it was not measured'))
    if not math.isfinite(value) and not reason:
        reason = 'it was not measured'
    return Row(need.text, domain, need.metric, value, f'{need.comparison} {need.bound:g}',
               need.holds(value), '' if math.isfinite(value) else reason)
