"""Scenes as arrays, and arrays as files: formats 2 (read only) and 3."""

from pathlib import Path
import zipfile

from moss_perception.core.errors import SimulationError
from moss_perception.core.files import replaced
import numpy as np

FORMAT = 3
_READABLE = (2, 3)
_TEXTS = ('motion', 'shape', 'domain', 'family', 'cell', 'split')


def pack(scenes: list, size: tuple) -> dict:
    """
    Convert scenes to arrays.

    The images of all scenes follow one another; those of a scene's attempt come last in it.

    :param scenes: of :class:`moss_perception.data.schema.Sample`, with their matrices.
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
           for name in ('speed', 'velocity', 'acceleration')},
        **{name: np.array([getattr(scene, name) for scene in scenes]) for name in _TEXTS},
    }


def _joined(parts: list, shape: tuple) -> np.ndarray:
    return np.concatenate([np.empty((0, *shape)), *parts]).astype(np.float32)


def write_arrays(path, arrays: dict):
    """
    Write arrays to one file, whole or not at all.

    :param path: the file, ending in ``.npz``.
    :raises SimulationError: if it can't be written.
    """
    path = Path(path)
    try:
        with replaced(path) as partial, partial.open('wb') as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise SimulationError(f'could not write {path}: {error.strerror or error}') from error


def read_arrays(path, names: tuple = ()) -> dict:
    """
    Read a file's arrays.

    :param names: arrays to read; empty for all.
    :raises SimulationError: if it is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            number = int(file['format']) if 'format' in file.files else -1
            stored = {name: file[name] for name in names or file.files if name in file.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SimulationError(f'could not read the scenes of {path}: {error}') from error
    if number not in _READABLE:
        said = f'its format is {number}' if number >= 0 else 'it names no format'
        raise SimulationError(f'{path} holds no scenes that can be read: {said}, expected one of '
                              f'{", ".join(map(str, _READABLE))}')
    return stored
