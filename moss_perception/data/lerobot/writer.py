"""Write samples as a LeRobotDataset of version 3."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any

from moss_perception.core.errors import ConfigError, DataError
from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
from moss_perception.data.lerobot import statistics
from moss_perception.data.lerobot.layout import (
    CAMERA,
    DATA_PATH,
    EPISODES_PATH,
    features,
    frames_of,
    INFO,
    SAMPLE,
    STATS,
    TASKS,
    VERSION,
    VIDEO_PATH,
)
from moss_perception.data.lerobot.video import video_info, VideoWriter
from moss_perception.data.schema import Sample
import numpy as np
import pyarrow as pa
from pyarrow import parquet

TASK = 'grasp the {object}'
# A file of videos or of frames is closed after so many frames: a few hundred megabytes.
_MOST_FRAMES = 20_000
_CHUNK = 1000
_TYPES = {'bool': pa.bool_(), 'int64': pa.int64(), 'float32': pa.float32(), 'string': pa.string()}


@dataclass(frozen=True)
class ExportSettings:
    """
    How samples become a data set.

    :ivar fps: frames per second that the data set says; the stamps are kept besides.
    :ivar images: ``video`` for an MP4, or ``image`` for the JPEGs as they are.
    :ivar task: of an episode, with ``{object}`` for the object's name.
    :raises ConfigError: if a value is not allowed.
    """

    fps: int
    images: str = 'video'
    task: str = TASK

    def __post_init__(self):
        if self.fps < 1:
            raise ConfigError(f'--fps {self.fps}: expected 1 or more')
        try:
            self.task_of('object')
        except (LookupError, ValueError, AttributeError) as error:
            raise ConfigError(f'--task {self.task!r} is not allowed: expected a text with no '
                              'braces but those of {object}; to write a brace, double it') from (
                                  error)

    def task_of(self, name: str) -> str:
        """Return the task for the name of an object."""
        return self.task.format(object=name)


def rate_of(samples: Sequence[Sample]) -> int:
    """Return the usual rate of the samples' images, frames per second, at least 1."""
    gaps = [np.diff(sample.times_ns) for sample in samples]
    median_ns = float(np.median(np.concatenate(gaps))) if any(map(len, gaps)) else 1e8
    return max(1, round(1e9 / median_ns))


def write_dataset(folder: Path, samples: Sequence[Sample], settings: ExportSettings,
                  progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter) -> None:
    """
    Write a data set, an episode for each sample.

    :param folder: an empty folder; what is in it after an error is of no use.
    :param samples: at least one, all with images of the same size.
    :param progress: wraps the samples, to show the progress.
    :raises DataError: if the images have several sizes, or odd ones for videos.
    """
    sizes = {sample.image_size for sample in samples}
    if len(sizes) > 1:
        raise DataError(f'the images have the sizes {sorted(sizes)}: expected one size for a '
                        'LeRobotDataset; export the samples of each camera by themselves')
    candidates = max(len(sample.candidates) for sample in samples)
    writer = _Writer(folder, sizes.pop(), candidates, settings)
    try:
        for sample in progress(samples):
            writer.add(sample)
    finally:
        writer.close()
    writer.describe()


