"""
The files and features of a LeRobotDataset of version 3, and how a sample is told in them.

An episode is a sample: its frames are the images up to the decision, then those of the attempt.
Numbers that other programs may want are features of each frame; all else that a sample knows is
JSON in one feature of texts, the same in each frame, so that tools that divide or merge data sets
keep it. Source: lerobot 0.6, ``lerobot/datasets`` (``dataset_metadata.py``, ``feature_utils.py``).
"""

import base64
import json
from pathlib import Path
from typing import Any
import zlib

from moss_perception.core.errors import DataError
from moss_perception.data.sample_shards import facts_of, rows_of, sample_of
from moss_perception.data.schema import Sample
import numpy as np

VERSION = 'v3.0'
INFO, STATS, TASKS = 'meta/info.json', 'meta/stats.json', 'meta/tasks.parquet'
EPISODES_PATH = 'meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
CAMERA = 'observation.images.camera'
SAMPLE, CANDIDATES, LABELS = 'moss.sample', 'grasp.candidates', 'grasp.labels'
SUCCESS, ACTION = 'next.success', 'action'
GRASP = ('x', 'y', 'z', 'yaw')
NO_LABEL = -1.0
"""In ``grasp.labels``: of a candidate without a label, or of no candidate."""

# Told by features, and so not in the JSON.
_TOLD = ('candidates', 'labels', 'mask', 'stamps_ns', 'attempt_stamps_ns')


def features(size: tuple[int, int], candidates: int, images: str) -> dict[str, dict[str, Any]]:
    """
    Describe the features of a data set, as ``meta/info.json`` does.

    :param size: width and height of the images, pixels.
    :param candidates: highest number of candidates.
    :param images: ``video`` or ``image``.
    """
    def one(kind: str, *shape: int, names: Any = None) -> dict[str, Any]:
        return {'dtype': kind, 'shape': list(shape), 'names': names}
    width, height = size
    return {
        CAMERA: one(images, height, width, 3, names=['height', 'width', 'channels']),
        ACTION: one('float32', 4, names=list(GRASP)),
        SUCCESS: one('bool', 1), 'next.done': one('bool', 1),
        CANDIDATES: one('float32', candidates, 4, names=['candidate', 'grasp']),
        LABELS: one('float32', candidates), 'grasp.count': one('int64', 1),
        'grasp.executed': one('int64', 1), 'grasp.decided': one('bool', 1),
        'stamp_ns': one('int64', 1), SAMPLE: one('string', 1),
        'timestamp': one('float32', 1),
        **{name: one('int64', 1) for name in (
            'frame_index', 'episode_index', 'index', 'task_index')}}


def frames_of(sample: Sample, candidates: int) -> dict[str, np.ndarray]:
    """
    Tell a sample as values of each frame, apart from images and indices.

    :param candidates: number of candidates to pad with zeros to.
    :returns: arrays of as many rows as there are frames, by feature.
    """
    attempt, count = sample.attempt, len(sample.candidates)
    watched = 0 if attempt is None else len(attempt.jpegs)
    total = len(sample.jpegs) + watched
    executed = -1 if attempt is None else attempt.candidate
    places, labels = np.zeros((candidates, 4), np.float32), np.full(candidates, NO_LABEL)
    places[:count] = sample.candidates
    labels[:count][sample.labelled] = sample.labels[sample.labelled]
    grasp = sample.candidates[executed] if executed >= 0 else np.zeros(4)
    last = np.arange(total) == total - 1
    same = {ACTION: np.float32(grasp), CANDIDATES: places, LABELS: np.float32(labels),
            'grasp.count': np.int64(count), 'grasp.executed': np.int64(executed),
            SAMPLE: np.array(_text_of(sample))}
    return {
        **{name: np.repeat(np.asarray(value)[None], total, axis=0)
           for name, value in same.items()},
        SUCCESS: last & (attempt is not None and attempt.success), 'next.done': last,
        'grasp.decided': np.arange(total) >= len(sample.jpegs),
        'stamp_ns': np.concatenate([sample.times_ns, *(
            [] if attempt is None else [attempt.stamps_ns])]).astype(np.int64)}


def sample_from(frames: dict[str, np.ndarray], jpegs: list[bytes]) -> Sample:
    """
    Read a sample from what :func:`frames_of` tells.

    :param frames: values of each frame of the episode, by feature.
    :param jpegs: its images.
    :raises DataError: if they contradict one another.
    """
    try:
        told = json.loads(str(frames[SAMPLE][0]))
        facts, rows = told['facts'], {
            name: _array(value) for name, value in told['rows'].items()}
        count, decided = int(frames['grasp.count'][0]), frames['grasp.decided'].astype(bool)
        labels = np.asarray(frames[LABELS][0], np.float32)[:count]
        mask = labels != NO_LABEL
        stamps = frames['stamp_ns'].astype(np.int64)
        rows |= {'candidates': np.asarray(frames[CANDIDATES][0], np.float32)[:count],
                 'labels': np.where(mask, labels, np.nan), 'mask': mask}
        if told['stamped']:
            rows['stamps_ns'] = stamps[~decided]
        if facts['attempt'] is not None:
            rows['attempt_stamps_ns'] = stamps[decided]
        before = len(jpegs) - int(decided.sum())
        return sample_of(facts, rows, jpegs[:before], jpegs[before:])
    except (KeyError, ValueError, TypeError, zlib.error) as error:
        raise DataError(f'an episode of {len(jpegs)} frames is no sample: {error!r}; expected '
                        f'the features that moss export-dataset writes') from error


def _text_of(sample: Sample) -> str:
    """Write what the other features do not tell of a sample."""
    return json.dumps({
        'facts': facts_of(sample), 'stamped': sample.stamps_ns is not None,
        'rows': {name: _listed(value) for name, value in rows_of(sample).items()
                 if name not in _TOLD}})


def _listed(values: np.ndarray) -> Any:
    """Write an array as a list, or the bytes of a mask as compressed text."""
    if values.dtype == np.uint8:
        return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode('ascii')
    return values.tolist()


def _array(value: Any) -> np.ndarray:
    if isinstance(value, str):
        return np.frombuffer(zlib.decompress(base64.b64decode(value)), np.uint8)
    return np.array(value)


def read_info(folder: Path) -> dict[str, Any]:
    """
    Read the description of a data set.

    :raises DataError: if it is missing, damaged, or of another version.
    """
    path = folder / INFO
    try:
        info = json.loads(path.read_text(encoding='utf-8'))
        version = str(info['codebase_version'])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = getattr(error, 'strerror', None) or repr(error)
        raise DataError(f"{folder} is no LeRobotDataset: {INFO} can't be read ({why}); expected "
                        f'a folder with meta/, data/ and videos/ of version {VERSION}') from error
    if not version.startswith('v3.'):
        raise DataError(
            f'{folder} is a LeRobotDataset of version {version}: expected {VERSION}; convert it '
            'with python -m lerobot.scripts.convert_dataset_v21_to_v30')
    for name in ('fps', 'features', 'data_path', 'total_episodes'):
        if not info.get(name):
            raise DataError(f'{folder}: {INFO} has no {name}: expected a LeRobotDataset of '
                            f'version {VERSION} with at least one episode')
    return info
