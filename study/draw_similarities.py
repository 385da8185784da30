"""Draw what MOSS compares at an object: ``python -m study.draw_similarities``."""

import argparse
import io
import logging
from pathlib import Path
import sys

import matplotlib
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from moss_perception.cli.common import run_command, set_up_logging, status_line, write_bytes
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path
from moss_perception.data.scenes import in_view, read_shards
from moss_perception.evaluation.drawing import Figure
from moss_perception.evaluation.intervals import require
from moss_perception.evaluation.look.picture import draw_map, OUTSIDE, QUERY
from moss_perception.models.checkpoint import load_checkpoint
import numpy as np

from study.compare import named_folders
import study.models  # noqa: F401, registers the variants
from study.similarity_maps import (
    centre,
    read_similarities,
    require_similarities,
    Similarities,
    strongest,
    summarise,
)

log = logging.getLogger('draw_similarities')
_PATH = '#35d07f'
# Dark with a light rim, visible on any colour.
_RIM = [withStroke(linewidth=3, foreground='white')]
_RING = {'marker': 'o', 'markersize': 8, 'markerfacecolor': 'none', 'color': '#111111',
         'markeredgewidth': 1.3, 'linestyle': '', 'path_effects': _RIM}
_DOT = {**_RING, 'markersize': 2.6, 'markerfacecolor': '#111111'}
_RC = {'font.size': 9, 'axes.titlesize': 8.5, 'xtick.labelsize': 7, 'ytick.labelsize': 7,
       'hatch.linewidth': 0.5}
_CELL_INCHES = 1.55
_MINUS = '\N{MINUS SIGN}'


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.draw_similarities', epilog=status_line(),
        description='Draw the similarities that MOSS finds at an object.')
    parser.add_argument('--model', default='',
                        help='checkpoint of a model with MOSS (default: the shipped model)')
    parser.add_argument('--scenes', nargs='+', required=True, metavar='NAME=DIR',
                        help='sets of scenes; one scene of each is drawn')
    parser.add_argument('--seed', nargs='+', default=[], metavar='NAME=SEED',
                        help='seed of the scene to draw from a set (default: the first scene)')
    parser.add_argument('--motion', default='',
                        help="use only scenes with this motion, such as 'accelerating'")
    parser.add_argument('--out', metavar='FILE.png', help='write the picture to this file')
    parser.add_argument('--summary', nargs='?', type=int, const=100, metavar='N',
                        help='print a table of the maps of the first N scenes of each set (100)')
    return parser


def similarities(arguments: argparse.Namespace) -> int:
    """Draw a scene of each set, print a table of the maps of all sets, or both."""
    folders = named_folders(arguments.scenes)
    seeds = named_seeds(arguments.seed, list(folders))
    if not arguments.out and arguments.summary is None:
        raise ConfigError('there is nothing to do: expected --out FILE.png, --summary or both')
    path = model_path(arguments.model)
    network = load_checkpoint(path)
    require_similarities(network.config)
    if arguments.out:
        _draw(network, path.stem, folders, seeds, arguments)
    if arguments.summary is not None:
        _summarise(network, path.stem, folders, arguments)
    return 0


def _draw(network, model: str, folders: dict, seeds: dict, arguments) -> None:
    found = {}
    for name, folder in folders.items():
        scenes = choose_scenes(folder, arguments.motion, seeds.get(name))
        found[name] = read_similarities(network, scenes)[0]
    write_bytes(Path(arguments.out), draw(found, f'What {model} compares with the object'))
    log.info('drew %s', arguments.out)


def _summarise(network, model: str, folders: dict, arguments) -> None:
    require()
    if arguments.summary < 2:
        raise ConfigError(f'--summary {arguments.summary} is not allowed: expected 2 scenes or '
                          'more')
    sets = {name: read_similarities(network, choose_scenes(
        folder, arguments.motion, limit=arguments.summary)) for name, folder in folders.items()}
    print(f'{model}: cosines of the object with its neighbours in the earlier samples, mean over '
          'the scenes [95 % interval, bootstrap over scenes]. contrast: maximum minus median of a '
          'map; plateau: share of the neighbours less than 0.1 below the strongest; distance: of '
          'the strongest neighbour from the object, cells; correlation: of the shift of a '
          "map's centre with the object's displacement until the fingers close.\n")
    print(summarise(sets))


