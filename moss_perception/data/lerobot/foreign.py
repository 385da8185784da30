"""Episodes of a LeRobotDataset from elsewhere, which does not say all that a sample needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import math
from pathlib import Path
from typing import Any

from moss_perception.core.errors import ConfigError, DataError
from moss_perception.core.frames import Camera
from moss_perception.data.imports.samples import (
    AttemptError,
    check_in_view,
    chosen_before,
    MAX_GAP_S,
    NO_IMAGES,
)
from moss_perception.data.lerobot.layout import GRASP, SUCCESS
from moss_perception.data.schema import Attempt, check_opening, Sample
import numpy as np

_IMAGES = ('video', 'image')
# Of the time between two frames: a decision up to so much before a frame is that of the frame.
_SAME_FRAME = 0.25


@dataclass(frozen=True)
class Foreign:
    """
    What a data set from elsewhere does not say by itself.

    :ivar camera: feature of the images; empty for the only one.
    :ivar grasp: feature of the executed grasp, read at the decision: x, y, z in the camera's
        optical frame, metres, and yaw, radians.
    :ivar decision_s: time of the decision since the episode's first frame, seconds.
    :ivar calibration: the camera's.
    :ivar groups: group labels of all samples.
    :ivar lead_time_s: of episodes without one, seconds; NaN if it is not known.
    :ivar gripper_opening_m: of episodes without one, metres; NaN if it is not known.
    :ivar rate_hz: of a model's images.
    :ivar frames: of its window, for which an episode needs images before the decision.
    :raises ConfigError: if a value is not allowed.
    """

    camera: str = ''
    grasp: str = ''
    decision_s: float | None = None
    calibration: Camera | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    lead_time_s: float = math.nan
    gripper_opening_m: float = math.nan
    rate_hz: float = 10.0
    frames: int = 16

    def __post_init__(self):
        check_opening(self.gripper_opening_m)
        if self.lead_time_s < 0 or math.isinf(self.lead_time_s):
            raise ConfigError(f'lead time of {self.lead_time_s} s: expected 0 s or more')


def success_of(folder: Path, episode: int, frames: dict[str, np.ndarray]) -> bool:
    """
    Return whether an episode has a frame of success.

    :raises DataError: if a value is neither true nor false.
    """
    values = frames[SUCCESS].reshape(-1)
    if not np.isin(values, (0, 1)).all():
        wrong = next(x for x in values if x not in (0, 1))
        raise DataError(f'{folder}: episode {episode} has {SUCCESS}={wrong}: expected true or '
                        'false')
    return bool(values.any())


def completed(folder: Path, info: dict[str, Any], foreign: Foreign) -> Foreign:
    """
    Check that everything is said that a data set from elsewhere lacks.

    :returns: with the feature of the images.
    :raises DataError: if that is not clear, or something else is not said.
    """
    there = [name for name, one in info['features'].items() if one['dtype'] in _IMAGES]
    if foreign.camera not in (there if foreign.camera or len(there) != 1 else ['']):
        raise DataError(f'{folder}: no feature {foreign.camera or "of images was named"}: '
                        f'expected --camera with one of {", ".join(there) or "none at all"}')
    wanting = [option for option, value in (
        ('--grasp', foreign.grasp), ('--decision', foreign.decision_s is not None),
        ('--calibration', foreign.calibration)) if not value]
    if wanting:
        raise DataError(f'{folder} does not say what was grasped where, and when it was decided: '
                        f'expected {", ".join(wanting)}')
    numbers = [name for name, one in info['features'].items()
               if one['dtype'].startswith(('float', 'int', 'uint'))]
    if foreign.grasp not in numbers:
        lacking = ('has no numbers in the' if foreign.grasp in info['features'] else 'has no')
        raise DataError(f'{folder} {lacking} feature {foreign.grasp}: expected one with '
                        f'{", ".join(GRASP)} of the executed grasp, among {", ".join(numbers)}')
    return replace(foreign, camera=foreign.camera or there[0])


def foreign_sample(folder: Path, info: dict[str, Any], foreign: Foreign, episode: int,
                   frames: dict[str, np.ndarray], jpegs: list[bytes]) -> Sample:
    """
    Make a sample of an episode from elsewhere.

    :param foreign: as :func:`completed` returns it.
    :param frames: values of each frame, by feature.
    :param jpegs: its images.
    :raises AttemptError: if the episode ends before its decision, or the grasp is no pose.
    :raises DataError: if a value is missing or of the wrong kind.
    """
    stamps = np.round(frames['timestamp'].reshape(-1).astype(float) * 1e9).astype(np.int64)
    # The times are float32, and who writes one down rounds it.
    late_ns = round(1e9 * _SAME_FRAME / info['fps'])
    decided = round(1e9 * (foreign.decision_s or 0.0))
    before = int(np.searchsorted(stamps, decided + late_ns, side='right'))
    grasp = np.asarray(frames[foreign.grasp], float).reshape(len(stamps), -1)
    if before == 0 or decided > stamps[-1] + late_ns:
        raise AttemptError(NO_IMAGES, f'{folder}: episode {episode} ends at {stamps[-1] / 1e9:g} '
                           f's: expected a decision before that, not at {foreign.decision_s:g} s')
    wrong = (f'{folder}: episode {episode} has {foreign.grasp}={grasp[before - 1].tolist()}: '
             f'expected {", ".join(GRASP)}, all finite')
    if grasp.shape[1] != len(GRASP):
        raise DataError(wrong)
    if not np.isfinite(grasp[before - 1]).all():
        raise AttemptError('no pose', wrong)
    success, camera = success_of(folder, episode, frames), foreign.calibration
    assert camera is not None  # completed() has checked it
    height, width = info['features'][foreign.camera]['shape'][:2]
    fitting = camera.at_size(width, height)
    if fitting is None:
        raise DataError(f'{folder}: the images have {width} x {height} pixels, the calibration is '
                        f'of {camera.width} x {camera.height}: expected the same size')
    return Sample(
        tuple(jpegs[:before]), grasp[before - 1:before].astype(np.float32), np.array([success]),
        matrix=fitting.matrix, distortion=fitting.distortion, distortion_model=fitting.model,
        size=(width, height), stamps_ns=stamps[:before], name=f'{folder.name}, episode {episode}',
        attempt=Attempt(0, success, tuple(jpegs[before:]), stamps[before:]), domain='real',
        groups={'bag': folder.name})


def check_usable(sample: Sample, foreign: Foreign) -> None:
    """
    Check that a training can use a sample, as the import of recordings does.

    :param sample: of :func:`foreign_sample`.
    :raises AttemptError: if it has too few images before the decision, or the grasp is outside
        the image.
    """
    stamps = sample.times_ns
    pauses = np.flatnonzero(np.diff(stamps) > MAX_GAP_S * 1e9)
    chosen_before(stamps[pauses[-1] + 1:] if len(pauses) else stamps, foreign.rate_hz,
                  foreign.frames)
    check_in_view(sample.candidates[0, :3].astype(float), sample.camera)
