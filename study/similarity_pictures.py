"""A picture of what MOSS compares: frames, and the similarities of the object's position."""

import io

import matplotlib
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from moss_perception.evaluation.drawing import Figure
import numpy as np

from study.similarities import centre, Similarities, strongest

_QUERY, _WAY = '#f2c230', '#35d07f'
# Dark with a light rim, to be seen on any colour.
_RIM = [withStroke(linewidth=3, foreground='white')]
_RING = {'marker': 'o', 'markersize': 8, 'markerfacecolor': 'none', 'color': '#111111',
         'markeredgewidth': 1.3, 'linestyle': '', 'path_effects': _RIM}
_DOT = {**_RING, 'markersize': 2.6, 'markerfacecolor': '#111111'}
_OUTSIDE = '#c9ced6'
_RC = {'font.size': 9, 'axes.titlesize': 8.5, 'xtick.labelsize': 7, 'ytick.labelsize': 7,
       'hatch.linewidth': 0.5}
_CELL_INCHES = 1.55
_MINUS = '\N{MINUS SIGN}'


def draw(sets: dict[str, Similarities], title: str) -> bytes:
    """
    Draw scenes one below another, of each the newest samples and a row of maps an order.

    The columns are the samples of the window, oldest first. A map holds the cosines of the
    object's position at the newest sample with its neighbours in that column's. Where the object
    was in the samples before is not marked: scenes do not keep it. But the strongest neighbour
    of order 1 is marked in the frames too, so that it can be seen whether that is the object.

    :param sets: by name, one scene each, of the same network.
    :param title: of the whole.
    :returns: a PNG file.
    """
    first = next(iter(sets.values()))
    orders, length = first.values.shape[:2]
    rows = len(sets) * (orders + 1)
    # Narrower, the legend would not fit.
    size = (max(_CELL_INCHES * length + 1.3, 6.2),
            (_CELL_INCHES + 0.2) * rows + 0.4 * len(sets) + 0.85)
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=size, layout='constrained')
        figure.suptitle(title, fontsize=11, fontweight='bold')
        parts = np.ravel(figure.subfigures(len(sets), 1, hspace=0.03))
        panels = []
        for part, (name, one) in zip(parts, sets.items(), strict=True):
            part.suptitle(f'{name}: scene {one.seed}, {one.motion.replace("_", " ")}', fontsize=10)
            panels.append(part.subplots(orders + 1, length))
            shown = _draw_scene(panels[-1], one)
            part.colorbar(shown, ax=panels[-1][1:], shrink=0.9, aspect=14 * orders, pad=0.02,
                          ticks=(-1, -0.5, 0, 0.5, 1), label='cosine')
        figure.legend(handles=_handles(), loc='outside lower center', frameon=False,
                      fontsize=8, ncols=3 if length >= 5 else 2)
        written = io.BytesIO()
        figure.savefig(written, format='png', dpi=100)
    return written.getvalue()


def _draw_scene(panels: np.ndarray, one: Similarities):
    """Fill the rows of one scene; return what the colour bar is for."""
    panels[0, 0].set_ylabel('frames', fontsize=10)
    for column, lag in enumerate(one.lags):
        ago, unit = f'{_MINUS}{lag / one.rate_hz:.1f} s', 'sample' if lag == 1 else 'samples'
        _draw_frame(panels[0, column], one, column)
        panels[0, column].set_title(f'{_MINUS}{lag} {unit} ({ago})' if lag else 'newest (0 s)')
        for order, axes in enumerate(panels[1:, column], start=1):
            values = one.values[order - 1, column]
            shown = _draw_map(axes, values, edge=column == 0)
            most = f'max {np.nanmax(values):.2f}'.replace('-', _MINUS)
            axes.set_title(f'{_MINUS}{lag} ({ago}): {most}' if lag else f'0 (0 s): {most}')
            if column == 0:
                axes.set_ylabel(f'order {order}', fontsize=10)
    return shown


def _draw_frame(axes, one: Similarities, column: int) -> None:
    axes.imshow(one.images[column], interpolation='nearest')
    axes.set(xticks=[], yticks=[])
    side, (row, left) = one.stride, one.query
    for half, style in (((0, 0), '-'), (np.array(one.values.shape[2:]) // 2, ':')):
        corner = np.array([left - half[1], row - half[0]]) * side - 0.5
        axes.add_patch(Rectangle(corner, (2 * half[1] + 1) * side, (2 * half[0] + 1) * side,
                                 fill=False, edgecolor=_QUERY, linestyle=style, linewidth=1.4))
    down, right = strongest(one.values[0, column])
    middle = (np.array([left + right, row + down]) + 0.5) * side - 0.5
    if column < len(one.images) - 1:
        axes.plot(*middle, **{**_RING, 'markersize': 5.5})
    else:
        axes.plot(*np.stack([one.place, one.place + one.way], axis=1), color=_WAY, linewidth=1.8)
        axes.plot(*one.place, 'o', color=_WAY, markersize=4)


def _draw_map(axes, values: np.ndarray, edge: bool):
    """Draw one map, offsets in cells beside the leftmost."""
    height, width = (size // 2 for size in values.shape)
    axes.set_facecolor(_OUTSIDE)
    shown = axes.imshow(values, cmap='RdBu_r', vmin=-1, vmax=1, interpolation='nearest', extent=(
        -width - 0.5, width + 0.5, height + 0.5, -height - 0.5))
    axes.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor=_QUERY, linewidth=1.6))
    down, right = strongest(values)
    axes.plot(right, down, **_RING)
    axes.plot(*centre(values)[::-1], **_DOT)
    axes.set(xticks=[-width, 0, width], yticks=[-height, 0, height])
    axes.tick_params(length=2, pad=1.5, labelleft=edge)
    return shown


def _handles() -> list:
    return [Patch(fill=False, edgecolor=_QUERY, linewidth=1.6, label="the object's cell"),
            Patch(fill=False, edgecolor=_QUERY, linestyle=':', linewidth=1.4, label='its window'),
            Line2D([], [], **_RING, label='strongest neighbour (frames: order 1)'),
            Line2D([], [], **_DOT, label='centre of the most alike'),
            Line2D([], [], color=_WAY, marker='o', markersize=4,
                   label="object's centre, and its way until the fingers close"),
            Patch(facecolor=_OUTSIDE, label='outside the map')]
