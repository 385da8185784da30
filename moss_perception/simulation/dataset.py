"""Recorded scenes on disk: compressed NumPy shards, without pickle and without MuJoCo."""

from dataclasses import dataclass
import os
from pathlib import Path
from typing import Optional
import zipfile

from moss_perception import imaging
from moss_perception.errors import SimulationError
import numpy as np

FORMAT = 2
_PATTERN = 'scenes_*.npz'


@dataclass(frozen=True)
class Scene:
    """
    One scene up to its decision, and the outcome of each candidate grasp decided there.

    :ivar seed: of the scene.
    :ivar jpegs: ``T`` compressed images, oldest first; the last is the decision's.
    :ivar candidates: float32, shape ``(K, 4)``: x, y, z in the optical frame (x right, y down,
        z forward), metres, and yaw of the closing direction about the optical axis, radians.
    :ivar outcomes: bool, shape ``(K,)``: whether the object was held after lift and shake.
    :ivar speed: of the belt at the decision, m/s.
    :ivar motion: the belt's kind of motion.
    :ivar shape: the object's.
    :ivar track: the object's centre at the decision, and when fingers that start then have
        closed, if they don't touch it: float32, shape ``(2, 3)``, optical frame, metres.
    :ivar matrix: the camera's, float64, shape ``(3, 3)``, pixels; ``None`` before it is stored.
    :ivar domain: what the scene's look was drawn from.
    """

    seed: int
    jpegs: tuple
    candidates: np.ndarray
    outcomes: np.ndarray
    speed: float
    motion: str
    shape: str
    track: np.ndarray
    matrix: Optional[np.ndarray] = None
    domain: str = 'sim'

    @property
    def frames(self) -> np.ndarray:
        """Decode the images: uint8, RGB, shape ``(T, H, W, 3)``."""
        return self.newest(len(self.jpegs))

    def newest(self, count: int) -> np.ndarray:
        """Decode the last ``count`` images only: uint8, RGB, shape ``(count, H, W, 3)``."""
        return np.stack([imaging.decode(imaging.CompressedImage(data=data, format='jpeg'))
                         for data in self.jpegs[-count:]])


def write_shard(path, scenes: list, matrix: np.ndarray):
    """
    Write scenes to one file, whole or not at all.

    :param path: the file, ending in ``.npz``.
    :param scenes: at least one, all with the same numbers of frames and candidates.
    :param matrix: the camera's, shape ``(3, 3)``, pixels.
    :raises SimulationError: if it can't be written.
    """
    path = Path(path)
    jpegs = [data for scene in scenes for data in scene.jpegs]
    arrays = {
        'format': np.array(FORMAT),
        'matrix': np.asarray(matrix, np.float64),
        'jpeg': np.frombuffer(b''.join(jpegs), np.uint8),
        'offset': np.cumsum([0] + [len(data) for data in jpegs]),
        'candidates': np.stack([scene.candidates for scene in scenes]).astype(np.float32),
        'outcomes': np.stack([scene.outcomes for scene in scenes]).astype(bool),
        'track': np.stack([scene.track for scene in scenes]).astype(np.float32),
        'speed': np.array([scene.speed for scene in scenes], np.float32),
        'motion': np.array([scene.motion for scene in scenes]),
        'shape': np.array([scene.shape for scene in scenes]),
        'domain': np.array([scene.domain for scene in scenes]),
        'seed': np.array([scene.seed for scene in scenes], np.int64),
    }
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open('wb') as file:
            np.savez(file, **arrays)
        temporary.replace(path)
    except OSError as error:
        raise SimulationError(f'could not write {path}: {error.strerror or error}') from error
    finally:
        temporary.unlink(missing_ok=True)


def read_shard(path) -> list:
    """
    Read the scenes of one file.

    :raises SimulationError: if it is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SimulationError(f'could not read the scenes of {path}: {error}') from error
    if int(stored.get('format', -1)) != FORMAT:
        raise SimulationError(f'{path} holds no scenes of format {FORMAT}')
    data, offset = stored['jpeg'].tobytes(), stored['offset']
    count = len(stored['seed'])
    frames = (len(offset) - 1) // count
    return [
        Scene(
            seed=int(stored['seed'][index]),
            jpegs=tuple(data[offset[k]:offset[k + 1]]
                        for k in range(index * frames, (index + 1) * frames)),
            candidates=stored['candidates'][index], outcomes=stored['outcomes'][index],
            speed=float(stored['speed'][index]), motion=str(stored['motion'][index]),
            shape=str(stored['shape'][index]), track=stored['track'][index],
            matrix=stored['matrix'], domain=str(stored['domain'][index]))
        for index in range(count)]


def read_shards(folder):
    """
    Go through all scenes of a folder, in the order of the shards' names.

    :returns: an iterator of :class:`Scene`.
    :raises SimulationError: if there are none, or one can't be read.
    """
    paths = sorted(Path(folder).glob(_PATTERN))
    if not paths:
        raise SimulationError(f'no scenes in {folder}: expected files {_PATTERN}')
    for path in paths:
        yield from read_shard(path)


def shard_path(folder, first_seed: int) -> Path:
    """Return the file of the shard that begins with a seed."""
    return Path(folder) / f'scenes_{first_seed:08d}.npz'
