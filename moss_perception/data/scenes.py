"""Samples of the simulated work cell on disk: compressed NumPy shards, without pickle."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
import logging
from pathlib import Path
from typing import Optional

from moss_perception.core.errors import DataError, SimulationError
from moss_perception.data.inventory import check_complete, PATTERN
from moss_perception.data.schema import Attempt, Sample, size_of
from moss_perception.data.shards import pack, read_arrays, write_arrays
import numpy as np

_LOG = logging.getLogger(__name__)


def write_shard(path, scenes: list, matrix: np.ndarray):
    """
    Write simulated scenes to one file, whole or not at all.

    :param path: the file, ending in ``.npz``.
    :param scenes: samples with a seed, a track and a label for each candidate; at least one, all
        with the same number of candidates.
    :param matrix: the camera's, shape ``(3, 3)``, pixels, of scenes that have none of their own.
    :raises DataError: if a sample lacks a field of the shards.
    :raises SimulationError: if it can't be written.
    """
    for scene in scenes:
        _require_simulated(scene)
    scenes = [scene if scene.matrix is not None else replace(scene, matrix=matrix)
              for scene in scenes]
    write_arrays(path, pack(scenes, scenes[0].image_size))


def _require_simulated(sample: Sample):
    """Refuse a sample that a shard of simulated scenes cannot hold."""
    attempt = sample.attempt
    known = {'seed': sample.seed, 'track': sample.track} | ({} if attempt is None else {
        "attempt's to_loss_s": attempt.to_loss_s, "attempt's positions": attempt.positions})
    lacking = [name for name, value in known.items() if value is None]
    if lacking or not sample.labelled.all():
        lacking = ', '.join(lacking) or 'label of each candidate'
        raise DataError(f'{sample.title} has no {lacking}: expected what the simulator records')
    if sample.distortion is not None and np.any(sample.distortion):
        raise DataError(f'{sample.title} has distortion={sample.distortion}: expected a camera '
                        'without, as the simulator has')


def read_shard(path) -> list:
    """
    Read the scenes of one file, of format 2 or 3.

    :returns: of :class:`moss_perception.data.schema.Sample`.
    :raises SimulationError: if it is missing, damaged or of another format.
    """
    stored = read_arrays(path)
    old = int(stored['format']) == 2
    data, offset = stored['jpeg'].tobytes(), stored['offset']
    jpegs = [data[begin:end] for begin, end in zip(offset[:-1], offset[1:],
                                               strict=True)]
    size = size_of(jpegs[0]) if old else (int(stored['size'][0]), int(stored['size'][1]))
    count = len(stored['seed'])
    lengths = np.full(count, len(jpegs) // count) if old else stored['frames']
    ends = np.cumsum(lengths if old else lengths + stored['watched'])
    scenes = []
    for n in range(count):
        begin = int(ends[n - 1]) if n else 0
        middle = begin + int(lengths[n])
        shape, speed = str(stored['shape'][n]), float(stored['speed'][n])
        more = {'matrix': stored['matrix'], 'family': shape, 'velocity': speed,
                'cell': 'belt'} if old else {
            **_of_format_3(stored, n), 'stamps_ns': stored['stamps_ns'][begin:middle],
            'attempt': _attempt(stored, n, jpegs, slice(middle, int(ends[n])))}
        scenes.append(Sample(
            seed=int(stored['seed'][n]), jpegs=tuple(jpegs[begin:middle]),
            candidates=stored['candidates'][n], labels=stored['outcomes'][n], speed=speed,
            motion=str(stored['motion'][n]), shape=shape, track=stored['track'][n],
            domain=str(stored['domain'][n]), size=size, **more))
    return scenes


def _of_format_3(stored: dict, n: int) -> dict:
    """Return the fields that format 3 added, apart from those of the images."""
    offsets = stored['offsets'][n]
    return {'matrix': stored['matrix'][n], 'velocity': float(stored['velocity'][n]),
            'acceleration': float(stored['acceleration'][n]),
            'offsets': None if np.isnan(offsets).all() else offsets,
            **{name: str(stored[name][n]) for name in ('family', 'cell', 'split')}}


def _attempt(stored: dict, n: int, jpegs: list, part: slice) -> Optional[Attempt]:
    candidate = int(stored['executed'][n])
    if candidate < 0:
        return None
    begin = int(stored['watched'][:n].sum())
    mine = slice(begin, begin + int(stored['watched'][n]))
    return Attempt(
        candidate=candidate, jpegs=tuple(jpegs[part]), stamps_ns=stored['stamps_ns'][part],
        phases=tuple(str(name) for name in stored['phase'][mine]),
        success=bool(stored['outcomes'][n][candidate]), to_loss_s=stored['to_loss_s'][mine],
        positions=stored['position'][mine])


def read_shards(folder, unfinished: bool = False) -> Iterator[Sample]:
    """
    Read all scenes of a folder, in the order of the shards' names.

    :param unfinished: whether scenes of ``dataset.json`` may be missing.
    :returns: an iterator of :class:`moss_perception.data.schema.Sample`.
    :raises SimulationError: if there are none, one can't be read, or some are missing.
    """
    paths = sorted(Path(folder).glob(PATTERN))
    if not paths:
        raise SimulationError(f'no scenes in {folder}: expected files {PATTERN}')
    if not unfinished:
        check_complete(folder)
    for path in paths:
        yield from read_shard(path)


def shard_path(folder, first_seed: int) -> Path:
    """Return the file of the shard that begins with a seed."""
    return Path(folder) / PATTERN.replace('*', f'{first_seed:08d}')


def in_view(samples: Iterable[Sample], limit: Optional[int] = None) -> list[Sample]:
    """
    Choose the samples with all labelled candidates in the image, and log the number of others.

    :param samples: samples with a camera matrix.
    :param limit: highest number of samples.
    :raises DataError: if a sample has no camera matrix.
    """
    chosen, outside = [], 0
    for sample in samples:
        if (sample.in_view() | ~sample.labelled).all():
            chosen.append(sample)
        else:
            outside += 1
        if limit is not None and len(chosen) >= limit:
            break
    if outside:
        _LOG.warning('%d of %d scenes have candidates outside the image and are left out',
                     outside, outside + len(chosen))
    return chosen


def load_scenes(folder, limit: Optional[int] = None, unfinished: bool = False) -> list[Sample]:
    """
    Read the scenes of a folder with all labelled candidates in the image.

    :param folder: folder of shards.
    :param limit: highest number of scenes.
    :param unfinished: whether scenes of ``dataset.json`` may be missing.
    :raises SimulationError: if there are none, one can't be read, or some are missing.
    """
    return in_view(read_shards(folder, unfinished), limit)
