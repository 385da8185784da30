"""What the simulator knows about the motion in recorded scenes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
import logging
import math
from pathlib import Path

from moss_perception.core.errors import ConfigError, MossError
from moss_perception.core.geometry import letterbox
from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
from moss_perception.data.scenes import load_dataset, read_shards
from moss_perception.data.schema import Sample
from moss_perception.simulation.motions import ROLLING_MOTION
from moss_perception.simulation.scene import DECISION_S, Source
import numpy as np

from study.kept import digest_of
from study.object_motion import places_of, RATE_HZ, velocity_of

log = logging.getLogger('questions')
# Images up to the decision, and from there to the end of the attempt.
BEFORE, AFTER = 20, 11
NO_TRUTH = 'no truth of a simulator'
ANOTHER = 'drawn by another version of the cell'
SHORT = f'fewer than {BEFORE} images before the decision or {AFTER} after it'
CAMERA = 'the belt does not run across the image'
# Speeds that differ less are the same, m/s.
_SAME = 0.002


class UnfitSceneError(ConfigError):
    """Why nothing can be asked about a scene."""


@dataclass(frozen=True)
class Filmed:
    """
    A scene, and what is true in each of its images, at 10 Hz.

    :ivar images: JPEG files, oldest first; one that was lost is replaced by the one before.
    :ivar velocity: of the object, to the right in the image, m/s, float64: of the images up to
        the decision, shape ``(BEFORE,)``; NaN where it is not known.
    :ivar places: of the object's centre in the image, x and y, where [-1, 1] are the edges:
        float64, of the images up to the decision, shape ``(BEFORE, 2)``. Where it is not known,
        that at the decision.
    :ivar held: for each image whether the gripper holds the object; ``None`` if that is open.
    :ivar family: of the object.
    :ivar key: what it was drawn from: cell, split and seed.
    :ivar group: of scenes that are asked about together.
    """

    images: tuple[bytes, ...]
    velocity: np.ndarray
    places: np.ndarray
    held: tuple[bool | None, ...]
    family: str
    key: tuple[str, str, int]
    group: str = ''

    def __len__(self) -> int:
        return len(self.images)

    @property
    def visible(self) -> np.ndarray:
        """Whether each image up to the decision shows the object's centre."""
        return (np.abs(self.places) <= 1).all(axis=1)

    @property
    def digest(self) -> str:
        """Of the images, to tell whether they are the same ones."""
        return digest_of(self.images)

    def frames(self, places: Sequence[int], size: int) -> np.ndarray:
        """Decode images: uint8, RGB, shape ``(N, S, S, 3)``."""
        return np.stack([letterbox(decode(CompressedImage(data=self.images[n], format='jpeg')),
                                   size)[0] for n in places])


@dataclass
class SceneSet:
    """The scenes of a set, and how many were left out, by reason."""

    scenes: list[Filmed] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)

    @property
    def families(self) -> set[str]:
        """Return the families of its objects."""
        return {scene.family for scene in self.scenes}


def load(folders: Sequence[Path], limit: int | None = None) -> SceneSet:
    """
    Read scenes, and draw their motions again from their seeds.

    :param folders: of ``moss record --cell full``.
    :param limit: highest number of scenes of each folder.
    :raises ConfigError: if no scene can be used, or one stands there twice.
    """
    found, known = SceneSet(), {}
    for folder in folders:
        motion = load_dataset(folder).get('motion', '')
        for number, sample in enumerate(read_shards(folder)):
            if number == limit:
                break
            try:
                scene = filmed(sample, motion)
            except UnfitSceneError as why:
                found.left_out[str(why)] += 1
                continue
            if scene.key in known:
                raise ConfigError(f'{folder} and {known[scene.key]} both hold scene '
                                  f'{sample.seed}: expected each once')
            known[scene.key] = folder
            found.scenes.append(scene)
    for why, count in sorted(found.left_out.items()):
        log.warning('%d scenes are left out: %s', count, why)
    if not found.scenes:
        raise ConfigError(f'{", ".join(map(str, folders))}: no scene can be used: ' + '; '.join(
            f'{count} {why}' for why, count in found.left_out.items()))
    # Two by two, so that two objects can be compared; they stay together in every interval.
    order = np.random.default_rng(0).permutation(len(found.scenes))
    for place, number in enumerate(order):
        found.scenes[number] = replace(found.scenes[number], group=f'{place // 2}')
    return found


