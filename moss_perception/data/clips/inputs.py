"""What belongs to a folder of clips: labels from a CSV file, and the camera's calibration."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
import logging
from pathlib import Path

from moss_perception.core.cameras import RAW, read_calibration_file, to_camera
from moss_perception.core.errors import BagError, ClipError
from moss_perception.core.frames import Camera
from moss_perception.core.text import clean
from moss_perception.data.clips.frames import SUFFIXES
from moss_perception.data.labels.cells import read_flag, read_number
from moss_perception.data.labels.sheet import read_sheet
from moss_perception.data.labels.table import column_of, unit_of

_NEEDED = ('clip', 'success')
_TIMES = ('start', 'decision', 'end')
COLUMNS = (*_NEEDED, *_TIMES, 'domain', 'object')
# Number of names in an error message, which only counts the others.
_NAMED = 10
# Scaling rounds sides to whole pixels.
_SAME_SHAPE = 0.01
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipRow:
    """
    The labels of a clip's attempt.

    :ivar clip: the clip's file, relative to the folder of clips.
    :ivar success: the attempt's outcome.
    :ivar start_ns: start since the clip's first image, nanoseconds; ``None`` for this image.
    :ivar decision_ns: decision since the first image, nanoseconds; ``None`` for the end.
    :ivar end_ns: end since the first image, nanoseconds; ``None`` for the last image.
    :ivar domain: domain of the attempt; empty if unknown.
    :ivar object: name of the object; empty if unknown.
    """

    clip: str
    success: bool
    start_ns: int | None = None
    decision_ns: int | None = None
    end_ns: int | None = None
    domain: str = ''
    object: str = ''


@dataclass(frozen=True)
class Clip:
    """
    A clip of a folder.

    :ivar name: path relative to the folder.
    :ivar row: labels, or ``None``.
    """

    name: str
    path: Path
    row: ClipRow | None = None


def read_rows(path: Path) -> list[ClipRow]:
    """
    Read the rows of a table, see :func:`moss_perception.data.labels.sheet.read_sheet`.

    :param path: has the columns ``clip`` and ``success``, and may have the others of
        :data:`COLUMNS`; times are seconds since the clip's first image.
    :raises BagError: if it can't be read, a column is missing, a value can't be used, or a clip
        has two rows; it names the line.
    """
    sheet = read_sheet(path, _column)
    for note in sheet.notes:
        _LOG.warning('%s: %s', path, note)
    names = [_column(x) for x in sheet.columns]
    _check_columns(path, sheet.columns, names)
    rows = [_row_at(path, line, cells, names) for line, cells in sheet.rows]
    twice = [clip for clip, count in Counter(row.clip for row in rows).items() if count > 1]
    if twice:
        raise BagError(f'{path}: expected one row a clip, found more of {shorten(twice)}')
    return rows


def match_clips(folder: Path, rows: Sequence[ClipRow], unlabelled: bool = False) -> list[Clip]:
    """
    Find the clip of each row, and the row of each clip.

    :param folder: folder to search recursively.
    :param unlabelled: whether to include clips without a row.
    :returns: clips in the order of the rows, then those without a row by name.
    :raises BagError: if there are no clips, a row has no clip, or a clip has no row.
    """
    if not folder.is_dir():
        raise BagError(f'{folder} is no folder, expected one that holds clips')
    try:
        found = {x.relative_to(folder).as_posix(): x for x in sorted(folder.rglob('*'))
                 if x.suffix.lower() in SUFFIXES and x.is_file()}
    except OSError as error:
        raise BagError(f"{folder} can't be searched for clips: {error.strerror}") from error
    if not found:
        raise BagError(f'{folder}: no clips, expected files that end with one of '
                       f'{", ".join(SUFFIXES)}')
    missing = [row.clip for row in rows if row.clip not in found]
    if missing:
        raise BagError(f'{folder}: {len(missing)} of {len(rows)} rows have no clip: '
                       f'{shorten(missing)}; expected names relative to that folder')
    labelled = {row.clip for row in rows}
    bare = [name for name in found if name not in labelled]
    if bare and not unlabelled:
        raise BagError(f'{folder}: {len(bare)} of {len(found)} clips have no row: '
                       f'{shorten(bare)}; expected one for each, or --unlabelled')
    return [*(Clip(row.clip, found[row.clip], row) for row in rows),
            *(Clip(name, found[name]) for name in bare)]


def shorten(names: Sequence[str]) -> str:
    """Return the first names of a list and the number of the others."""
    more = len(names) - _NAMED
    return ', '.join(names[:_NAMED]) + (f' and {more} more' if more > 0 else '')


def _column(heading: str) -> str:
    """Return the column that a heading names; empty if it names none of ours."""
    name = heading.strip().lower()
    name = name if name == 'clip' else column_of(heading)
    # All times are seconds here: a column such as start_ms is none of ours.
    return name if name in COLUMNS and unit_of(heading) in ('', 's') else ''


def _check_columns(path: Path, headings: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise BagError(f'{path}: no column {" or ".join(missing)}, expected {", ".join(_NEEDED)} '
                       f'and perhaps {", ".join(COLUMNS[2:])}; found {", ".join(headings)}')
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise BagError(f'{path}: several columns name {shorten(twice)}: expected one each')
    unused = [heading for heading, name in zip(headings, names, strict=True) if not name]
    if unused:
        # One of them may be a misspelt `decision`.
        _LOG.warning('%s: columns that are not used: %s', path, ', '.join(unused))


def _row_at(path: Path, line: int, cells: Sequence[str], names: Sequence[str]) -> ClipRow:
    try:
        if len(cells) < len(names) or any(cells[len(names):]):
            raise ValueError('more or fewer values than columns')
        return _row({name: cell for name, cell in zip(names, cells, strict=False) if name})
    except ValueError as error:
        raise BagError(f'{path}, line {line}: {error}') from error


def _row(values: dict[str, str]) -> ClipRow:
    if not values['clip']:
        raise ValueError('no clip, expected a file name')
    success = read_flag('success', values['success'])
    times = [_time(name, values.get(name, '')) for name in _TIMES]
    said = [(name, time) for name, time in zip(_TIMES, times, strict=True) if time is not None]
    for (earlier, first), (later, second) in zip(said, said[1:], strict=False):
        if first > second:
            raise ValueError(
                f'{earlier} {first / 1e9:g} s is after {later} {second / 1e9:g} s')
    start_ns, decision_ns, end_ns = times
    return ClipRow(Path(values['clip']).as_posix(), success, start_ns, decision_ns, end_ns,
                   clean(values.get('domain', '')), clean(values.get('object', '')))


def _time(name: str, text: str) -> int | None:
    number = read_number(text)
    if text and number is None:
        raise ValueError(f'{name} is {clean(text)!r}, expected decimal seconds since the '
                         'clip began')
    return None if number is None else int(number * 10**9)


def read_calibration(path: Path) -> Camera:
    """
    Read the camera of a calibration in a file.

    :param path: see :func:`moss_perception.core.cameras.read_calibration_file`.
    :returns: with K and the distortion, as of images that are not rectified.
    :raises BagError: if it can't be read or used.
    """
    return to_camera(read_calibration_file(path), rectified=RAW)


def check_shape(camera: Camera, width: int, height: int) -> None:
    """
    Check the aspect ratio of a clip.

    :raises ClipError: if it differs from that of the calibration.
    """
    if abs(width * camera.height / (height * camera.width) - 1) > _SAME_SHAPE:
        raise ClipError(f'images of {width} x {height} pixels: the calibration is of '
                        f'{camera.width} x {camera.height}, expected the same shape')
