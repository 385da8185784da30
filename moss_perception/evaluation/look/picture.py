"""The picture of a look inside MOSS."""

import io
from typing import Any

from moss_perception.evaluation.drawing import Figure
from moss_perception.evaluation.look.frames import Samples
from moss_perception.evaluation.look.orders import Look
from moss_perception.evaluation.look.probes import Answers
import numpy as np

# Matplotlib's own import would warn without Figure's filter.
from matplotlib.patches import Rectangle  # isort: skip

_ORDERS = ('where it moves', 'how that changes', 'how that recurs')
_UNITS = {'velocity': 'cells / frame', 'acceleration': 'cells / frame²', 'period': 'frames'}
# Okabe and Ito's colours; shapes say the same.
_COLOURS, _MARKERS = ('#0072B2', '#D55E00', '#009E73'), ('o', 's', '^')
QUERY, OUTSIDE = '#f2c230', '#c9ced6'
_WIDTH_IN, _CELL_IN, _DPI = 8.0, 1.5, 100
_MINUS = '\N{MINUS SIGN}'


def draw(samples: Samples, look: Look, answers: Answers, title: str) -> bytes:
    """
    Draw samples, the similarity maps of each order, and the answers to probes.

    :returns: a PNG file.
    """
    orders, columns = look.maps.shape[:2]
    shape = samples.images.shape
    frame_in = _CELL_IN * 1.1 * shape[1] / shape[2]
    heights = (frame_in + (_CELL_IN + 0.25) * orders + 0.6, 2.6)
    figure = Figure(figsize=(_WIDTH_IN, sum(heights) + 0.3), layout='constrained')
    figure.suptitle(title, fontsize=11, fontweight='bold', parse_math=False)
    parts: Any = figure.subfigures(2, 1, height_ratios=heights, hspace=0.02)
    above, below = parts
    panels = above.subplots(orders + 1, columns, height_ratios=[frame_in] + [_CELL_IN] * orders)
    shown: Any = None
    for column, age in enumerate(look.ages):
        ago = samples.times_s[-1] - samples.times_s[-1 - age]
        panels[0, column].set_title(f'{_MINUS}{ago:.2f} s' if age else
                                    f'newest, at {samples.times_s[-1]:.2f} s', fontsize=9)
        _draw_frame(panels[0, column], samples, look, column)
        for order, axes in enumerate(panels[1:, column]):
            shown = draw_map(axes, look.maps[order, column], column == 0)
            axes.set_xlabel(_read(look, order, age), fontsize=8, labelpad=2)
            if column == 0:
                axes.set_ylabel(f'order {order + 1}\n{_ORDERS[order]}', fontsize=9)
    above.colorbar(shown, ax=panels[1:], shrink=0.6, aspect=40, pad=0.02, label='similarity')
    _draw_answers(below, answers)
    written = io.BytesIO()
    figure.savefig(written, format='png', dpi=_DPI)
    return written.getvalue()


def _read(look: Look, order: int, age: int) -> str:
    """Say what an order reads since a sample, in the recording's pixels."""
    if not age:
        return 'the sample itself'
    place = look.lags.index(age)
    if not look.found[order, place]:
        return 'not found'
    right, down = look.displacements[order, place] * look.cell_px
    word = 'moved' if order == 0 else 'change'
    return f'{word} {right:+.1f}, {down:+.1f} px'.replace('-', _MINUS)


def _draw_frame(axes, samples: Samples, look: Look, column: int) -> None:
    age = look.ages[column]
    image = samples.images[-1 - age]
    axes.imshow(image)
    axes.set(xticks=[], yticks=[])
    side = look.cell_px * samples.scale
    middle = (np.array(look.cell[::-1]) + 0.5) * side - 0.5
    reach = (look.maps.shape[-1] // 2 + 0.5) * side
    axes.add_patch(Rectangle(middle - reach, 2 * reach, 2 * reach, fill=False, linestyle=':',
                             edgecolor=QUERY, linewidth=1.2))
    if age and look.found[0, look.lags.index(age)]:
        # Where it was.
        there = middle - look.displacements[0, look.lags.index(age)] * side
        axes.plot(*np.stack([there, middle], 1), color=QUERY, linewidth=1.5)
        axes.plot(*there, 'o', markersize=5, color=QUERY, markeredgecolor='black')
    elif not age:
        axes.plot(*middle, 's', markersize=6, markerfacecolor='none', color=QUERY,
                  markeredgewidth=1.6)
    axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))


def draw_map(axes: Any, values: np.ndarray, edge: bool) -> Any:
    """
    Draw the similarities of one position to those around it, which it is in the middle of.

    :param axes: matplotlib's axes.
    :param values: shape (height, width), both odd, in [-1, 1]; NaN outside the frame.
    :param edge: label the axis at the left, in cells.
    :returns: matplotlib's image, for a colour bar.
    """
    down, right = (size // 2 for size in values.shape)
    axes.set_facecolor(OUTSIDE)
    shown = axes.imshow(values, cmap='RdBu_r', vmin=-1, vmax=1, interpolation='nearest', extent=(
        -right - 0.5, right + 0.5, down + 0.5, -down - 0.5))
    axes.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor=QUERY, linewidth=1.4))
    axes.set(xticks=[-right, 0, right], yticks=[-down, 0, down])
    axes.tick_params(length=2, pad=1.5, labelsize=7, labelleft=edge)
    return shown


def _draw_answers(figure, answers: Answers) -> None:
    figure.suptitle('What each order answers to: synthetic probes, and the share of the quantity '
                    'that its displacement explains (r²)', fontsize=9)
    explained = answers.explained()
    for axes, (name, truth) in zip(figure.subplots(1, len(answers.truth)), answers.truth.items(),
                                   strict=True):
        for order, (read, colour, marker) in enumerate(zip(answers.read[name], _COLOURS, _MARKERS,
                                                           strict=False)):
            axes.plot(truth, read, marker, color=colour, markersize=3.5, alpha=0.8,
                      label=f'order {order + 1}: {explained[name][order]:.2f}')
        if name == 'period':
            axes.set(xscale='log', yscale='log')
            axes.set_xticks([6, 10, 20], ['6', '10', '20'])
            axes.set_yticks([0.5, 1, 2, 5], ['0.5', '1', '2', '5'])
            axes.tick_params(which='minor', labelbottom=False, labelleft=False)
        axes.set_xlabel(f'{name}, {_UNITS[name]}', fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6.2, frameon=False, loc='lower center', bbox_to_anchor=(0.5, 0.98),
                    ncols=3, handletextpad=0, columnspacing=0.3, borderpad=0.2)
    figure.axes[0].set_ylabel('read, cells', fontsize=8)
