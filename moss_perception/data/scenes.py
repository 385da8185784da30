"""Recorded scenes on disk: compressed NumPy shards, without pickle and without MuJoCo."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from moss_perception.core.errors import ShapeError, SimulationError
from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
from moss_perception.data.inventory import check_complete, PATTERN
from moss_perception.data.phases import GRIP_S
from moss_perception.data.shards import pack, read_arrays, write_arrays
import numpy as np

_PERIOD_NS = 100_000_000  # of frames whose stamps were not kept


@dataclass(frozen=True)
class Monitor:
    """
    What the camera sees of one grasp while it is executed, until its motion is over.

    :ivar candidate: which of the scene's candidates is executed.
    :ivar jpegs: ``M`` compressed images, oldest first; the first comes after the decision's.
    :ivar stamps_ns: int64, shape ``(M,)``, of the scene's clock, nanoseconds.
    :ivar phases: ``M`` names: ``approach``, ``descend``, ``close``, ``lift`` or ``shake``.
    :ivar held: whether the object was held at the end: the candidate's outcome.
    :ivar to_loss_s: float32, shape ``(M,)``: time from each frame to the loss, seconds, negative
        after it; NaN if held. An object is lost when both fingers last touched it, or, if they
        never did, when the grasp was seen to have failed.
    :ivar positions: of the object's centre, float32, shape ``(M, 3)``, optical frame, metres.
    """

    candidate: int
    jpegs: tuple
    stamps_ns: np.ndarray
    phases: tuple
    held: bool
    to_loss_s: np.ndarray
    positions: np.ndarray


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
    :ivar family: the object's; in the belt's cell the same as its shape.
    :ivar cell: what the scene was drawn from.
    :ivar velocity: of the object along the belt at the decision, m/s; it may roll.
    :ivar acceleration: of the belt at the decision, m/s^2; NaN if it was not kept.
    :ivar split: ``held_out`` for objects that training never shows, else empty.
    :ivar offsets: of the candidates from the object's centre, float32, shape ``(K, 4)``: lead
        along the belt, lateral and height, metres, yaw off the short axis, radians; ``None`` if
        they were not kept.
    :ivar stamps_ns: int64, shape ``(T,)``, nanoseconds since the scene's start; ``None`` for
        frames at 10 Hz.
    :ivar monitor: one of the grasps, watched while it is executed, or ``None``.
    :ivar size: width and height of the images, pixels; ``None`` before it is stored.
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
    family: str = ''
    cell: str = 'belt'
    velocity: float = float('nan')
    acceleration: float = float('nan')
    split: str = ''
    offsets: Optional[np.ndarray] = None
    stamps_ns: Optional[np.ndarray] = None
    monitor: Optional[Monitor] = None
    size: Optional[tuple] = None

    @property
    def frames(self) -> np.ndarray:
        """Decode the images: uint8, RGB, shape ``(T, H, W, 3)``."""
        return self.newest(len(self.jpegs))

    @property
    def image_size(self) -> tuple:
        """Return the images' width and height, pixels; from the shard where it says so."""
        return self.size or _size_of(self.jpegs[-1])

    @property
    def times_ns(self) -> np.ndarray:
        """Return the frames' stamps, int64, shape ``(T,)``; at 10 Hz if none were kept."""
        if self.stamps_ns is None:
            return np.arange(len(self.jpegs), dtype=np.int64) * _PERIOD_NS
        return self.stamps_ns

    @property
    def constant_velocity_lead(self) -> float:
        """Return how far along the belt it would get until fingers close, went it on so, m."""
        return self.velocity * GRIP_S

    def newest(self, count: int) -> np.ndarray:
        """Decode the last ``count`` images only: uint8, RGB, shape ``(count, H, W, 3)``."""
        return np.stack([_decode(data) for data in self.jpegs[-count:]])

    def clip(self, count: int, rate_hz: float) -> np.ndarray:
        """
        Decode the last samples, chosen as :meth:`window` does.

        :returns: uint8, RGB, shape ``(count, H, W, 3)``.
        :raises ShapeError: if the frames span fewer samples.
        """
        chosen, which = np.unique(self.window(count, rate_hz), return_inverse=True)
        return np.stack([_decode(self.jpegs[index]) for index in chosen])[which]

    def window(self, count: int, rate_hz: float) -> np.ndarray:
        """
        Choose the last samples as a predictor does: by stamp, repeating for what is missing.

        :param count: of samples.
        :param rate_hz: of samples, at most that of the frames.
        :returns: indices into ``jpegs``, shape ``(count,)``.
        :raises ShapeError: if the frames span fewer samples.
        """
        times = self.times_ns
        slots = np.floor((times - times[0]) * (rate_hz / 1e9) + 0.25).astype(int)
        # A slot's sample is its first frame; where there is none, that of the slot before.
        first = np.searchsorted(slots, np.arange(slots[-1] + 1))
        newest = np.searchsorted(slots, np.arange(slots[-1] + 1), side='right') - 1
        samples = np.where(slots[first] == np.arange(len(first)), first, first[slots[newest]])
        if len(samples) < count:
            raise ShapeError(f'the frames of scene {self.seed} make {len(samples)} samples at '
                             f'{rate_hz} Hz: expected at least {count}')
        return samples[-count:]

    def during(self, index: int) -> 'Scene':
        """
        Return the scene as it stands at a frame of its monitored grasp.

        Its frames end there, and the grasp that is executed is its one candidate.

        :param index: of the frame, below the monitor's number of frames.
        :raises SimulationError: if no grasp was monitored, or there is no such frame.
        """
        watched = self.monitor
        if watched is None or not 0 <= index < len(watched.jpegs):
            count = 0 if watched is None else len(watched.jpegs)
            raise SimulationError(f'scene {self.seed} has {count} frames of a grasp under way: '
                                  f'there is no frame {index}')
        one, upto = [watched.candidate], slice(index + 1)
        return replace(
            self, jpegs=self.jpegs + watched.jpegs[upto],
            stamps_ns=np.concatenate([self.times_ns, watched.stamps_ns[upto]]),
            candidates=self.candidates[one], outcomes=self.outcomes[one],
            offsets=None if self.offsets is None else self.offsets[one],
            track=np.stack([watched.positions[index], self.track[1]]), monitor=None)


