"""Clips of a table: checked, decoded once, and kept as small frames."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import hashlib
import logging
from pathlib import Path
from typing import Any

import cv2
from moss_perception.core.errors import BagError, ClipError, ConfigError
from moss_perception.core.files import replaced
from moss_perception.data.clips.frames import read_frames
from moss_perception.data.labels.sheet import read_sheet
import numpy as np

from study.kept import file_digest

log = logging.getLogger('video')
COLUMNS = ('clip', 'group')
# Longer clips are left out: five minutes at 30 Hz.
MAX_FRAMES = 9000
# A rate is another one beyond this share.
_SAME_RATE = 0.1
# Before they are scaled to the size of the network.
_DECODED_SIDE = 160
# Of the file beside a clip's frames: width, height, rate and digest.
_WORDS = 4


class LongClipError(ClipError):
    """Why a clip of more than :data:`MAX_FRAMES` frames is left out."""


@dataclass(frozen=True)
class Clip:
    """
    A clip that can be used.

    :ivar name: path relative to the folder.
    :ivar group: clips of one group, such as a laboratory on one day, are never in training and
        test at once.
    :ivar verb: what is done; empty if the table does not say.
    :ivar frames: uint8, RGB, shape ``(T, S, S, 3)``, stretched to a square; mapped from disk.
    :ivar size: width and height as filmed.
    :ivar rate_hz: frames per second.
    :ivar digest: of the file, to tell whether it is the same one.
    """

    name: str
    group: str
    verb: str = ''
    split: str = ''
    frames: np.ndarray | None = None
    size: tuple[int, int] = (0, 0)
    rate_hz: float = 0.0
    digest: str = ''


def read_table(path: Path) -> list[Clip]:
    """
    Read which clips there are.

    :param path: a table, see :func:`moss_perception.data.labels.sheet.read_sheet`, with columns
        ``clip`` and ``group``; ``verb`` and ``split`` are used if there.
    :raises ConfigError: if a column or a value is missing, a clip stands there twice, or a split
        has a group on both sides.
    """
    try:
        sheet = read_sheet(path)
    except BagError as error:
        raise ConfigError(str(error).replace('outcomes ', 'table ', 1)) from error
    names = [name.strip().lower() for name in sheet.columns]
    for column in COLUMNS:
        if names.count(column) != 1:
            raise ConfigError(f'{path} has {names.count(column)} columns {column!r}: expected '
                              f'one; its columns are {", ".join(names)}')
    clips = []
    for line, cells in sheet.rows:
        row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
        if not (row.get('clip') and row.get('group')):
            raise ConfigError(f'{path}, line {line}: no clip or no group: expected both')
        clips.append(Clip(row['clip'], row['group'], row.get('verb', ''), row.get('split', '')))
    twice = [name for name, count in Counter(clip.name for clip in clips).items() if count > 1]
    if twice:
        raise ConfigError(f'{path} has {len(twice)} clips twice, such as {twice[0]}: expected one '
                          'row each')
    refuse_leaks(path, clips)
    return clips


def refuse_leaks(path: Path, clips: Sequence[Clip]) -> None:
    """
    Refuse a split with a group on both sides.

    :raises ConfigError: naming such a group.
    """
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(clip.group, set()).add(clip.split)
    leaks = sorted(group for group, found in splits.items() if len(found) > 1)
    if leaks:
        raise ConfigError(f'{path} splits {len(leaks)} groups, such as {leaks[0]}, which is in '
                          f'{" and ".join(sorted(map(repr, splits[leaks[0]])))}: expected each '
                          'group on one side')


def load_clips(folder: Path, clips: Sequence[Clip], cache: Path, size: int,
               least: Callable[[float], int]) -> tuple[list[Clip], dict[str, list[str]]]:
    """
    Decode clips, or take what was decoded before.

    :param folder: of the clips.
    :param cache: folder of the small frames.
    :param size: side of the frames, pixels.
    :param least: number of frames that a clip needs, by the rate of most clips, Hz.
    :returns: the clips that can be used, with their frames; and by reason the names of those that
        are left out.
    :raises ConfigError: if none is left.
    """
    cache.mkdir(parents=True, exist_ok=True)
    found, skipped = [], {}
    for clip in clips:
        try:
            found.append(_load(folder, clip, cache, size))
        except ClipError as error:
            why = 'does not decode'
            if isinstance(error, LongClipError):
                why = f'longer than {MAX_FRAMES} frames'
            elif not (folder / clip.name).is_file():
                why = 'no such file'
            skipped.setdefault(why, []).append(clip.name)
            log.debug('%s', error)
    size_of_most = _most([clip.size for clip in found])
    rate_of_most = _most([round(clip.rate_hz) for clip in found])
    needed = least(rate_of_most) if found else 0
    used = []
    for clip in found:
        why = _unfit(clip, size_of_most, rate_of_most, needed)
        if why:
            skipped.setdefault(why, []).append(clip.name)
        else:
            used.append(clip)
    for why, names in sorted(skipped.items()):
        log.warning('%d clips are left out: %s (%s%s)', len(names), why, ', '.join(names[:3]),
                    ', …' if names[3:] else '')
    if not used:
        raise ConfigError(f'{folder}: no clip can be used: ' + ('; '.join(
            f'{len(names)} {why}' for why, names in skipped.items()) or 'the table is empty'))
    return used, skipped


def _most(values: list) -> Any:
    return Counter(values).most_common(1)[0][0] if values else None


def _unfit(clip: Clip, size: tuple[int, int], rate_hz: float, least: int) -> str:
    """Return why a clip can't be compared with the others; empty if it can."""
    if clip.size != size:
        return f'of another size than {size[0]} x {size[1]}'
    if abs(clip.rate_hz - rate_hz) > _SAME_RATE * rate_hz:
        return f'of another rate than {rate_hz:g} Hz'
    assert clip.frames is not None  # it was loaded
    return f'shorter than {least} frames' if len(clip.frames) < least else ''