@dataclass
class _Writer:
    """Writes episodes one after another."""

    folder: Path
    size: tuple[int, int]
    candidates: int
    settings: ExportSettings
    _episodes: list[dict[str, Any]] = field(default_factory=list)
    _tasks: dict[str, int] = field(default_factory=dict)
    _totals: dict[str, statistics.Total] = field(default_factory=dict)
    _tables: list[pa.Table] = field(default_factory=list)
    _video: VideoWriter | None = None
    _file: int = 0
    _in_file: int = 0
    _frames: int = 0

    def __post_init__(self):
        self.features = features(self.size, self.candidates, self.settings.images)
        self.schema = pa.schema([
            (name, _arrow(one)) for name, one in self.features.items() if one['dtype'] != 'video'])

    def add(self, sample: Sample) -> None:
        """Write a sample as an episode."""
        jpegs = [*sample.jpegs, *(sample.attempt.jpegs if sample.attempt else ())]
        count, index = len(jpegs), len(self._episodes)
        if self._in_file and self._in_file + count > _MOST_FRAMES:
            self.close()
            self._file, self._in_file = self._file + 1, 0
        task = self.settings.task_of(sample.groups.get('object') or 'object')
        frames = frames_of(sample, self.candidates) | {
            'timestamp': (np.arange(count) / self.settings.fps).astype(np.float32),
            'frame_index': np.arange(count), 'episode_index': np.full(count, index),
            'index': self._frames + np.arange(count),
            'task_index': np.full(count, self._tasks.setdefault(task, len(self._tasks)))}
        images = [decode(CompressedImage(data)) for data in jpegs]
        known = {name: statistics.of_values(values) for name, values in frames.items()
                 if name != SAMPLE} | {CAMERA: statistics.of_images(images)}
        self._add_images(images)
        self._tables.append(pa.table([
            _column(jpegs if name == CAMERA else frames[name], name, self.schema.field(name).type)
            for name in self.schema.names], schema=self.schema))
        self._note(task, count, known)

    def _add_images(self, images: list[np.ndarray]) -> None:
        if self.settings.images != 'video':
            return
        if self._video is None:
            self._video = VideoWriter(self._path(VIDEO_PATH, video_key=CAMERA), self.size,
                                      self.settings.fps)
        for image in images:
            self._video.add(image)

    def _note(self, task: str, count: int, known: dict[str, statistics.Stats]) -> None:
        """Add the row of ``meta/episodes`` and the statistics."""
        fps, where = self.settings.fps, dict(zip(
            ('chunk_index', 'file_index'), divmod(self._file, _CHUNK), strict=True))
        row: dict[str, Any] = {
            'episode_index': len(self._episodes), 'tasks': [task], 'length': count,
            **{f'data/{name}': value for name, value in where.items()},
            'dataset_from_index': self._frames, 'dataset_to_index': self._frames + count,
            'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0}
        if self.settings.images == 'video':
            row |= {f'videos/{CAMERA}/{name}': value for name, value in {
                **where, 'from_timestamp': self._in_file / fps,
                'to_timestamp': (self._in_file + count) / fps}.items()}
        for name, one in known.items():
            self._totals.setdefault(name, statistics.Total()).add(one)
            row |= {f'stats/{name}/{what}': value.tolist() for what, value in one.items()}
        self._episodes.append(row)
        self._frames += count
        self._in_file += count

    def close(self) -> None:
        """Close the files of the newest episodes."""
        video, self._video = self._video, None
        if video is not None:
            video.__exit__()
        tables, self._tables = self._tables, []
        if tables:
            # A row group for each episode, as lerobot writes them: one is read without the others.
            with parquet.ParquetWriter(self._path(DATA_PATH), self.schema) as file:
                for table in tables:
                    file.write_table(table)

    def describe(self) -> None:
        """Write the folder ``meta``."""
        parquet.write_table(pa.Table.from_pylist(self._episodes),
                            self._path(EPISODES_PATH, file=0))
        parquet.write_table(_tasks(list(self._tasks)), self.folder / TASKS)
        if self.settings.images == 'video':
            self.features[CAMERA]['info'] = video_info(self.size, self.settings.fps)
        self._json(INFO, {
            'codebase_version': VERSION, 'robot_type': None,
            'total_episodes': len(self._episodes), 'total_frames': self._frames,
            'total_tasks': len(self._tasks), 'chunks_size': _CHUNK, 'fps': self.settings.fps,
            'data_files_size_in_mb': 100, 'video_files_size_in_mb': 200,
            'splits': {'train': f'0:{len(self._episodes)}'}, 'data_path': DATA_PATH,
            'video_path': VIDEO_PATH if self.settings.images == 'video' else None,
            'features': self.features})
        self._json(STATS, {name: total.stats() for name, total in self._totals.items()})

    def _json(self, name: str, values: dict[str, Any]) -> None:
        (self.folder / name).write_text(json.dumps(values, indent=4) + '\n')

    def _path(self, pattern: str, file: int | None = None, **names: str) -> Path:
        chunk, number = divmod(self._file if file is None else file, _CHUNK)
        path = self.folder / pattern.format(chunk_index=chunk, file_index=number, **names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _arrow(feature: dict[str, Any]) -> pa.DataType:
    """Return the type of a feature's column."""
    if feature['dtype'] == 'image':
        return pa.struct([('bytes', pa.binary()), ('path', pa.string())])
    kind, shape = _TYPES[feature['dtype']], feature['shape']
    if shape == [1]:
        return kind
    for length in reversed(shape):
        # Only the innermost: that is what lerobot's own files have.
        kind = pa.list_(kind, length) if len(shape) == 1 else pa.list_(kind)
    return kind


def _column(values: Any, name: str, kind: pa.DataType) -> pa.Array:
    if name == CAMERA:
        return pa.array([{'bytes': data, 'path': f'frame-{n:06d}.jpg'}
                         for n, data in enumerate(values)], kind)
    if not pa.types.is_nested(kind):
        values = np.asarray(values).reshape(len(values))
    return pa.array(values.tolist(), kind)


def _tasks(tasks: list[str]) -> pa.Table:
    """Make the table of tasks, which pandas reads with the tasks as index."""
    index = '__index_level_0__'
    columns = [{'name': name, 'field_name': field, 'pandas_type': kind, 'numpy_type': numpy,
                'metadata': None} for name, field, kind, numpy in (
        ('task_index', 'task_index', 'int64', 'int64'), (None, index, 'unicode', 'object'))]
    told = {'index_columns': [index], 'columns': columns, 'column_indexes': [],
            'pandas_version': '2.3.0'}
    return pa.table({'task_index': pa.array(range(len(tasks)), pa.int64()),
                     index: pa.array(tasks, pa.string())}).replace_schema_metadata(
        {'pandas': json.dumps(told)})
