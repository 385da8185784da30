"""A contact sheet: the image at the decision of each attempt with its grasp, and at its end."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
import io
import math
from pathlib import Path

from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.evaluation.attempts import Attempt
from moss_perception.evaluation.pictures import read_images
import numpy as np

_PAGE, _ACROSS = 18, 3
_COLOURS = {True: '#2a9d4a', False: '#d1342f', None: '#4a4f57'}
_DPI, _WIDE_IN, _GAP_IN = 100, 2.5, 0.35


@dataclass(frozen=True)
class Tile:
    """
    One attempt of a contact sheet.

    :ivar decision_ns: stamp of the newest image at its decision; ``None`` if there is none.
    :ivar end_ns: stamp of the newest image at its end; ``None`` if there is none.
    :ivar success: ``None`` if it is not known.
    """

    attempt: Attempt
    decision_ns: int | None
    end_ns: int | None
    success: bool | None = None


@dataclass(frozen=True)
class Images:
    """
    The images of a recording, of which a contact sheet shows some.

    :ivar path: the recording.
    :ivar topic: topic of the images, as recorded.
    :ivar stamps_ns: their header stamps, int64, shape ``(N,)``, nanoseconds, ascending.
    :ivar frame_ids: their frames, ``N`` names.
    :ivar cameras: the calibrations by the stamps from which on they hold, nanoseconds, ascending;
        ``None`` for one that can't be used.
    :ivar zero_ns: from here times are counted, nanoseconds.
    """

    path: Path
    topic: str
    stamps_ns: np.ndarray
    frame_ids: Sequence[str]
    cameras: Sequence[tuple[int, Camera | None]]
    zero_ns: int

    def frame_at(self, stamp_ns: int) -> str:
        """Return the frame of the newest image that is not newer than a stamp, or of the first."""
        index = int(np.searchsorted(self.stamps_ns, stamp_ns, side='right')) - 1
        return self.frame_ids[max(index, 0)]

    def camera_at(self, stamp_ns: int) -> Camera | None:
        """Return the newest calibration that is not newer than a stamp, or the first one."""
        index = bisect_right(self.cameras, stamp_ns, key=lambda one: one[0]) - 1
        return self.cameras[max(index, 0)][1] if self.cameras else None


def tiles_of(attempts: Sequence[Attempt], source: Images, labelled: bool) -> list[Tile]:
    """
    Choose the images of attempts.

    :param labelled: whether the outcomes are known.
    """
    stamps = source.stamps_ns

    def newest(at_ns: int, since_ns: int) -> int | None:
        index = int(np.searchsorted(stamps, at_ns, side='right')) - 1
        return int(stamps[index]) if index >= 0 and stamps[index] >= since_ns else None

    return [Tile(one, newest(one.outcome.decision_ns, one.outcome.start_ns),
                 newest(one.outcome.end_ns, one.outcome.start_ns),
                 one.outcome.success if labelled and one.outcome.executed else None)
            for one in attempts]


def pages_of(path: Path, count: int) -> list[Path]:
    """
    Name the pictures of a contact sheet.

    :param path: the first one; the others have numbers, such as ``sheet_2.png``.
    :param count: number of attempts.
    """
    pages = max(1, math.ceil(count / _PAGE))
    return [path, *(path.with_name(f'{path.stem}_{n}{path.suffix}') for n in range(2, pages + 1))]


def draw_page(tiles: Sequence[Tile], page: int, source: Images) -> bytes:
    """
    Draw one page of a contact sheet.

    :param tiles: those of all pages.
    :param page: index of the page.
    :returns: a PNG file.
    """
    # Here, since you can label a recording without matplotlib.
    from moss_perception.evaluation.drawing import Figure
    tiles = tiles[page * _PAGE:(page + 1) * _PAGE]
    images = read_images(source.path, source.topic, {
        x for tile in tiles for x in (tile.decision_ns, tile.end_ns) if x is not None})
    rows, columns = math.ceil(len(tiles) / _ACROSS), min(_ACROSS, len(tiles))
    first = next(iter(images.values()), np.zeros((3, 4, 3), np.uint8))
    high_in = _WIDE_IN * first.shape[0] / first.shape[1] + 0.55
    figure = Figure(figsize=((2 * _WIDE_IN + _GAP_IN) * columns, high_in * rows + 0.4),
                    layout='constrained')
    # The third column of each attempt is empty, and separates it from the next one.
    trios = figure.subplots(rows, 3 * columns, squeeze=False, width_ratios=(
        _WIDE_IN, _WIDE_IN, _GAP_IN) * columns).reshape(-1, 3)
    for tile, (left, right, gap) in zip(tiles, trios, strict=False):
        gap.set_axis_off()
        _draw(left, _shown(images, tile.decision_ns), tile.success, _title(tile, source.zero_ns))
        problem = _draw_grasp(left, tile, images, source)
        _draw(right, _shown(images, tile.end_ns), tile.success,
              f'end, {(tile.attempt.outcome.end_ns - source.zero_ns) / 1e9:.1f} s')
        left.set_xlabel(problem, fontsize=7, parse_math=False)
    for axes in trios[len(tiles):].flat:
        axes.set_axis_off()
    figure.supxlabel('each attempt: the newest image at its decision with the executed grasp, and '
                     'at its end', fontsize=9)
    data = io.BytesIO()
    figure.savefig(data, dpi=_DPI, format='png')
    return data.getvalue()


def problem_of(attempt: Attempt, source: Images, size: tuple[int, int] | None = None) -> str:
    """
    Return why the executed grasp of an attempt can't be drawn; empty if it can.

    :param size: width and height of the image, pixels; ``None`` for those of the calibration.
    """
    if attempt.position is None:
        return 'no executed grasp recorded'
    # The name may be long, and a tile is narrow.
    if attempt.frame_id != source.frame_at(attempt.outcome.decision_ns):
        return f'the grasp is in frame {attempt.frame_id[:24]!r}'
    camera = source.camera_at(attempt.outcome.decision_ns)
    camera = camera and camera.at_size(*(size or camera.image_size))
    if camera is None:
        return 'no calibration that fits the image'
    seen = np.isfinite(project(attempt.position[None], camera)[0]).all()
    return '' if seen else 'the grasp is outside of the image'


def _draw_grasp(axes, tile: Tile, images: dict[int, np.ndarray], source: Images) -> str:
    """Draw the executed grasp, and return why it is not drawn."""
    from moss_perception.evaluation.drawing import draw_gripper
    image = images.get(tile.decision_ns or 0)
    if image is None:
        return ''
    size = image.shape[1], image.shape[0]
    problem = problem_of(tile.attempt, source, size)
    camera = source.camera_at(tile.attempt.outcome.decision_ns)
    camera = camera and camera.at_size(*size)
    if not problem and camera is not None:
        draw_gripper(axes, tile.attempt, camera)
    return problem


def _shown(images: dict[int, np.ndarray], stamp_ns: int | None) -> np.ndarray | None:
    return None if stamp_ns is None else images.get(stamp_ns)


def _title(tile: Tile, zero_ns: int) -> str:
    outcome = tile.attempt.outcome
    word = 'not executed' if not outcome.executed else {
        True: 'success', False: 'failure', None: ''}[tile.success]
    return ', '.join(filter(None, [
        f'attempt {outcome.attempt}', outcome.object[:20], word,
        f'{(outcome.decision_ns - zero_ns) / 1e9:.1f} s']))


def _draw(axes, image: np.ndarray | None, success: bool | None, title: str) -> None:
    axes.set_title(title, fontsize=8, color=_COLOURS[success], fontweight='bold',
                   parse_math=False)
    if image is None:
        axes.text(0.5, 0.5, 'no image', ha='center', va='center', transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    height, width = image.shape[:2]
    axes.imshow(image, interpolation='bilinear')
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=_COLOURS[success], linewidth=2)