def named_seeds(words: list[str], names: list[str]) -> dict[str, int]:
    """
    Parse the words of ``--seed``: ``NAME=SEED``, or ``SEED`` alone if there is one set.

    :param names: names of the sets.
    :raises ConfigError: if a word has another form, or names an unknown set.
    """
    seeds: dict[str, int] = {}
    for word in words:
        name, _, seed = word.rpartition('=')
        if not name and len(names) == 1:
            name = names[0]
        if name not in names or name in seeds or not seed.isdecimal():
            raise ConfigError(f'--seed {word} is not allowed: expected NAME=SEED, each name once '
                              f'and one of {names}')
        seeds[name] = int(seed)
    return seeds


def choose_scenes(folder: str, motion: str = '', seed: int | None = None,
                  limit: int = 1) -> list:
    """
    Read the first scenes of a folder whose candidates are all in view.

    :param motion: kind of motion; empty for any.
    :param seed: seed of the scene; ``None`` for any.
    :param limit: largest number of scenes.
    :raises ConfigError: if no scene matches.
    """
    chosen = in_view((scene for scene in read_shards(folder) if motion in ('', scene.motion)
                      and seed in (None, scene.seed)), limit)
    if not chosen:
        there = list(read_shards(folder))
        seeds = [scene.seed for scene in there]
        asked = [f'seed {seed}'] * (seed is not None) + [f'motion {motion!r}'] * bool(motion)
        raise ConfigError(
            f'{folder} has no scene with {" and ".join(asked) or "all candidates"} in view: '
            f'expected a seed of {min(seeds)} to {max(seeds)}, and a motion of '
            f'{sorted({scene.motion for scene in there})}')
    return chosen


def draw(sets: dict[str, Similarities], title: str) -> bytes:
    """
    Draw scenes one below another: the newest samples, and one row of maps for each order.

    The columns are the samples of the window, oldest first. A map shows the cosines of the
    object's position at the newest sample with its neighbours in the sample of the column. The
    true position in earlier samples is not marked, since scenes do not store it. The strongest
    neighbour of order 1 is marked in the frames, so that you can see whether it is the object.

    :param sets: one scene a set, by name, all of the same network.
    :param title: title of the figure.
    :returns: a PNG file.
    """
    first = next(iter(sets.values()))
    orders, length = first.values.shape[:2]
    rows = len(sets) * (orders + 1)
    # The legend needs this width.
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
    """Fill the rows of one scene; return the image that the colour bar describes."""
    panels[0, 0].set_ylabel('frames', fontsize=10)
    for column, lag in enumerate(one.lags):
        ago, unit = f'{_MINUS}{lag / one.rate_hz:.1f} s', 'sample' if lag == 1 else 'samples'
        _draw_frame(panels[0, column], one, column)
        panels[0, column].set_title(f'{_MINUS}{lag} {unit} ({ago})' if lag else 'newest (0 s)')
        for order, axes in enumerate(panels[1:, column], start=1):
            values = one.values[order - 1, column]
            shown = mark_map(axes, values, edge=column == 0)
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
                                 fill=False, edgecolor=QUERY, linestyle=style, linewidth=1.4))
    down, right = strongest(one.values[0, column])
    middle = (np.array([left + right, row + down]) + 0.5) * side - 0.5
    if column < len(one.images) - 1:
        axes.plot(*middle, **{**_RING, 'markersize': 5.5})
    else:
        axes.plot(*np.stack([one.position, one.position + one.displacement], axis=1),
                  color=_PATH, linewidth=1.8)
        axes.plot(*one.position, 'o', color=_PATH, markersize=4)


def mark_map(axes, values: np.ndarray, edge: bool):
    """Draw one map, with its strongest neighbour and the centre of the most similar."""
    shown = draw_map(axes, values, edge)
    axes.plot(*strongest(values)[::-1], **_RING)
    axes.plot(*centre(values)[::-1], **_DOT)
    return shown


def _handles() -> list:
    return [Patch(fill=False, edgecolor=QUERY, linewidth=1.6, label="the object's cell"),
            Patch(fill=False, edgecolor=QUERY, linestyle=':', linewidth=1.4, label='its window'),
            Line2D([], [], **_RING, label='strongest neighbour (frames: order 1)'),
            Line2D([], [], **_DOT, label='centre of the most similar'),
            Line2D([], [], color=_PATH, marker='o', markersize=4,
                   label="object's centre and path until the fingers close"),
            Patch(facecolor=OUTSIDE, label='outside the map')]


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(similarities, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
