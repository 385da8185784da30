"""
Files of simulated scenes: compressed images and NumPy arrays, without pickle.

Formats 2 (read only) and 3. Samples from other sources are in files of format 4, see
:mod:`moss_perception.data.sample_shards`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional
import zipfile

from moss_perception.core.errors import DataError, SimulationError
from moss_perception.core.files import replaced
from moss_perception.data.schema import Attempt, PERIOD_NS, Sample, size_of
import numpy as np

FORMAT = 3
PATTERN = 'scenes_*.npz'
_READABLE = (2, 3)
_FLOATS = ('speed', 'velocity', 'acceleration')
_TEXTS = ('motion', 'shape', 'domain', 'family', 'cell', 'split')
# Of other lead times; a shard has them, and the scenes' own lead times, only if they are known.
_OTHERS = ('other_lead_times_s', 'other_labels', 'other_places')


def shard_path(folder, first_seed: int) -> Path:
    """Return the file of the shard that begins with a seed."""
    return Path(folder) / PATTERN.replace('*', f'{first_seed:08d}')


def write_shard(path, scenes: list, matrix: np.ndarray):
    """
    Write simulated scenes to one file, whole or not at all.

    :param path: the file, ending in ``.npz``.
    :param scenes: samples with a seed, a track and a label for each candidate; at least one, all
        with the same number of candidates.
    :param matrix: the camera's, shape ``(3, 3)``, pixels, of scenes that have none of their own.
    :raises DataError: if a sample lacks a field of the shards, or the samples differ in the number
        of their lead times.
    :raises SimulationError: if it can't be written.
    """
    for scene in scenes:
        _require_simulated(scene)
    _require_same_lead_times(scenes)
    scenes = [scene if scene.matrix is not None else replace(scene, matrix=matrix)
              for scene in scenes]
    write_arrays(Path(path), _pack(scenes, scenes[0].image_size))


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


def _require_same_lead_times(scenes: list):
    """Refuse scenes that one array of lead times cannot hold."""
    numbers = {(not np.isnan(scene.lead_time_s), -1 if scene.other_lead_times_s is None
                else len(scene.other_lead_times_s)): scene.title for scene in scenes}
    if len(numbers) > 1:
        raise DataError(f'{" and ".join(numbers.values())} differ in the number of lead times: '
                        'expected the same for all scenes of a shard')


def _pack(scenes: list, size: tuple) -> dict:
    """
    Convert scenes to arrays.

    The images of all scenes follow one another; those of a scene's attempt come last in it.

    :param scenes: samples, with their matrices.
    :param size: width and height of the images, pixels.
    """
    watched = [scene.attempt for scene in scenes if scene.attempt is not None]
    jpegs, stamps = [], []
    for scene in scenes:
        jpegs += scene.jpegs
        stamps.append(scene.times_ns)
        if scene.attempt is not None:
            jpegs += scene.attempt.jpegs
            stamps.append(scene.attempt.stamps_ns)
    return {
        'format': np.array(FORMAT),
        'size': np.array(size, np.int32),
        'jpeg': np.frombuffer(b''.join(jpegs), np.uint8),
        'offset': np.cumsum([0] + [len(data) for data in jpegs]),
        'stamps_ns': np.concatenate(stamps).astype(np.int64),
        'frames': np.array([len(scene.jpegs) for scene in scenes]),
        'watched': np.array([len(scene.attempt.jpegs) if scene.attempt else 0
                             for scene in scenes]),
        'executed': np.array([scene.attempt.candidate if scene.attempt else -1
                              for scene in scenes]),
        'phase': np.array([name for one in watched for name in one.phases], str),
        'to_loss_s': _joined([one.to_loss_s for one in watched], ()),
        'position': _joined([one.positions for one in watched], (3,)),
        **_of_scenes(scenes),
        **_of_lead_times(scenes),
        **_of_masks(scenes),
    }


def _of_scenes(scenes: list) -> dict:
    offsets = [np.full(scene.candidates.shape, np.nan) if scene.offsets is None
               else scene.offsets for scene in scenes]
    return {
        'seed': np.array([scene.seed for scene in scenes], np.int64),
        'matrix': np.stack([scene.matrix for scene in scenes]).astype(np.float64),
        'candidates': np.stack([scene.candidates for scene in scenes]).astype(np.float32),
        'offsets': np.stack(offsets).astype(np.float32),
        'outcomes': np.stack([scene.outcomes for scene in scenes]).astype(bool),
        'track': np.stack([scene.track for scene in scenes]).astype(np.float32),
        **{name: np.array([getattr(scene, name) for scene in scenes], np.float32)
           for name in _FLOATS},
        **{name: np.array([getattr(scene, name) for scene in scenes]) for name in _TEXTS},
    }


def _of_lead_times(scenes: list) -> dict:
    arrays = {}
    if not np.isnan(scenes[0].lead_time_s):
        arrays['lead_time_s'] = np.array([scene.lead_time_s for scene in scenes], np.float64)
    if scenes[0].other_lead_times_s is not None:
        arrays |= {name: np.stack([getattr(scene, name) for scene in scenes]).astype(np.float32)
                   for name in _OTHERS}
    return arrays


def _of_masks(scenes: list) -> dict:
    """Pack the masks, eight pixels a byte; a shard has them only if all of its scenes do."""
    masks = [scene.object_mask for scene in scenes if scene.object_mask is not None]
    if len(masks) < len(scenes):
        return {}
    return {'object_mask': np.packbits(np.stack(masks), axis=-1)}


def _joined(parts: list, shape: tuple) -> np.ndarray:
    return np.concatenate([np.empty((0, *shape)), *parts]).astype(np.float32)


def write_arrays(path: Path, arrays: dict):
    """
    Write a file of arrays, whole or not at all.

    :raises SimulationError: if it can't be written.
    """
    try:
        with replaced(path) as partial, partial.open('wb') as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise SimulationError(f'could not write {path}: {error.strerror or error}') from error


def read_shard(path) -> list[Sample]:
    """
    Read the scenes of one file, of format 2 or 3.

    :raises SimulationError: if it is missing, damaged or of another format.
    """
    stored = read_arrays(path)
    data, offset = stored['jpeg'].tobytes(), stored['offset']
    jpegs = [data[begin:end] for begin, end in zip(offset[:-1], offset[1:], strict=True)]
    if int(stored['format']) == 2:
        stored |= _added_by_format_3(stored, jpegs)
    ends = np.cumsum(stored['frames'] + stored['watched'])
    return [_scene(stored, n, jpegs, int(ends[n - 1]) if n else 0, int(ends[n]))
            for n in range(len(ends))]


def _added_by_format_3(stored: dict, jpegs: list) -> dict:
    """Return the arrays that format 2 lacks, for images at 10 Hz."""
    count = len(stored['seed'])
    frames = len(jpegs) // count
    return {
        'size': size_of(jpegs[0]), 'frames': np.full(count, frames),
        'watched': np.zeros(count, int), 'executed': np.full(count, -1),
        'stamps_ns': np.tile(np.arange(frames) * PERIOD_NS, count),
        'matrix': np.stack([stored['matrix']] * count),
        'offsets': np.full(stored['candidates'].shape, np.nan),
        'velocity': stored['speed'], 'acceleration': np.full(count, np.nan),
        'family': stored['shape'], 'cell': ['belt'] * count, 'split': [''] * count}


def _scene(stored: dict, n: int, jpegs: list, begin: int, end: int) -> Sample:
    middle, offsets = begin + int(stored['frames'][n]), stored['offsets'][n]
    width, height = stored['size']
    named: dict[str, Any] = {name: float(stored[name][n]) for name in _FLOATS} | {
        name: str(stored[name][n]) for name in _TEXTS} | {
        name: stored[name][n] for name in _OTHERS if name in stored}
    if 'lead_time_s' in stored:
        named['lead_time_s'] = float(stored['lead_time_s'][n])
    if 'object_mask' in stored:
        packed = stored['object_mask'][n]
        named['object_mask'] = np.unpackbits(packed, axis=-1, count=int(width)).astype(bool)
    return Sample(
        seed=int(stored['seed'][n]), jpegs=tuple(jpegs[begin:middle]),
        size=(int(width), int(height)), stamps_ns=stored['stamps_ns'][begin:middle],
        matrix=stored['matrix'][n],
        candidates=stored['candidates'][n], labels=stored['outcomes'][n],
        offsets=None if np.isnan(offsets).all() else offsets, track=stored['track'][n],
        attempt=_attempt(stored, n, jpegs, slice(middle, end)), **named)


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


def seeds_of(path) -> list:
    """
    Return the seeds of a shard's scenes.

    :raises SimulationError: if it is missing, damaged or of another format.
    """
    return read_arrays(path, ('seed',))['seed'].tolist()


def read_arrays(path, names: tuple = (), formats: tuple = _READABLE) -> dict:
    """
    Read arrays by their names; all of a file without names.

    :param formats: the formats that the caller can read.
    :raises SimulationError: if the file is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            number = int(file['format']) if 'format' in file.files else -1
            stored = {name: file[name] for name in names or file.files if name in file.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SimulationError(f'could not read the scenes of {path}: {error}') from error
    if number not in formats:
        said = f'its format is {number}' if number >= 0 else 'it names no format'
        raise SimulationError(f'{path} holds no scenes that can be read: {said}, expected one of '
                              f'{", ".join(map(str, formats))}')
    return stored
