"""The demo's plots: scores over time, and a contact sheet of scored frames."""

from collections.abc import Sequence
from dataclasses import dataclass
import math
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from moss_perception.cli.demo.source import Source
from moss_perception.core.geometry import project
from moss_perception.core.scores import positions_of
from moss_perception.evaluation.attempts import Attempt
from moss_perception.evaluation.drawing import draw_gripper, Figure
from moss_perception.evaluation.matching import EXECUTED, NEAREST
from moss_perception.evaluation.outputs import FrameScores
from moss_perception.evaluation.pictures import read_images
from moss_perception.evaluation.records import AttemptRecord
import numpy as np

HELD, DROPPED, LINE, DEFAULT = '#2a9d4a', '#d1342f', '#1f4e8c', '#7a7f87'
_MAP = matplotlib.colormaps['RdYlGn']
_TILES, _COLUMNS = 12, 4
# A dollar sign in a name begins no formula.
_PLAIN = matplotlib.rc_context({'text.parse_math': False})
# A longer time without scores is a gap, and no line is drawn across it.
_GAP_S = 0.6
_CAPTION = 'dots: grasp points, from red for a low score to green for a high one; bar: '
_EXECUTED = ('score of the executed grasp, drawn in white; it was chosen before these scores '
             'existed')


@dataclass(frozen=True)
class Tile:
    """
    One frame of the contact sheet.

    :ivar scores: scores of the frame.
    :ivar attempt: the attempt with its decision at this frame, or ``None``.
    """

    scores: FrameScores
    attempt: AttemptRecord | None = None


@_PLAIN
def plot_scores(path: Path, source: Source, frames: Sequence[FrameScores],
                attempts: Sequence[AttemptRecord], warning: str = '') -> None:
    """
    Plot the scores with their uncertainty over time, and the outcomes of the attempts.

    :param path: PNG file to write.
    :param frames: at least one.
    :param warning: what the reader has to know first, above the picture; empty for nothing.
    """
    figure = Figure(figsize=(14, 4.6), layout='constrained')
    _warn(figure, warning)
    axes = figure.add_subplot()
    _plot_lines(axes, source, sorted(frames, key=lambda s: s.stamp_ns))
    for attempt in attempts:
        _plot_attempt(axes, source, attempt)
    axes.set(ylim=(-0.02, 1.09), xlabel='time in the recording, s', ylabel='grasp success score',
             title=f'Scores of {Path(source.shown).name}')
    axes.margins(x=0.01)
    axes.set_xlim(left=0)
    axes.axhline(0.5, color='0.6', linewidth=0.8, linestyle=':')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(handles=_legend(bool(attempts), frames), ncols=3, frameon=False,
                loc='upper left', bbox_to_anchor=(0, -0.13))
    figure.savefig(path, dpi=110, format='png')


@_PLAIN
def draw_contact_sheet(path: Path, source: Source, frames: Sequence[FrameScores],
                       attempts: Sequence[AttemptRecord],
                       default_point: tuple[float, float], warning: str = '') -> None:
    """
    Draw scored frames with their grasps and outcomes.

    :param path: PNG file to write.
    :param frames: at least one.
    :param default_point: default grasp point of the checkpoint, in [0, 1] of the image.
    :param warning: what the reader has to know first, above the picture; empty for nothing.
    """
    tiles = choose_tiles(frames, attempts)
    images = read_images(source.path, source.image_topic, {
        tile.scores.stamp_ns for tile in tiles})
    rows = math.ceil(len(tiles) / _COLUMNS)
    columns = min(_COLUMNS, len(tiles))
    first = next(iter(images.values()))
    height = 3.4 * first.shape[0] / first.shape[1] + 0.95
    figure = Figure(figsize=(3.4 * columns, height * rows), layout='constrained')
    _warn(figure, warning)
    for tile, axes in zip(tiles, figure.subplots(rows, columns, squeeze=False).flat, strict=False):
        _draw_tile(axes, tile, source, images[tile.scores.stamp_ns], default_point)
    for axes in figure.axes[len(tiles):rows * columns]:
        axes.set_axis_off()
    figure.supxlabel(_CAPTION + (_EXECUTED if attempts else 'the best of these scores'),
                     fontsize=10)
    figure.savefig(path, dpi=110, format='png')


def _warn(figure: Figure, warning: str) -> None:
    if warning:
        figure.suptitle(warning, color=DROPPED, fontweight='bold', fontsize=12, wrap=True)


def choose_tiles(frames: Sequence[FrameScores], attempts: Sequence[AttemptRecord]) -> list[Tile]:
    """
    Choose at most twelve frames: at the decisions of attempts, or else evenly spaced.

    :param frames: at least one.
    """
    by_stamp = {s.stamp_ns: s for s in frames}
    tiles = [Tile(by_stamp[a.scored_ns], a) for a in attempts if a.scored_ns is not None]
    if not tiles:
        tiles = [Tile(by_stamp[stamp]) for stamp in sorted(by_stamp)]
    chosen = np.linspace(0, len(tiles) - 1, min(_TILES, len(tiles))).round().astype(int)
    return [tiles[index] for index in chosen]


