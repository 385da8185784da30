"""The plots of the performance pages: how cost grows, and with what."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt


@dataclass(frozen=True)
class Plot:
    """
    One picture.

    :ivar file: its name.
    :ivar benchmark: whose result it shows.
    :ivar curves: key of the curves in that result.
    :ivar title: in words.
    :ivar across: label of the x axis.
    :ivar up: label of the y axis.
    :ivar ticks: whether each x is a tick of its own, on a logarithmic axis; else linear.
    :ivar logarithmic: whether the y axis is.
    """

    file: str
    benchmark: str
    curves: str
    title: str
    across: str
    up: str = 'ms'
    ticks: bool = True
    logarithmic: bool = True


PLOTS = (
    Plot('performance_clip.png', 'moss_step', 'clip by T', 'A clip, by its length',
         'frames T', 'ms a clip'),
    Plot('performance_map.png', 'moss_step', 'step by map size', 'A step, by the size of the map',
         'side of the map', 'ms a step'),
    Plot('performance_orders.png', 'moss_step', 'step by orders', 'A step, by the orders',
         'orders 1 to', 'ms a step'),
    Plot('performance_kernels.png', 'moss_step', 'kernels',
         'Correlation of a map with five, C=64, window 9 x 9', 'side of the map', 'ms'),
    Plot('performance_length.png', 'stream_length', 'cost against length',
         'A new frame, by how many came before', 'frames', 'ms a new frame'),
    Plot('performance_time.png', 'stream_length', 'time along the stream',
         'Time a frame along the stream', 'frame', 'ms a frame', ticks=False),
    Plot('performance_memory.png', 'stream_length', 'memory along the stream',
         'Resident memory along the stream, above its first reading', 'frame', 'MiB',
         ticks=False, logarithmic=False),
    Plot('performance_prefixes.png', 'predictor_step', 'prefixes',
         'A step of the predictor, by the orders', 'orders 1 to', 'ms a step',
         logarithmic=False),
)


def draw(results: dict[str, dict], folder: Path) -> list[Path]:
    """Draw the plots whose results are there."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for plot in PLOTS:
        curves = results.get(plot.benchmark, {}).get('curves', {}).get(plot.curves)
        if curves:
            drawn.append(_draw(plot, curves, folder / plot.file))
    return drawn


def _draw(plot: Plot, curves: list[dict], path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(8.2, 3.8), layout='constrained')
    for curve in curves:
        axes.plot(curve['x'], curve['y'], marker='o' if plot.ticks else None,
                  linestyle='--' if 'vit-pytorch' in curve['label'] else '-',
                  markersize=4, label=curve['label'])
    if plot.ticks:
        places = sorted({x for curve in curves for x in curve['x']})
        if places[-1] >= 4 * places[0]:
            axes.set_xscale('log', base=2)
            if len(places) > 9:
                # The numbers of near places would overlap.
                places = [x for n, x in enumerate(places) if not n or x >= 1.6 * places[n - 1]]
        axes.set_xticks(places, [f'{x:g}' for x in places])
        axes.minorticks_off()
    if plot.logarithmic:
        axes.set_yscale('log')
        axes.yaxis.set_major_formatter('{x:g}')
    else:
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.0), max(high, 1.0))
    axes.set(title=plot.title, xlabel=plot.across, ylabel=plot.up)
    axes.grid(alpha=0.3)
    # Beside the axes, where it hides no curve.
    axes.legend(fontsize=8, loc='upper left', bbox_to_anchor=(1.01, 1.0))
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
