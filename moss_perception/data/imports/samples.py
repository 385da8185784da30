"""From a recorded attempt to a sample: which images, candidates and label it has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from moss_perception.core.errors import ConfigError, DataError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.core.grasp_match import nearest_grasp
from moss_perception.core.lead_times import executed_lead_time
from moss_perception.core.scores import ScoreReason
from moss_perception.data.imports.survey import Survey
from moss_perception.data.outcomes import Outcome, OUTSIDE
from moss_perception.data.schema import Attempt, check_opening, Sample
import numpy as np

# The predictor's max_gap: a longer pause resets its window, so a sample begins after it.
MAX_GAP_S = 0.5


class Execution(Protocol):
    """A recorded attempt with its executed grasp, as an evaluation finds it."""

    @property
    def outcome(self) -> Outcome:
        """Return the recorded outcome."""
        ...

    @property
    def position(self) -> np.ndarray | None:
        """Return the executed position, shape ``(3,)``, metres; ``None`` if it is unknown."""
        ...

    @property
    def yaw(self) -> float:
        """Return the closing direction about the optical axis, radians."""
        ...

    @property
    def frame_id(self) -> str:
        """Return the frame of position and yaw."""
        ...

    @property
    def unknown(self) -> str:
        """Return why the executed grasp is unknown, in words; empty if it is known."""
        ...


@dataclass(frozen=True)
class ImportSettings:
    """
    How recordings become samples.

    :ivar rate_hz: highest rate of a sample's images.
    :ivar frames: lowest number of periods that the images before a decision span, plus one: a
        model's window.
    :ivar history_s: longest time before a decision of which images are kept, seconds.
    :ivar lead_time_s: of attempts for which neither the recorder nor the planner has one, seconds;
        NaN if it is not known.
    :ivar groups: group labels of all samples, such as ``{'operator': 'anna'}``.
    :ivar gripper_opening_m: see :class:`moss_perception.data.schema.Sample`.
    :raises ConfigError: if a value is not allowed.
    """

    rate_hz: float = 10.0
    frames: int = 16
    history_s: float = 3.2
    lead_time_s: float = float('nan')
    groups: Mapping[str, str] = field(default_factory=dict)
    gripper_opening_m: float = float('nan')

    def __post_init__(self):
        check_opening(self.gripper_opening_m)
        if not 0.1 <= self.rate_hz <= 1000:
            raise ConfigError(f'rate of {self.rate_hz} Hz: expected 0.1 to 1000')
        shortest = (self.frames - 1) / self.rate_hz
        if not self.history_s >= shortest:
            raise ConfigError(f'{self.history_s} s before a decision: expected at least '
                              f'{shortest:g} s, which the model sees')
        if self.lead_time_s < 0 or np.isinf(self.lead_time_s):
            raise ConfigError(f'lead time of {self.lead_time_s} s: expected 0 s or more')


class AttemptError(DataError):
    """
    An attempt can't become a sample, though others can: it is left out and counted.

    :ivar reason: a short constant to count by.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):
        # Exceptions are rebuilt from ``args``, which lacks the reason; workers send them home.
        return type(self), (self.reason, str(self))


NO_IMAGES, NO_ATTEMPT = 'no images', 'no attempt'
"""Reasons of an attempt of another recording, if recordings share their outcomes."""


@dataclass(frozen=True)
class Planned:
    """
    A sample without its images.

    :ivar before: indices of the images up to the decision, oldest first.
    :ivar after: indices of the images from there to the attempt's end.
    :ivar candidates: float32, shape ``(K, 4)``, see :class:`moss_perception.data.schema.Sample`.
    :ivar executed: index of the executed one.
    """

    attempt: Execution
    before: tuple[int, ...]
    after: tuple[int, ...]
    candidates: np.ndarray
    executed: int
    lead_time_s: float


