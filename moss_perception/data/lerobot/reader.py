"""Read a LeRobotDataset of version 3 as samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
import math
from pathlib import Path
from typing import Any

import cv2
from moss_perception.core.errors import DataError
from moss_perception.data.imports.samples import AttemptError
from moss_perception.data.lerobot.foreign import (
    check_usable,
    completed,
    Foreign,
    foreign_sample,
    success_of,
)
from moss_perception.data.lerobot.layout import (
    CAMERA,
    read_info,
    SAMPLE,
    sample_from,
    SUCCESS,
)
from moss_perception.data.lerobot.video import read_video
from moss_perception.data.schema import Sample
import numpy as np
import pyarrow as pa
from pyarrow import parquet

_QUALITY = 95


LeaveOut = Callable[[int, str, str], None]
"""Called with the number of an episode, why it is left out, and a message with more."""


def read_dataset(folder: Path, foreign: Foreign,
                 leave_out: LeaveOut | None = None) -> Iterator[Sample]:
    """
    Read the episodes of a data set, each as a sample.

    :param foreign: for a data set that ``moss export-dataset`` has not written; of one that it
        has written, only groups, lead time and the gripper's opening are used.
    :param leave_out: told of each episode from elsewhere that a training can't use, which is left
        out; ``None`` to refuse only what can't become a sample.
    :returns: an iterator; everything that a look at the files shows is checked at its beginning.
    :raises DataError: if it is of another version, a file is missing or damaged, or something is
        not said that a sample needs.
    """
    info = read_info(folder)
    own = SAMPLE in info['features']
    if not own:
        foreign = completed(folder, info, foreign)
    camera = CAMERA if own else foreign.camera
    if SUCCESS not in info['features']:
        raise DataError(f'{folder} has no feature {SUCCESS}: expected the success of each '
                        'episode there')
    make = partial(_own, folder) if own else partial(foreign_sample, folder, info, foreign)
    episodes = _episodes(folder, info)
    kind = info['features'][camera]['dtype']
    if kind == 'video':
        _require_videos(folder, info, episodes, camera)
    images = (_Videos(folder, info, camera) if kind == 'video' else _stored)
    for data, rows in _tables(folder, info, episodes):
        owners = _array(data['episode_index'])
        for row in rows:
            chosen = data.filter(pa.array(owners == row['episode_index']))
            frames = {name: _array(chosen[name]) for name in chosen.column_names if name != camera}
            jpegs = images(row, chosen, camera)
            if not len(jpegs) == chosen.num_rows == row['length']:
                raise DataError(f'{folder}: episode {row["episode_index"]} has {len(jpegs)} '
                                f'images and {chosen.num_rows} rows: expected {row["length"]}')
            try:
                sample = make(row['episode_index'], frames, jpegs)
                if leave_out is not None and not own:
                    check_usable(sample, foreign)
            except AttemptError as error:
                if leave_out is None:
                    raise
                leave_out(row['episode_index'], error.reason, str(error))
                continue
            unknown = {name: getattr(foreign, name) for name in (
                'lead_time_s', 'gripper_opening_m') if not math.isfinite(getattr(sample, name))}
            yield replace(sample, groups={**sample.groups, **foreign.groups}, **unknown)


def _episodes(folder: Path, info: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the rows of ``meta/episodes``, in their order."""
    paths, rows = sorted(folder.glob('meta/episodes/*/*.parquet')), []
    for path in paths:
        table = _read(path)
        rows += table.select([x for x in table.column_names
                              if not x.startswith('stats/')]).to_pylist()
    if len(rows) != info['total_episodes']:
        raise DataError(f'{folder}: meta/episodes has {len(rows)} episodes: expected '
                        f'{info["total_episodes"]}, by meta/info.json')
    return sorted(rows, key=lambda row: row['episode_index'])


def _tables(folder: Path, info: dict[str, Any], episodes: list[dict[str, Any]]) -> Iterator[
        tuple[pa.Table, list[dict[str, Any]]]]:
    """Yield each file of frames with its episodes."""
    files: dict[str, list[dict[str, Any]]] = {}
    for row in episodes:
        files.setdefault(_name(info['data_path'], row, 'data'), []).append(row)
    for name, rows in files.items():
        yield _read(folder / name), rows


def _name(pattern: str, row: dict[str, Any], what: str, **names: str) -> str:
    return pattern.format(chunk_index=row[f'{what}/chunk_index'],
                          file_index=row[f'{what}/file_index'], **names)


def _read(path: Path) -> pa.Table:
    try:
        with parquet.ParquetFile(path) as file:
            return file.read()
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing: expected the whole data set') from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} can't be read: {' '.join(str(error).split())}; expected a "
                        'Parquet file') from error


def _array(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_pylist())


def _require_videos(folder: Path, info: dict[str, Any], episodes: list[dict[str, Any]],
                    camera: str) -> None:
    """Check that all videos are there, before hours of work end at one that is not."""
    names = {_name(info['video_path'], row, f'videos/{camera}', video_key=camera)
             for row in episodes}
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise DataError(f'{folder}: {len(missing)} of {len(names)} videos are missing, such as '
                        f'{missing[0]}: expected the whole data set; download it again')


@dataclass
class _Videos:
    """Reads the frames of episodes from videos, each of which is decoded once if they follow."""

    folder: Path
    info: dict[str, Any]
    camera: str
    _name: str = ''
    _at: int = 0
    _frames: Iterator[np.ndarray] = iter(())

    def __call__(self, row: dict[str, Any], frames: pa.Table, camera: str) -> list[bytes]:
        name = _name(self.info['video_path'], row, f'videos/{camera}', video_key=camera)
        begin = round(row[f'videos/{camera}/from_timestamp'] * self.info['fps'])
        if name != self._name or begin < self._at:
            self._name, self._at = name, 0
            self._frames = read_video(self.folder / name)
        skipped, count = begin - self._at, frames.num_rows
        self._at = begin + count
        return [_jpeg(image) for image in islice(self._frames, skipped, skipped + count)]


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                        [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _stored(row: dict[str, Any], frames: pa.Table, camera: str) -> list[bytes]:
    """Return the images that are stored among the other features."""
    data = [one['bytes'] for one in frames[camera].to_pylist()]
    if not all(data):
        raise DataError(f'episode {row["episode_index"]}: {camera} has no bytes of images: '
                        'expected them in the Parquet files, as lerobot stores them')
    return data


def _own(folder: Path, episode: int, frames: dict[str, np.ndarray], jpegs: list[bytes]) -> Sample:
    """Read an episode that ``moss export-dataset`` has written."""
    sample, success = sample_from(frames, jpegs), success_of(folder, episode, frames)
    attempt = sample.attempt
    if attempt is not None and attempt.success != success:
        raise DataError(f'{folder}: episode {episode} has {SUCCESS}={success}, and its attempt '
                        f'success={attempt.success}: expected the same')
    return sample