def _plot_lines(axes: Axes, source: Source, frames: Sequence[FrameScores]) -> None:
    times = np.array([(s.stamp_ns - source.start_ns) / 1e9 for s in frames])
    best = np.array([_best(_rows(s)) for s in frames])
    listed = np.array([len(s.scores.candidates) > 0 for s in frames])
    breaks = (np.diff(times) > _GAP_S) | (np.diff(listed.astype(int)) != 0)
    for part in np.split(np.arange(len(times)), np.flatnonzero(breaks) + 1):
        color = LINE if listed[part[0]] else DEFAULT
        score, spread = best[part].T
        axes.fill_between(times[part], np.clip(score - spread, 0, 1),
                          np.clip(score + spread, 0, 1), color=color, alpha=0.2, linewidth=0)
        axes.plot(times[part], score, color=color, linewidth=1.6 if listed[part[0]] else 1.0)
    for time, rows in zip(times[listed], (s.scores.candidates for s in frames
                                          if len(s.scores.candidates)), strict=True):
        axes.plot(np.full(len(rows), time), rows['score'], '.', color='0.45',
                  markersize=2.2, zorder=1)


def _plot_attempt(axes: Axes, source: Source, attempt: AttemptRecord) -> None:
    start, decision, end = ((t - source.start_ns) / 1e9 for t in (
        attempt.start_ns, attempt.decision_ns, attempt.end_ns))
    color = _color(attempt)
    axes.axvspan(start, end, color=color, alpha=0.12, linewidth=0)
    axes.axvline(decision, ymax=0.92, color=color, linewidth=0.8, linestyle='--')
    axes.text((start + end) / 2, 1.03, str(attempt.attempt), ha='center', fontsize=9, color=color)
    if math.isfinite(attempt.score):
        axes.plot(decision, attempt.score, 'o' if attempt.success else 'X', color=color,
                  markersize=9, markeredgecolor='white', zorder=5)


def _legend(labelled: bool, frames: Sequence[FrameScores]) -> list:
    handles = []
    if any(len(s.scores.candidates) for s in frames):
        handles += [
            Line2D([], [], color=LINE, label='best candidate, and its uncertainty'),
            Line2D([], [], color='0.45', marker='.', linestyle='', label='every candidate')]
    if not all(len(s.scores.candidates) for s in frames):
        handles.append(Line2D([], [], color=DEFAULT, label='the only grasp point (the '
                              'default one), and its uncertainty'))
    if labelled:
        handles += [
            Line2D([], [], color=HELD, marker='o', linestyle='--',
                   label='decision: score of the executed grasp, a success'),
            Line2D([], [], color=DROPPED, marker='X', linestyle='--',
                   label='decision: score of the executed grasp, a failure'),
            Patch(color='0.8', label='numbered: attempts, green held, red failed')]
    return handles


def _draw_tile(axes: Axes, tile: Tile, source: Source, image: np.ndarray,
               default_point: tuple[float, float]) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, interpolation='bicubic')
    rows = _rows(tile.scores)
    places = positions_of(rows).astype(float)
    pixels = np.full((len(rows), 2), np.nan)
    camera = source.camera and source.camera.at_size(width, height)
    if camera is not None:
        pixels, _ = project(places, camera)
    elif len(rows) == 1:
        pixels = np.array([default_point]) * (width, height) - 0.5
    axes.scatter(*pixels.T, c=np.nan_to_num(rows['score']), cmap=_MAP, vmin=0, vmax=1, s=42,
                 edgecolors='black', linewidths=0.8, zorder=3)
    executed = _executed(tile, source)
    if executed is not None and camera is not None:
        draw_gripper(axes, executed, camera)
    score, spread = _best(rows)
    seconds = (tile.scores.stamp_ns - source.start_ns) / 1e9
    title, color = f'{seconds:.1f} s', 'black'
    if tile.attempt:
        attempt = tile.attempt
        score, spread, color = attempt.score, attempt.uncertainty, _color(attempt)
        title = f'attempt {attempt.attempt}: {attempt.object or "grasp"} ' + (
            'held' if attempt.success else 'failed')
    axes.set_title(title, fontsize=11, color=color, fontweight='bold')
    _draw_bar(axes, score, spread, (height, width))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=2)


def _executed(tile: Tile, source: Source) -> Attempt | None:
    """Return the executed grasp of a tile's attempt if it is known and was a candidate."""
    if tile.attempt is None or tile.attempt.source not in (EXECUTED, NEAREST):
        return None
    return next((x for x in source.attempts if x.outcome.attempt == tile.attempt.attempt
                 and x.position is not None), None)


def _draw_bar(axes: Axes, score: float, spread: float, size: tuple[int, int]) -> None:
    """Draw a score under a tile, as a bar and in figures."""
    height, width = size
    bar = axes.inset_axes((0, -0.13 * width / height, 1, 0.075 * width / height))
    known = math.isfinite(score)
    bar.barh(0, score if known else 0, color=_MAP(score if known else 0.5), height=1)
    bar.axvline(0.5, color='0.4', linewidth=0.8)
    bar.set(xlim=(0, 1), ylim=(-0.5, 0.5), xticks=[], yticks=[])
    text = 'no score' if not known else f'{score:.2f}' + (
        f' \N{PLUS-MINUS SIGN} {spread:.2f}' if math.isfinite(spread) else '')
    bar.text(0.015, -0.05, text, va='center', fontsize=9, transform=bar.transData)


def _rows(frame: FrameScores) -> np.ndarray:
    """Return the candidates of a frame, or else the default grasp point."""
    found = frame.scores
    return found.candidates if len(found.candidates) else np.array([found.default])


def _color(attempt: AttemptRecord) -> str:
    return DEFAULT if not attempt.executed else HELD if attempt.success else DROPPED


def _best(rows: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(rows['score']).any():
        return math.nan, math.nan
    index = int(np.nanargmax(rows['score']))
    return float(rows['score'][index]), float(rows['uncertainty'][index])