def plan(attempt: Execution, found: Survey, settings: ImportSettings) -> Planned:
    """
    Choose the images and the candidates of an attempt.

    :raises AttemptError: if it can't become a sample.
    """
    outcome = attempt.outcome
    if outcome.apart:
        raise AttemptError(NO_IMAGES if outcome.apart == OUTSIDE else NO_ATTEMPT, outcome.apart)
    # First, since an attempt without images may be one of another recording.
    decided = _decided(outcome, found)
    if not outcome.executed:
        raise AttemptError('not executed', 'no grasp was executed')
    before = _before(decided, found, settings)
    after = _after(before[-1], outcome.end_ns, found, settings.rate_hz)
    if attempt.position is None:
        raise AttemptError('no executed grasp', 'its executed grasp is not known: expected a pose '
                           'within the attempt (--executed-topic), or the index of a candidate in '
                           'its outcome (column candidate, and --candidates-topic)'
                           + (f'; {attempt.unknown}' if attempt.unknown else ''))
    camera_frame = found.frame_ids[before[-1]]
    if attempt.frame_id != camera_frame:
        raise AttemptError('another frame', 'its executed grasp is in the frame '
                           f'{attempt.frame_id!r}: expected {camera_frame!r}, that of the images, '
                           'or a transform to it (on /tf, or --candidates-transform)')
    if not (np.isfinite(attempt.position).all() and np.isfinite(attempt.yaw)):
        raise AttemptError('no pose', f'its executed grasp at {attempt.position.tolist()} with '
                           f'yaw {attempt.yaw} is no pose: expected finite numbers and a rotation')
    return Planned(attempt, before, after, *_candidates(attempt, found, camera_frame, settings))


def _decided(outcome: Outcome, found: Survey) -> int:
    """Return the index of the image of the decision."""
    at = found.image_at(outcome.decision_ns)
    if at < 0 or outcome.decision_ns - found.stamps_ns[at] > MAX_GAP_S * 1e9:
        raise AttemptError(NO_IMAGES,
                           f'no image is stamped within {MAX_GAP_S} s before its decision')
    return at


def _before(at: int, found: Survey, settings: ImportSettings) -> tuple[int, ...]:
    """Return the images up to the one of the decision, at most one a period."""
    stamps, first, frame_id = found.stamps_ns, at, found.frame_ids[at]
    while first and (0 < stamps[first] - stamps[first - 1] <= MAX_GAP_S * 1e9
                     and found.frame_ids[first - 1] == frame_id
                     and found.camera_ids[first - 1] == found.camera_ids[at]
                     and stamps[at] - stamps[first - 1] <= settings.history_s * 1e9):
        first -= 1
    return tuple(chosen_before(stamps[first:at + 1], settings.rate_hz, settings.frames) + first)


def chosen_before(stamps_ns: np.ndarray, rate_hz: float, frames: int) -> np.ndarray:
    """
    Choose at most one image for each period before a decision, and check that they are enough.

    :param stamps_ns: of images without a pause, int64, shape ``(N,)``, ascending, nanoseconds; the
        last is the decision's.
    :param rate_hz: highest rate of the chosen images.
    :param frames: lowest number of periods that they span, plus one: a model's window.
    :returns: indices, ascending.
    :raises AttemptError: if they span less.
    """
    chosen = chosen_by_stamp(stamps_ns, rate_hz, -1)
    periods = (stamps_ns[-1] - stamps_ns[chosen[0]]) / 1e9 * rate_hz if len(chosen) else 0
    shortest = frames - 1
    if not periods >= shortest - 0.25:
        raise AttemptError('too few images', f'its images begin {periods / rate_hz:.2f} s before '
                           f'the decision: expected {shortest / rate_hz:g} s, which the model '
                           f'sees, without a gap of more than {MAX_GAP_S} s and with one frame '
                           'and one calibration')
    return chosen


def _after(at: int, end_ns: int, found: Survey, rate_hz: float) -> tuple[int, ...]:
    """Return the images from the decision's to the end of the attempt, at most one a period."""
    stamps, last = found.stamps_ns, at
    while last + 1 < len(stamps) and stamps[last] < stamps[last + 1] <= end_ns:
        last += 1
    return tuple(chosen_by_stamp(stamps[at:last + 1], rate_hz, 0)[1:] + at)


def chosen_by_stamp(stamps_ns: np.ndarray, rate_hz: float, origin: int) -> np.ndarray:
    """
    Choose at most one image for each period, as the predictor does.

    Image ``k`` is the first one at or after ``t0 + (k - 1/4) / rate``, with ``t0`` the stamp of
    the image at ``origin``. So that the samples of a decision begin on this grid too, earlier
    images than the first one on it are left out.

    :param stamps_ns: int64, shape ``(N,)``, ascending, nanoseconds, at least one.
    :param origin: 0 for the first, -1 for the last, which is then always chosen.
    :returns: indices, ascending.
    """
    places = (stamps_ns - stamps_ns[origin]) * (rate_hz / 1e9)
    slots = np.floor(places + 0.25).astype(int)
    _, first = np.unique(slots, return_index=True)
    # An image later than its grid would shift all others, whose slots count from the first one.
    on_grid = np.flatnonzero(places[first] - slots[first] < 0.1)
    return first[on_grid[0]:] if len(on_grid) else first[:0]