def refuse_leaks(known: SceneSet, test: SceneSet, name: str) -> None:
    """
    Refuse a test that training has seen.

    :raises ConfigError: if a scene is in both, whatever its domain, or a family of the split
        ``held_out`` is in training.
    """
    keys = {scene.key for scene in known.scenes}
    leaks = [scene.key for scene in test.scenes if scene.key in keys]
    if leaks:
        cell, split, seed = leaks[0]
        raise ConfigError(f'{len(leaks)} scenes of {name} are in training too, such as seed '
                          f'{seed} of the cell {cell}{" " * bool(split)}{split}: expected other '
                          'scenes')
    held_out = {scene.family for scene in test.scenes if scene.key[1]} & known.families
    if held_out:
        raise ConfigError(f'{name} holds out {sorted(held_out)}, which training has: expected '
                          'other families')


def filmed(sample: Sample, motion: str = '') -> Filmed:
    """
    Work out what is true in each image of a scene.

    :param motion: of its data set, if that has one kind of motion only.
    :raises UnfitSceneError: if it can't be used, with the reason.
    """
    attempt = sample.attempt
    if (sample.seed is None or attempt is None or attempt.to_loss_s is None
            or not math.isfinite(sample.velocity)):
        raise UnfitSceneError(NO_TRUTH)
    whole = sample.during(len(attempt.jpegs) - 1)
    stamp = sample.times_ns[-1]
    slots = np.rint((whole.times_ns - stamp) * (RATE_HZ / 1e9)).astype(int)
    if slots[0] > 1 - BEFORE or slots[-1] < AFTER:
        raise UnfitSceneError(SHORT)
    times = np.arange(1 - BEFORE, slots[-1] + 1)
    places = np.searchsorted(slots, times, side='right') - 1
    return Filmed(tuple(whole.jpegs[n] for n in places), *_motion(sample, motion),
                  tuple(_held(sample, int(time), int(n) - len(sample.jpegs))
                        for time, n in zip(times, places, strict=True)),
                  sample.family, (sample.cell, sample.split, sample.seed))


def _motion(sample: Sample, motion: str) -> tuple[np.ndarray, np.ndarray]:
    """Return velocity and places; see :class:`Filmed`."""
    assert sample.seed is not None  # else it has no truth
    try:
        drawn = Source(sample.cell, sample.domain, sample.split, motion).sample(sample.seed)
        across = velocity_of(replace(sample, velocity=1.0))[1]
    except (MossError, KeyError) as error:
        log.debug('%s: %s', sample.title, error)
        raise UnfitSceneError(NO_TRUTH) from error
    times_s = [DECISION_S + n / RATE_HZ for n in range(1 - BEFORE, 1)]
    belt = [drawn.motion.velocity(time_s) for time_s in times_s]
    travelled = np.array([drawn.motion.travel(time_s) for time_s in times_s])
    if drawn.motion.name != sample.motion or abs(belt[-1] - sample.speed) > _SAME:
        raise UnfitSceneError(ANOTHER)
    if abs(across[1]) > abs(across[0]):
        raise UnfitSceneError(CAMERA)
    found = np.array(belt)
    if sample.motion == ROLLING_MOTION or abs(sample.velocity - sample.speed) > _SAME * 5:
        # It does not move with the belt: its velocity is known at the decision only.
        found[:-1], found[-1] = np.nan, sample.velocity
        travelled[:] = travelled[-1]
    return found * np.sign(across[0]), places_of(sample, travelled - travelled[-1])


def _held(sample: Sample, time: int, number: int) -> bool | None:
    """Tell whether an image of the attempt shows the object held, from the lift on."""
    attempt = sample.attempt
    assert attempt is not None and attempt.to_loss_s is not None  # else it has no truth
    if time < 1 or number < 0 or attempt.phases[number] not in ('lift', 'shake'):
        return None
    if attempt.success:
        return True
    # What is about to be lost may slip already.
    return False if attempt.to_loss_s[number] < 0 else None
