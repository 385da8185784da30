"""
Files of samples from any source, such as recordings: format 4 of the shards.

In contrast to the files of simulated scenes, :mod:`moss_perception.data.shards`, each sample has
its own number of candidates, images and size, and each optional field may be missing.
"""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from moss_perception.core.errors import DataError, SimulationError
from moss_perception.data.schema import Attempt, Sample
from moss_perception.data.shards import read_arrays, write_arrays
import numpy as np

FORMAT = 4
PATTERN = 'samples_*.npz'
# Arrays of which each sample has its own number of rows, or none: type and shape of a row.
_ROWS: dict[str, tuple[type, tuple[int, ...]]] = {
    'candidates': (np.float32, (4,)), 'labels': (np.float32, ()), 'mask': (np.bool_, ()),
    'matrix': (np.float64, (3,)), 'distortion': (np.float64, ()), 'stamps_ns': (np.int64, ()),
    'track': (np.float32, (3,)), 'offsets': (np.float32, (4,)),
    'other_lead_times_s': (np.float32, ()), 'other_labels': (np.float32, ()),
    'other_places': (np.float32, (3,)), 'object_mask': (np.uint8, ()),
    'attempt_stamps_ns': (np.int64, ()), 'attempt_to_loss_s': (np.float32, ()),
    'attempt_positions': (np.float32, (3,))}
_FACTS = ('name', 'seed', 'domain', 'split', 'motion', 'shape', 'family', 'cell', 'speed',
          'velocity', 'acceleration', 'lead_time_s', 'distortion_model')
# Facts of which older files say nothing.
_ADDED = ('gripper_opening_m',)


def sample_path(folder: Path, number: int) -> Path:
    """Return the file of a folder's shard with this number."""
    return folder / PATTERN.replace('*', f'{number:05d}')


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """
    Write samples to one file, whole or not at all.

    :param samples: at least one.
    :raises DataError: if the label of a labelled candidate is not finite, or the file can't be
        written.
    """
    for sample in samples:
        check_labels(sample)
    jpegs = [data for sample in samples for data in (
        *sample.jpegs, *(sample.attempt.jpegs if sample.attempt else ()))]
    arrays = {
        'format': np.array(FORMAT), 'count': np.array(len(samples)),
        'facts': np.array(json.dumps([facts_of(sample) for sample in samples])),
        'jpeg': np.frombuffer(b''.join(jpegs), np.uint8),
        'offset': np.cumsum([0] + [len(data) for data in jpegs]),
        'frames': np.array([len(sample.jpegs) for sample in samples]),
        'watched': np.array([len(sample.attempt.jpegs) if sample.attempt else 0
                             for sample in samples])}
    rows = [rows_of(sample) for sample in samples]
    for name, (kind, shape) in _ROWS.items():
        known = [np.asarray(one[name], kind).reshape(-1, *shape) for one in rows if name in one]
        arrays[name] = np.concatenate([np.empty((0, *shape), kind), *known])
        arrays[f'{name}_rows'] = np.array([
            np.size(one[name]) // max(1, int(np.prod(shape))) if name in one else -1
            for one in rows])
    try:
        write_arrays(path, arrays)
    except SimulationError as error:
        raise DataError(str(error)) from error


def read_samples(path: Path | str) -> list[Sample]:
    """
    Read the samples of one file.

    :raises DataError: if it is missing, damaged or of another format.
    """
    stored = _read(path)
    data, offset = stored['jpeg'].tobytes(), stored['offset']
    jpegs = [data[begin:end] for begin, end in zip(offset[:-1], offset[1:], strict=True)]
    facts = json.loads(str(stored['facts']))
    samples, first, begins = [], 0, dict.fromkeys(_ROWS, 0)
    for n, fact in enumerate(facts):
        rows = {}
        for name in _ROWS:
            count = int(stored[f'{name}_rows'][n])
            if count >= 0:
                rows[name] = stored[name][begins[name]:begins[name] + count]
                begins[name] += count
        middle = first + int(stored['frames'][n])
        end = middle + int(stored['watched'][n])
        samples.append(sample_of(fact, rows, jpegs[first:middle], jpegs[middle:end]))
        first = end
    return samples


