"""The report's plots, small SVG files that are legible on a phone, and its colours."""

from collections.abc import Sequence
import io
from typing import Any

import matplotlib
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D, blended_transform_factory
from moss_perception.evaluation.drawing import Figure
from moss_perception.evaluation.early import Curve
from moss_perception.evaluation.intervals import Interval
from moss_perception.evaluation.report.summary import Calibration, Domain
import numpy as np

HELD, FAILED, WARN = '#1c7c54', '#b8352c', '#8a5a00'
INK, MUTED, LINE, PAPER = '#1b2530', '#5a6776', '#d8dee6', '#ffffff'
# The first is the reference's. They differ in lightness too, and so in grey.
DOMAINS = ('#1d4f91', '#d9822b', '#6b3fa0', '#0f8b8d', '#a03a5c', '#6d7b1e', '#4a4a4a')
# By name, as the style sheet has them.
PAGE = {'ink': INK, 'muted': MUTED, 'line': LINE, 'paper': PAPER, 'held': HELD, 'failed': FAILED,
        'accent': DOMAINS[0], 'warn': WARN}

# A dollar sign in a name begins no formula. Text stays text: it is small, can be found, and is
# drawn with the reader's own fonts. A fixed salt and no date give the same bytes for the same
# values.
_RC: Any = {'text.parse_math': False, 'svg.fonttype': 'none',
       'svg.hashsalt': 'moss_perception', 'font.size': 10, 'font.family': 'sans-serif',
       'text.color': INK, 'axes.edgecolor': MUTED, 'axes.labelcolor': INK, 'xtick.color': MUTED,
       'ytick.color': MUTED, 'axes.titlesize': 11, 'axes.titleweight': 'bold',
       'axes.titlelocation': 'left', 'axes.spines.top': False, 'axes.spines.right': False,
       'axes.grid': True, 'grid.color': LINE, 'grid.linewidth': 0.7, 'axes.axisbelow': True,
       'legend.frameon': False, 'legend.fontsize': 9}
_WIDTH = 4.6
_MANY = 100
_BINS = np.linspace(0, 1, 21)
_DASHES = ('-', '--', '-.', ':')


def colour_of(number: int) -> str:
    """Choose a domain's colour by its place; the reference stands first."""
    return DOMAINS[number % len(DOMAINS)]


def _line(number: int) -> dict[str, str]:
    # Lines differ in their dashes too, for readers who can't see the colours.
    return {'color': colour_of(number), 'linestyle': _DASHES[number % len(_DASHES)]}


def _new(height: float, width: float = _WIDTH, **options):
    figure = Figure(figsize=(width, height), layout='constrained')
    return figure, figure.subplots(**options)


def _square():
    """Start a plot of shares with a dotted diagonal."""
    figure, axes = _new(3.9)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=':')
    axes.set_aspect('equal')
    return figure, axes


def svg(draw, *arguments) -> bytes:
    """Return the plot as an SVG file that one of this module's functions draws."""
    with matplotlib.rc_context(_RC):
        written = io.BytesIO()
        draw(*arguments).savefig(written, format='svg', metadata={'Date': None})
    return written.getvalue()


def forest(rows: Sequence[tuple[str, Interval, int]], label: str, line: float,
           hollow: bool = False) -> Figure:
    """
    Draw figures with their intervals, one below the other.

    :param rows: name, figure and number of the colour.
    :param label: label of the axis.
    :param line: value of no effect: chance, or no gap.
    :param hollow: whether a marker is hollow if its interval includes ``line``.
    """
    figure, axes = _new(0.95 + 0.36 * len(rows))
    axes.axvline(line, color=MUTED, linewidth=1, linestyle=':')
    for row, (_, of, number) in enumerate(rows):
        if not of.defined:
            axes.text(0.5, row, 'undefined', va='center', ha='center', color=MUTED, fontsize=9,
                      transform=axes.get_yaxis_transform())
            continue
        axes.plot([of.low, of.high], [row, row], color=colour_of(number), linewidth=2)
        fill = PAPER if hollow and of.low <= line <= of.high else colour_of(number)
        axes.plot(of.value, row, 'o', color=colour_of(number), markersize=6.5,
                  markerfacecolor=fill)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows], color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis='y')
    axes.tick_params(axis='y', length=0)
    axes.set_xlabel(label)
    return figure