def _candidates(attempt: Execution, found: Survey, frame_id: str,
                settings: ImportSettings) -> tuple[np.ndarray, int, float]:
    """Return the candidates, the executed one's index, and its lead time, seconds."""
    assert attempt.position is not None  # plan() has checked it
    listed, grasps = found.candidates_at(attempt.outcome.decision_ns), np.zeros((0, 4))
    if listed is not None and listed.frame_id != frame_id:
        listed = None
    if listed is not None:
        grasps = np.column_stack([listed.positions, listed.yaws])[listed.valid]
    lead_time = executed_lead_time(attempt.outcome.lead_time_s, listed, attempt.position,
                                   attempt.yaw)
    executed = nearest_grasp(grasps[:, :3], grasps[:, 3], attempt.position, attempt.yaw)
    if executed is None:
        # Late or resampled candidates need not hold the pose that the robot went to.
        grasps = np.vstack([grasps, [*attempt.position, attempt.yaw]])
        executed = len(grasps) - 1
    return (grasps.astype(np.float32), executed,
            settings.lead_time_s if lead_time is None else lead_time)


def build(planned: Planned, found: Survey, image: Callable[[int], bytes], size: tuple[int, int],
          bag: str, settings: ImportSettings, labels: Mapping[str, str]) -> Sample:
    """
    Build the sample of an attempt.

    :param image: returns a compressed image by its index.
    :param size: width and height of the images, pixels.
    :param bag: the recording's name.
    :param labels: group labels of the attempt, as the recorder has them.
    :raises AttemptError: if the executed grasp can't be seen.
    :raises DataError: if there is no calibration, or it is of another size.
    """
    outcome, stamps = planned.attempt.outcome, found.stamps_ns
    camera = camera_of(found, planned.before[-1], size, bag)
    check_in_view(planned.candidates[planned.executed, :3].astype(float), camera)
    successes = np.full(len(planned.candidates), np.nan, np.float32)
    successes[planned.executed] = outcome.success
    # As attempt_recorder: a day of work, which may be two of UTC.
    day = datetime.fromtimestamp(outcome.decision_ns / 1e9).date().isoformat()
    groups = {'bag': bag, 'day': day, **({'object': outcome.object} if outcome.object else {}),
              **labels, **settings.groups}
    return Sample(
        tuple(image(index) for index in planned.before), planned.candidates, successes,
        mask=np.arange(len(successes)) == planned.executed, matrix=camera.matrix,
        distortion=camera.distortion, distortion_model=camera.model, size=size,
        stamps_ns=stamps[list(planned.before)],
        attempt=Attempt(planned.executed, outcome.success,
                        tuple(image(index) for index in planned.after),
                        stamps[list(planned.after)]),
        name=f'{bag}, attempt {outcome.attempt}', domain=outcome.domain, groups=groups,
        motion=outcome.motion, lead_time_s=planned.lead_time_s,
        gripper_opening_m=settings.gripper_opening_m)


def camera_of(found: Survey, index: int, size: tuple[int, int], bag: str) -> Camera:
    """
    Return the calibration of an image.

    :param index: of the image.
    :param size: its width and height, pixels.

    :raises DataError: if there is none, or it is of another size.
    """
    if not found.cameras:
        raise DataError(f'{bag}: no calibration of {found.image_topic}: expected a topic of '
                        'camera_info (--camera-info-topic), or a file (--calibration)')
    camera = found.cameras[found.camera_ids[index]]
    fitting = camera.at_size(*size)
    if fitting is None:
        raise DataError(f'{bag}: the images have {size[0]} x {size[1]} pixels, the calibration '
                        f'is of {camera.width} x {camera.height}: expected the same size')
    return fitting


def check_in_view(position: np.ndarray, camera: Camera) -> None:
    """
    Check that a camera sees an executed grasp.

    :param position: shape ``(3,)``, optical frame, metres.
    :raises AttemptError: if it does not.
    """
    _, (reason,) = project(position[None], camera)
    if reason == ScoreReason.SCORED:
        return
    where = 'behind the camera'
    if reason == ScoreReason.OUTSIDE_IMAGE:
        x, y = (camera.matrix @ position)[:2] / position[2]
        where = f'at the pixel {x:.0f}, {y:.0f} (without distortion)'
    elif reason == ScoreReason.BEYOND_LENS_MODEL:
        angle = np.degrees(np.arctan2(np.hypot(*position[:2]), position[2]))
        where = (f'{angle:.0f} degrees off the optical axis, beyond the range of the lens model '
                 'of the calibration')
    raise AttemptError('out of view', f'its executed grasp is {where}: expected one inside the '
                       f'{camera.width} x {camera.height} image; is it in the right frame, and is '
                       'the calibration the right one?')