def count_samples(path: Path | str) -> int:
    """
    Return the number of samples of a file.

    :raises DataError: if it is missing, damaged or of another format.
    """
    return int(_read(path, ('count',))['count'])


def _read(path: Path | str, names: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path, names, (FORMAT,))
    except SimulationError as error:
        raise DataError(str(error)) from error


def check_labels(sample: Sample) -> None:
    """
    Check the labels of a sample.

    :raises DataError: if one is not 0 to 1 where the mask says that there is one.
    """
    labels = sample.labels[sample.labelled]
    wrong = labels[~((labels >= 0) & (labels <= 1))]
    if len(wrong):
        raise DataError(f'{sample.title} has the label {wrong[0]:g}: expected 1 for a success and '
                        '0 for a failure, or no label')


def facts_of(sample: Sample) -> dict[str, Any]:
    """Return the fields of a sample that are no arrays, as JSON can hold them."""
    attempt, mask = sample.attempt, sample.object_mask
    facts: dict[str, Any] = {name: getattr(sample, name) for name in (*_FACTS, *_ADDED)}
    facts['groups'] = dict(sample.groups)
    facts['size'] = None if sample.size is None else [int(length) for length in sample.size]
    facts['object_mask'] = None if mask is None else list(mask.shape)
    facts['attempt'] = attempt and {
        'candidate': int(attempt.candidate), 'success': bool(attempt.success),
        'phases': list(attempt.phases)}
    return facts


def rows_of(sample: Sample) -> dict[str, np.ndarray]:
    """Return the arrays of a sample that are known, apart from the images."""
    attempt = sample.attempt
    values = {name: getattr(sample, name, None) for name in _ROWS}
    if sample.object_mask is not None:
        values['object_mask'] = np.packbits(sample.object_mask, axis=-1)
    if attempt is not None:
        values |= {f'attempt_{name}': getattr(attempt, name)
                   for name in ('stamps_ns', 'to_loss_s', 'positions')}
    return {name: np.asarray(value) for name, value in values.items() if value is not None}


def sample_of(facts: dict[str, Any], rows: dict[str, np.ndarray], jpegs: Sequence[bytes],
              watched: Sequence[bytes]) -> Sample:
    """
    Build the sample that :func:`facts_of` and :func:`rows_of` describe.

    :param jpegs: images up to the decision.
    :param watched: images of the attempt.
    """
    arrays: dict[str, Any] = {name: np.asarray(values, _ROWS[name][0]).reshape(
        -1, *_ROWS[name][1]) for name, values in rows.items()}
    attempt, shape, size = facts['attempt'], facts['object_mask'], facts['size']
    filmed = {name.removeprefix('attempt_'): arrays.pop(name)
              for name in list(arrays) if name.startswith('attempt_')}
    if attempt is not None:
        attempt = Attempt(attempt['candidate'], attempt['success'], tuple(watched),
                          phases=tuple(attempt['phases']), **filmed)
    if shape is not None:
        packed = arrays['object_mask'].reshape(shape[0], -1)
        arrays['object_mask'] = np.unpackbits(packed, axis=-1, count=shape[1]).astype(bool)
    if 'other_labels' in arrays:
        arrays['other_labels'] = arrays['other_labels'].reshape(
            len(arrays['other_lead_times_s']), len(arrays['candidates']))
    return Sample(jpegs=tuple(jpegs), attempt=attempt, groups=facts['groups'],
                  size=None if size is None else (size[0], size[1]),
                  **{name: facts[name] for name in _FACTS},
                  **{name: facts[name] for name in _ADDED if name in facts}, **arrays)