def roc(domains: Sequence[tuple[Domain, int]]) -> Figure:
    """Draw the ROC curves of domains, given with their colours' numbers."""
    from sklearn.metrics import roc_curve
    figure, axes = _square()
    for one, number in domains:
        if one.counts.one_class:
            continue
        sample = one.pool.scored
        false, true, _ = roc_curve(sample.labels, sample.scores, drop_intermediate=True)
        axes.plot(false, true, linewidth=1.8, label=one.name, **_line(number))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel='failures that are accepted',
             ylabel='successes that are accepted')
    axes.legend(loc='lower right')
    return figure


def distribution(one: Domain, threshold: float) -> Figure:
    """Draw histograms of the scores: successes upwards, failures downwards."""
    figure, axes = _new(2.7)
    sample, top = one.pool.scored, 1
    # Along the data's x, and from -1 to 1 over the height.
    half = Affine2D().scale(1, 0.5).translate(0, 0.5)
    mixed = blended_transform_factory(axes.transData, half + axes.transAxes)
    for labels, sign, colour, name in ((True, 1, HELD, 'held'), (False, -1, FAILED, 'failed')):
        counts, _ = np.histogram(sample.scores[sample.labels == labels], _BINS)
        top = max(top, int(counts.max()))
        axes.bar(_BINS[:-1] + 0.025, sign * counts, 0.044, color=colour)
        axes.text(0.015, sign * 0.98, f'{int(counts.sum())} {name}', color=colour, ha='left',
                  va='top' if sign > 0 else 'bottom', fontsize=10, fontweight='bold',
                  transform=mixed)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.axvline(threshold, color=MUTED, linewidth=1, linestyle=':')
    axes.set(xlim=(0, 1), ylim=(-1.3 * top, 1.3 * top), xlabel='score at the decision',
             ylabel='attempts')
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f'{abs(value):.0f}')
    return figure


def reliability(kinds: Sequence[tuple[str, Calibration]]) -> Figure:
    """Draw how often grasps held, by their score; each line has a name and a calibration."""
    figure, axes = _square()
    looks = (('o', '-', DOMAINS[0], -0.006), ('D', '--', DOMAINS[1], 0.006))
    for (name, of), (marker, dash, colour, aside) in zip(kinds, looks, strict=False):
        x = np.array([one.score for one in of.bins])
        held = np.array([[one.held.value, one.held.low, one.held.high] for one in of.bins])
        axes.vlines(x + aside, held[:, 1], held[:, 2], color=colour, linewidth=1, alpha=0.55)
        # A line through a few uncertain shares would suggest a false shape.
        line = dash if len(of.scores) >= _MANY else 'none'
        axes.plot(x + aside, held[:, 0], linestyle=line, marker=marker, markersize=4,
                  color=colour, linewidth=1, label=name)
        axes.scatter(x + aside, held[:, 0], [14 + 130 * one.count / len(of.scores)
                                             for one in of.bins],
                     marker=marker, color=colour, zorder=3)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel='mean score',
             ylabel='share that held')
    figure.legend(loc='outside upper center', ncols=2)
    return figure


def curves(lines: Sequence[tuple[str, Curve, int]], measure: str, label: str, axis: str,
           left: bool) -> Figure:
    """
    Draw quality over time, and below it how many attempts count.

    :param lines: domain, curve and number of the colour.
    :param measure: ``auroc`` or ``balanced_accuracy``.
    :param label: of the upper axis; ``axis`` of the time.
    :param left: whether time counts down to the outcome, which is then on the right.
    """
    figure, (axes, below) = _new(3.3, 3.9, nrows=2, sharex=True, height_ratios=(4, 1))
    axes.axhline(0.5, color=MUTED, linewidth=1, linestyle=':')
    for name, of, number in lines:
        values, line = getattr(of, measure), _line(number)
        axes.fill_between(of.times_s, [one.low for one in values], [one.high for one in values],
                          color=line['color'], alpha=0.13, linewidth=0)
        axes.plot(of.times_s, [one.value for one in values], linewidth=1.8, label=name, **line)
        below.plot(of.times_s, of.attempts, linewidth=1.3, **line)
    if not left:
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.annotate(' decision', (0, 0.02), xycoords=('data', 'axes fraction'), fontsize=9,
                      color=INK)
    axes.set(ylim=(min(0.3, axes.get_ylim()[0]), 1.02), ylabel=label)
    below.set(xlabel=axis, ylabel='attempts', ylim=(0, None))
    below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    if left:
        below.invert_xaxis()
    figure.legend(*axes.get_legend_handles_labels(), loc='outside upper center', ncols=3)
    return figure


