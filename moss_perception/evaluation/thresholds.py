"""Requirements on an evaluation, such as ``auroc>=0.8``: parse and check them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
import operator
import re

from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import lay_out

PASSES = 0.5
"""Default threshold: a score of at least this predicts a success."""

_OPERATORS = {'>=': operator.ge, '<=': operator.le, '>': operator.gt, '<': operator.lt}
_FORM = re.compile(r'\s*([a-z0-9_]+)\s*(?:@\s*([^\s<>=]+))?\s*(>=|<=|>|<)\s*(\S+)\s*')
# The metrics. Those with an interval also have the metrics ``…_low`` and ``…_high``.
_GAPS = tuple(f'{name}_gap' for name in ('auroc', 'auprc', 'accuracy', 'balanced_accuracy',
                                         'success', 'brier', 'ece'))
WITH_INTERVAL = ('auroc', 'auprc', 'accuracy', 'balanced_accuracy', 'success', 'passed_success',
                 'brier', 'ece', 'error_auroc', 'ood_auroc', 'auroc_gain', *_GAPS)
PLAIN = ('attempts', 'scored_attempts', 'scored_share', 'executed_share', 'default_share',
         'lost_share', 'missing_share',
         'inference_p50_ms', 'inference_p95_ms', 'decode_p50_ms', 'decode_p95_ms',
         'false_alarm_rate')
# Metrics that compare a domain with the reference; undefined for the reference.
COMPARING = ('ood_auroc', 'false_alarm_rate', *_GAPS)
NAMES = (*PLAIN, *WITH_INTERVAL, *(f'{name}_{end}' for name in WITH_INTERVAL
                                   for end in ('low', 'high')))


@dataclass(frozen=True)
class Requirement:
    """
    A requirement on a metric.

    :ivar text: text as given.
    :ivar domain: empty for every domain.
    :ivar comparison: ``>=``, ``<=``, ``>`` or ``<``.
    :ivar bound: the number on the right.
    """

    text: str
    metric: str
    domain: str
    comparison: str
    bound: float

    def holds(self, value: float) -> bool:
        """Return whether a value meets the requirement; NaN never does."""
        return bool(_OPERATORS[self.comparison](value, self.bound))


@dataclass(frozen=True)
class Row:
    """
    A requirement in one domain.

    :ivar expression: the requirement as given.
    :ivar value: value of the metric; NaN if undefined.
    :ivar required: bound, such as ``>= 0.8``.
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
    The result of all requirements.

    :ivar met: whether all are met; ``True`` without requirements.
    :ivar rows: each requirement in each of its domains.
    """

    met: bool
    rows: tuple[Row, ...] = ()

    def table(self, short_only: bool = False) -> str:
        """
        Lay out the rows for a terminal.

        :param short_only: only unmet requirements.
        """
        rows = [row for row in self.rows if not (short_only and row.met)]
        return lay_out([(
            row.domain, row.metric, show(row.value), row.required,
            'met' if row.met else 'SHORT' + (f': {row.reason}' if row.reason else ''))
            for row in rows], ('domain', 'what', 'is', 'required', ''))


def show(value: float) -> str:
    """Format a value with four digits, or as ``undefined``."""
    return f'{value:.4g}' if math.isfinite(value) else 'undefined'


def score_threshold(text: str | None) -> float:
    """
    Parse the threshold of scores; ``None`` gives :data:`PASSES`.

    :raises ConfigError: if it is not a number in [0, 1].
    """
    value = _number(text) if text else PASSES
    if not 0 <= value <= 1:
        raise ConfigError(f'threshold={text} is not allowed: expected a number in [0, 1]')
    return value


def parse(text: str, names: Sequence[str] = NAMES) -> Requirement:
    """
    Parse a requirement: a metric, an optional ``@domain``, and a bound.

    :param text: such as ``auroc>=0.8``, ``auroc_low@real>0.6`` or ``auroc_gap<=0.1``.
    :param names: the metrics that are measured.
    :raises ConfigError: if it has a different form, or the metric is unknown.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise ConfigError(f'requirement {text!r} is not understood: expected one such as '
                          "'auroc>=0.8' or 'auroc_low@real>0.6'")
    metric, domain, comparison, number = match.groups()
    if metric not in names and names is not NAMES:
        raise ConfigError(f'requirement {text!r} has the metric {metric!r}: expected one of '
                          f'{", ".join(names)}')
    if metric not in names:
        raise ConfigError(f'requirement {text!r} has the unknown metric {metric!r}: expected '
                          f'one of {", ".join((*PLAIN, *WITH_INTERVAL))}; from {WITH_INTERVAL[0]} '
                          'on also with _low or _high, the bounds of its interval')
    bound = _number(number)
    if not math.isfinite(bound):
        raise ConfigError(f'requirement {text!r} has the bound {number!r}: expected a number')
    return Requirement(text.strip(), metric, domain or '', comparison, bound)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def check(requirements: Sequence[Requirement | str],
          figures: Mapping[str, Mapping[str, tuple[float, str]]], reference: str) -> Verdict:
    """
    Check requirements.

    A requirement that names no domain is checked in each, and none may fall short. A figure that
    is undefined falls short, with the reason.

    :param requirements: parsed requirements or their texts.
    :param figures: by domain and metric: the value and, if it is NaN, the reason.
    :param reference: the domain that others are compared with.
    :raises ConfigError: if a domain was not evaluated, or a text can't be parsed.
    """
    rows = []
    for one in requirements:
        need = parse(one) if isinstance(one, str) else one
        rows += [_row(need, name, figures[name]) for name in _domains(need, figures, reference)]
    return Verdict(all(row.met for row in rows), tuple(rows))


def _domains(need: Requirement, figures: Mapping, reference: str) -> list[str]:
    if need.domain and need.domain not in figures:
        raise ConfigError(f'requirement {need.text!r} names domain {need.domain!r}: expected one '
                          f'of the evaluated domains {", ".join(figures)}')
    if need.domain:
        return [need.domain]
    compares = need.metric.removesuffix('_low').removesuffix('_high') in COMPARING
    found = [name for name in figures if not (compares and name == reference)]
    # A requirement on a gap must fail if there is no second domain.
    return found or list(figures)


def _row(need: Requirement, domain: str, figures: Mapping[str, tuple[float, str]]) -> Row:
    value, reason = figures.get(need.metric, (math.nan, ''))
    reason = '' if math.isfinite(value) else reason or 'it was not measured'
    return Row(need.text, domain, need.metric, value, f'{need.comparison} {need.bound:g}',
               need.holds(value), reason)