def _decode(data: bytes) -> np.ndarray:
    return decode(CompressedImage(data=data, format='jpeg'))


def _size_of(data: bytes) -> tuple:
    height, width = _decode(data).shape[:2]
    return width, height


def write_shard(path, scenes: list, matrix: np.ndarray):
    """
    Write scenes to one file, whole or not at all.

    :param path: the file, ending in ``.npz``.
    :param scenes: at least one, all with the same number of candidates.
    :param matrix: the camera's, shape ``(3, 3)``, pixels, of scenes that have none of their own.
    :raises SimulationError: if it can't be written.
    """
    scenes = [scene if scene.matrix is not None else replace(scene, matrix=matrix)
              for scene in scenes]
    write_arrays(path, pack(scenes, scenes[0].image_size))


def read_shard(path) -> list:
    """
    Read the scenes of one file, of format 2 or 3.

    :raises SimulationError: if it is missing, damaged or of another format.
    """
    stored = read_arrays(path)
    old = int(stored['format']) == 2
    data, offset = stored['jpeg'].tobytes(), stored['offset']
    jpegs = [data[begin:end] for begin, end in zip(offset[:-1], offset[1:],
                                               strict=True)]
    size = _size_of(jpegs[0]) if old else tuple(int(value) for value in stored['size'])
    count = len(stored['seed'])
    lengths = np.full(count, len(jpegs) // count) if old else stored['frames']
    ends = np.cumsum(lengths if old else lengths + stored['watched'])
    scenes = []
    for n in range(count):
        begin = int(ends[n - 1]) if n else 0
        middle = begin + int(lengths[n])
        shape, speed = str(stored['shape'][n]), float(stored['speed'][n])
        more = {'matrix': stored['matrix'], 'family': shape, 'velocity': speed} if old else {
            **_kept(stored, n), 'stamps_ns': stored['stamps_ns'][begin:middle],
            'monitor': _monitor(stored, n, jpegs, slice(middle, int(ends[n])))}
        scenes.append(Scene(
            seed=int(stored['seed'][n]), jpegs=tuple(jpegs[begin:middle]),
            candidates=stored['candidates'][n], outcomes=stored['outcomes'][n], speed=speed,
            motion=str(stored['motion'][n]), shape=shape, track=stored['track'][n],
            domain=str(stored['domain'][n]), size=size, **more))
    return scenes


def _kept(stored: dict, n: int) -> dict:
    """Return what format 3 adds to a scene, but its frames."""
    offsets = stored['offsets'][n]
    return {'matrix': stored['matrix'][n], 'velocity': float(stored['velocity'][n]),
            'acceleration': float(stored['acceleration'][n]),
            'offsets': None if np.isnan(offsets).all() else offsets,
            **{name: str(stored[name][n]) for name in ('family', 'cell', 'split')}}


def _monitor(stored: dict, n: int, jpegs: list, part: slice) -> Optional[Monitor]:
    candidate = int(stored['executed'][n])
    if candidate < 0:
        return None
    begin = int(stored['watched'][:n].sum())
    mine = slice(begin, begin + int(stored['watched'][n]))
    return Monitor(
        candidate=candidate, jpegs=tuple(jpegs[part]), stamps_ns=stored['stamps_ns'][part],
        phases=tuple(str(name) for name in stored['phase'][mine]),
        held=bool(stored['outcomes'][n][candidate]), to_loss_s=stored['to_loss_s'][mine],
        positions=stored['position'][mine])


def read_shards(folder, unfinished: bool = False):
    """
    Go through all scenes of a folder, in the order of the shards' names.

    :param unfinished: also read a folder that lacks some of what its ``dataset.json`` promises.
    :returns: an iterator of :class:`Scene`.
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