def ood_scores(rows: Sequence[tuple[str, np.ndarray, int]], level: float) -> Figure:
    """
    Draw what share of attempts is above each OOD score.

    :param rows: domain, OOD scores of its attempts, number of the colour.
    :param level: alarm from here on.
    """
    figure, axes = _new(3.3)
    axes.axvline(level, color=MUTED, linewidth=1, linestyle=':')
    for name, values, number in rows:
        ordered = np.sort(values)
        axes.step(np.r_[ordered[:1], ordered], np.linspace(1, 0, len(ordered) + 1), where='post',
                  linewidth=1.8, label=name, **_line(number))
    axes.set(xlabel='OOD score', ylabel='share of attempts beyond', ylim=(-0.02, 1.02))
    axes.legend(loc='upper right')
    return figure


def ranking(names: Sequence[str], simulated: np.ndarray, real: np.ndarray,
            axes_of: tuple[str, str], measure: str) -> Figure:
    """Draw checkpoints by their performance in two domains, which ``axes_of`` names."""
    figure, axes = _new(3.6)
    for number, (name, x, y) in enumerate(zip(names, simulated, real, strict=True)):
        axes.plot(x, y, 'o', color=colour_of(number), markersize=7)
        axes.annotate(name, (x, y), xytext=(6, 5), textcoords='offset points', fontsize=9)
    axes.margins(0.25)
    axes.set(xlabel=f'{measure}, {axes_of[0]}', ylabel=f'{measure}, {axes_of[1]}')
    return figure


def months(dates: Sequence[str], lines: Sequence[tuple[str, Sequence[Interval], int]]) -> Figure:
    """
    Draw a share by month.

    :param dates: the months, in order.
    :param lines: name, the share of each month, and number of the colour.
    """
    figure, axes = _new(3.3)
    for place, (name, found, number) in enumerate(lines):
        # Beside one another, so that no interval hides another.
        at = np.arange(len(dates)) + 0.12 * (place - (len(lines) - 1) / 2)
        line = _line(number)
        axes.vlines(at, [x.low for x in found], [x.high for x in found], color=line['color'],
                    linewidth=2, alpha=0.55)
        axes.plot(at, [x.value for x in found], marker='o', markersize=5, linewidth=1.2,
                  label=name, **line)
    axes.set_xticks(range(len(dates)), dates, rotation=45 if len(dates) > 5 else 0)
    axes.set(ylim=(-0.02, 1.02), xlim=(-0.5, len(dates) - 0.5), ylabel='share that held')
    if len(lines) > 1:
        figure.legend(loc='outside upper center', ncols=2)
    return figure


def course(times_s: np.ndarray, scores: np.ndarray, end_s: float, success: bool,
           threshold: float) -> Figure:
    """Draw one attempt's score over time; the line ends in its outcome."""
    figure, axes = _new(1.7, 3.6)
    axes.axhline(threshold, color=MUTED, linewidth=0.8, linestyle=':')
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.plot(times_s, scores, '.-', color=DOMAINS[0], linewidth=1.6, markersize=5)
    colour = HELD if success else FAILED
    axes.axvline(end_s, color=colour, linewidth=1.6)
    for text, at_s, look in (('decision', 0, INK),
                             ('held' if success else 'failed', end_s, colour)):
        axes.annotate(text, (at_s, 1.02), ha='center', va='bottom', fontsize=9, color=look,
                      xycoords=('data', 'axes fraction'))
    axes.set(ylim=(-0.04, 1.04), yticks=(0, 0.5, 1), ylabel='score',
             xlabel='s since the decision')
    return figure