def _load(folder: Path, clip: Clip, cache: Path, size: int) -> Clip:
    path = folder / clip.name
    if not path.is_file():
        raise ClipError(f'{path} is not there')
    state = path.stat()
    key = hashlib.sha256(f'{path.resolve()} {state.st_size} {state.st_mtime_ns} {size} '
                         f'{MAX_FRAMES}'.encode())
    kept = cache / f'{key.hexdigest()[:24]}.npy'
    about = kept.with_suffix('.txt')
    if not (kept.exists() and about.exists() and len(about.read_text().split()) == _WORDS):
        frames, filmed, rate_hz = _decode(path, size)
        with replaced(kept) as partial, partial.open('wb') as file:
            np.save(file, frames)
        with replaced(about) as partial:
            partial.write_text(f'{filmed[0]} {filmed[1]} {rate_hz} {file_digest(path)}')
    width, height, rate_hz, digest = about.read_text().split()
    return replace(clip, frames=np.load(kept, mmap_mode='r'), size=(int(width), int(height)),
                   rate_hz=float(rate_hz), digest=digest)


def _decode(path: Path, size: int) -> tuple[np.ndarray, tuple[int, int], float]:
    """Return a clip's small frames, its size as filmed, and its rate."""
    frames, times, filmed = [], [], (0, 0)
    for frame in read_frames(path, side=_DECODED_SIDE):
        if len(frames) == MAX_FRAMES:
            raise LongClipError(f'{path} has more than {MAX_FRAMES} frames')
        image = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None  # it was encoded just now
        frames.append(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)[..., ::-1])
        times.append(frame.time_ns)
        filmed = frame.filmed
    step_s = float(np.median(np.diff(times))) / 1e9 if len(times) > 1 else 1.0
    return np.stack(frames), filmed, 1 / max(step_s, 1e-3)
