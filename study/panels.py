"""The pictures of the study, readable at the width of a page and without colour vision."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
import numpy as np

from study.goals import AtLeast, GOALS
from study.lead_times import BIN_ENDS_S, success_by_latency
from study.motion_error import DIS
from study.shift import factor_name, losses

# Okabe and Ito's colours; shapes say the same.
BLUE, ORANGE, GREEN, SKY, GREY, BLACK = (
    '#0072B2', '#D55E00', '#009E73', '#56B4E9', '#777777', '#000000')
_WIDTH = 8.0
_KINDS = (('MOSS, displacements', ('displacement', 'both'), BLUE, 'o'),
          ('MOSS on flow', ('moss_flow', 'moss_12_flow'), GREEN, 'D'),
          ('MOSS, encoding', ('moss',), SKY, '^'),
          ('optical flow', ('flow',), ORANGE, 's'), ('others', ('',), GREY, 'v'))
_SUCCESS = 'success of the chosen grasp, %'


def _figure(height: float, columns: int, **options: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(_WIDTH, height), layout='constrained')
    axes = figure.subplots(1, columns, squeeze=False, **options)[0]
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
    return figure, list(axes)


def _legend(figure: Figure, handles: list[Line2D], columns: int = 4) -> None:
    figure.legend(handles=handles, loc='outside lower center', ncols=columns, frameon=False,
                  fontsize=9)


def _mark(label: str, colour: str, marker: str, filled: bool = True, line: str = '') -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle=line or 'none', label=label,
                  markerfacecolor=colour if filled else 'white')


def draw_motion_error(result: dict[str, Any]) -> Figure:
    """
    Draw the error of displacements against their time.

    :param result: what ``study.motion_error`` stored.
    """
    methods = result['methods']
    sets = [name for name in methods[DIS] if name != 'ms']
    reference = methods[DIS]
    figure, axes = _figure(4.3, len(sets), sharey=True)
    for name, axis in zip(sets, axes, strict=True):
        goal = reference[name]['objects']['value'] * (1.2 if name == sets[0] else 1.0)
        axis.fill_between([0.2, reference['ms'] / 2], 0, goal, color=GREEN, alpha=0.15, lw=0)
        points = {method: (one['ms'], one[name]['objects']['value'])
                  for method, one in methods.items()}
        for method, (time, error) in points.items():
            label, colour, marker = _method(method)
            axis.plot(time, error, marker, color=colour, markersize=6, alpha=0.9)
            if label:
                right, lift = _LABELS.get(method, (False, 4))
                axis.annotate(label, (time, error), fontsize=8, textcoords='offset points',
                              xytext=(-7 if right else 7, lift), ha='right' if right else 'left')
        axis.set(title=name, xscale='log', xlabel='ms a frame, one core', xlim=(0.2, 200))
    axes[0].set(ylabel='endpoint error on objects, pixels', ylim=(0, None))
    _legend(figure, [_mark('OpenCV', ORANGE, 's'), *(
        _mark(f'MOSS, stride {stride}', colour, marker) for stride, (colour, marker)
        in _STRIDES.items()), _mark('the goal', GREEN, '')], 5)
    figure.legends[0].legend_handles[-1].set(linestyle='-', linewidth=8, alpha=0.3)
    return figure


# Where a label stands beside its point: left of it or not, and how high; others would overlap.
_LABELS = {'DIS, medium preset': (True, -3), 'Farneback': (False, 6)}
_STRIDES = {'1': (SKY, '^'), '2': (BLUE, 'o'), '4': (BLACK, 'v')}


def _method(name: str) -> tuple[str, str, str]:
    """Return a label, a colour and a marker; MOSS has too many points for labels."""
    if not name.startswith('MOSS'):
        short = name.replace(',', '').removesuffix(' preset')
        return ('DIS of flow' if name == DIS else short), ORANGE, 's'
    return '', *_STRIDES[name.removeprefix('MOSS, stride ').partition(':')[0]]


def draw_variants(result: dict[str, Any]) -> Figure:
    """
    Draw success by variant and set; a variant with time inputs stands in the row of its twin.

    :param result: a stored comparison.
    """
    rows = list(dict.fromkeys(name.removesuffix('_time') for name in result['costs']))
    first = next(iter(result['sets']))
    best = {row: max(result['variants'][name]['sets'][first]['all']['success']
                     for name in result['costs'] if name.removesuffix('_time') == row)
            for row in rows}
    rows.sort(key=lambda row: best[row])
    sets = whole_sets(result)
    figure, axes = _figure(1.8 + 0.3 * len(rows), len(sets), sharey=True, sharex=True)
    for name, axis in zip(sets, axes, strict=True):
        for variant in result['costs']:
            timed = variant.endswith('_time')
            _, colour, marker = _kind(variant)
            total = result['variants'][variant]['sets'][name]['all']
            height = rows.index(variant.removesuffix('_time')) + (0.16 if timed else -0.16)
            if total['low'] is not None:
                axis.plot([100 * total['low'], 100 * total['high']], [height] * 2, color=colour,
                          linewidth=1.2)
            axis.plot(100 * total['success'], height, marker, color=colour, markersize=6,
                      markerfacecolor=colour if timed else 'white')
        _references(axis, result['sets'][name])
        for goal in GOALS:
            if isinstance(goal, AtLeast) and goal.set == name:
                axis.axvline(goal.percent, color=GREEN, linewidth=2)
        axis.set(title=name.replace('_', ' '), xlabel='success, %')
        axis.set_yticks(range(len(rows)), rows)
        axis.set_ylim(-0.6, len(rows) - 0.4)
    kinds = dict.fromkeys(map(_kind, result['costs']))
    _legend(figure, [*(_mark(*kind) for kind in kinds),
                     _mark('with time inputs', BLACK, 'o'),
                     _mark('without time inputs', BLACK, 'o', filled=False),
                     _mark('goal', GREEN, '', line='-'),
                     _mark('true motion', GREY, '', line='-'),
                     _mark('constant velocity', GREY, '', line='--')])
    return figure


def whole_sets(result: dict[str, Any]) -> list[str]:
    """Return the sets that are no single factor or group of factors of the shift."""
    return [name for name, described in result['sets'].items()
            if '.' not in described.get('domain', '')]


def _kind(variant: str) -> tuple[str, str, str]:
    """Return what a variant is, its colour and its marker."""
    return next((label, colour, marker) for label, words, colour, marker in _KINDS
                if variant.startswith(words))


def _references(axis: Axes, described: dict[str, Any]) -> None:
    for name, style in (('true_motion', '-'), ('constant_velocity', '--')):
        value = described['baselines'].get(name, {}).get('all')
        if value is not None:
            axis.axvline(100 * value, color=GREY, linestyle=style, linewidth=1.2)


def draw_factors(result: dict[str, Any], before: str, after: str) -> Figure:
    """
    Draw what each paired set costs two variants, in success and AUROC.

    :param result: a stored comparison.
    """
    sets = list(losses(result, after))
    # Groups of factors first, so that the eye finds the sum before its parts.
    groups = ('everything', 'visual', 'dynamic')
    names = {name: factor_name(result['sets'][name], name) for name in sets}
    sets.sort(key=lambda name: groups.index(names[name]) if names[name] in groups else 9)
    figure, axes = _figure(1.7 + 0.34 * len(sets), 2, sharey=True)
    shown = [(before, f'before: {before}', ORANGE, 's', 0.22, False),
             (after, f'after: {after}', BLUE, 'o', 0.0, True)]
    if losses(result, 'true_motion'):
        shown.append(('true_motion', 'true motion', GREY, 'D', -0.22, True))
    for variant, _, colour, marker, lift, filled in shown:
        for row, name in enumerate(sets):
            one = losses(result, variant)[name]
            for axis, keys, scale in ((axes[0], ('difference', 'low', 'high'), 100),
                                      (axes[1], ('auroc', 'auroc_low', 'auroc_high'), 1)):
                value, *ends = (one[key] for key in keys)
                if value is None:
                    continue
                if None not in ends:
                    axis.plot([scale * end for end in ends], [lift - row] * 2, color=colour,
                              linewidth=1.2)
                axis.plot(scale * value, lift - row, marker, color=colour, markersize=6,
                          markerfacecolor=colour if filled else 'white')
    axes[0].set_yticks([-row for row in range(len(sets))], [names[name] for name in sets])
    axes[0].set_ylim(0.6 - len(sets), 0.6)
    for axis, label in zip(axes, ('points of success', 'AUROC'), strict=True):
        axis.locator_params(axis='x', nbins=6)
        axis.axvline(0, color=BLACK, linewidth=0.8)
        axis.set_xlabel(f'{label}, change from {losses(result, after)[sets[0]]["base"]}')
    _legend(figure, [_mark(label, colour, marker, filled)
                     for _, label, colour, marker, _, filled in shown], 3)
    return figure


def draw_latency(result: dict[str, Any], sets: list[str], timed: str) -> Figure:
    """
    Draw success by latency: the lead time told truly, told as in training, and not told.

    :param sets: whose scenes were executed at several lead times.
    :param timed: variant with time inputs.
    """
    blind = timed.removesuffix('_time')
    lines = [('true_motion', 'told', 'true motion', GREY, 'D', '-'),
             ('constant_velocity', 'told', 'constant velocity', GREY, 'v', '--'),
             (timed, 'told', f'{timed}, told the lead time', BLUE, 'o', '-'),
             (timed, 'fixed', f"{timed}, told the training's mean", SKY, '^', '--')]
    if blind != timed and blind in result['costs']:
        lines.append((blind, 'told', f'{blind}, not told', ORANGE, 's', '-.'))
    figure, axes = _figure(4.0, len(sets), sharey=True)
    for name, axis in zip(sets, axes, strict=True):
        for number, (variant, telling, label, colour, marker, style) in enumerate(lines):
            found = success_by_latency(result, name, variant, telling)
            found.pop('all', None)
            # Side by side, so that no interval hides another.
            places = [_middle_ms(one) + 4 * (number - 2) for one in found]
            values = [100 * one['success'] for one in found.values()]
            axis.plot(places, values, style, color=colour, marker=marker, markersize=5,
                      linewidth=1.4, label=label)
            if colour != GREY:
                axis.vlines(places, [100 * one['low'] for one in found.values()],
                            [100 * one['high'] for one in found.values()], color=colour, lw=0.8)
        axis.set(title=name.replace('_', ' '), xlabel='latency, ms')
        axis.set_xticks([0, *(1e3 * end for end in BIN_ENDS_S)])
    axes[0].set_ylabel(_SUCCESS)
    _legend(figure, [_mark(label, colour, marker, line=style)
                     for _, _, label, colour, marker, style in lines], 2)
    return figure


def _middle_ms(label: str) -> float:
    low, high = label.removesuffix(' ms').split(' to ')
    return (float(low) + float(high)) / 2


def draw_accuracies(panels: Mapping[str, Mapping[str, Any]], alone: str, blind: str) -> Figure:
    """
    Draw accuracies with their intervals, one panel beside the other, a variant a row.

    :param panels: by title, for each variant ``accuracy``, ``low`` and ``high``, shares.
    :param alone: the variant that the others are compared with: a line through all rows.
    :param blind: the baseline that does not see the video: a dotted line.
    """
    variants = sorted({name for one in panels.values() for name in one} - {blind},
                      key=lambda name: np.mean([one[name]['accuracy'] for one in panels.values()
                                                if name in one]))
    figure, axes = _figure(1.3 + 0.3 * len(variants), len(panels), sharey=True)
    for (title, found), axis in zip(panels.items(), axes, strict=True):
        for row, name in enumerate(variants):
            if name not in found:
                continue
            one, (_, colour, marker) = found[name], _kind(name)
            if one['low'] is not None:
                axis.plot([100 * one['low'], 100 * one['high']], [row, row], color=colour)
            axis.plot(100 * one['accuracy'], row, marker, color=colour)
        for name, line in ((alone, '--'), (blind, ':')):
            if name in found:
                axis.axvline(100 * found[name]['accuracy'], color=GREY, linestyle=line, lw=1)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel('accuracy, %')
        axis.set_yticks(range(len(variants)), variants)
        axis.set_ylim(-0.5, len(variants) - 0.5)
    _legend(figure, [*(_mark(*kind) for kind in dict.fromkeys(map(_kind, reversed(variants)))),
                     _mark(alone, GREY, '', line='--'), _mark(blind, GREY, '', line=':')], 3)
    return figure
