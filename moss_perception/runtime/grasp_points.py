"""The grasps to score in a frame: the default grasp point and the planner's candidates."""

from collections import deque
from dataclasses import dataclass, replace
import threading

from moss_perception.core.frames import Camera, Candidates, LeadTimes, orientations_from_yaws
from moss_perception.core.geometry import encode_grasps, project, unproject
from moss_perception.core.scores import ScoreReason
from moss_perception.models.config import ModelConfig
import numpy as np


class CandidateBook:
    """
    Keeps the planner's latest candidates; safe to write in one thread and read in another.

    Lead times that come in a message of their own are joined to the candidates of their stamp.
    Lead times that come first wait for the candidates until a frame with a later stamp comes.

    :param size: how many sets are kept.
    """

    def __init__(self, size: int = 64):
        self._sets: deque[Candidates] = deque(maxlen=size)
        self._waiting: deque[LeadTimes] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, candidates: Candidates) -> str:
        """
        Add a set; it holds for frames stamped at or after it, until a newer one.

        :returns: why the lead times of this stamp can't be used; empty if they can, or did not
            come yet.
        """
        with self._lock:
            lead_times = next((one for one in reversed(self._waiting)
                               if one.stamp_ns == candidates.stamp_ns), None)
            problem = ''
            if lead_times is not None:
                self._waiting = deque(
                    (one for one in self._waiting if one.stamp_ns != candidates.stamp_ns),
                    self._waiting.maxlen)
                problem = _misfit(lead_times, candidates)
                if not problem:
                    candidates = replace(candidates, lead_times=lead_times.values)
            self._sets.append(candidates)
        return problem

    def add_lead_times(self, lead_times: LeadTimes) -> str:
        """
        Add the lead times of the set that has the same stamp, from the next frame on.

        :returns: why they can't be used; empty if they can, or wait for their candidates.
        """
        with self._lock:
            for index in reversed(range(len(self._sets))):
                candidates = self._sets[index]
                if candidates.stamp_ns == lead_times.stamp_ns:
                    problem = _misfit(lead_times, candidates)
                    if not problem:
                        self._sets[index] = replace(candidates, lead_times=lead_times.values)
                    return problem
            self._waiting.append(lead_times)
        return ''

    def expire(self, stamp_ns: int) -> list[str]:
        """
        Give up the lead times from before a frame whose candidates have not come.

        :param stamp_ns: of the frame, nanoseconds.
        :returns: a line for each.
        """
        if not self._waiting:
            return []
        with self._lock:
            late = [one for one in self._waiting if one.stamp_ns < stamp_ns]
            self._waiting = deque(
                (one for one in self._waiting if one.stamp_ns >= stamp_ns), self._waiting.maxlen)
        return [f'lead times stamped {one.stamp_ns // 10**9}.{one.stamp_ns % 10**9:09d} match no '
                'candidates: expected the stamp of the PoseArray of their candidates'
                for one in late]

    def clear(self) -> None:
        """Forget all sets."""
        with self._lock:
            self._sets.clear()

    def holding(self, stamp_ns: int) -> Candidates | None:
        """
        Return the newest set that holds at a stamp; ``None`` if it is empty or absent.

        A set in another frame than the images counts: the planner replaced the one before.
        """
        with self._lock:
            holding = [one for one in self._sets if one.stamp_ns <= stamp_ns]
        # Of equal stamps, the last received.
        newest = max(reversed(holding), key=lambda one: one.stamp_ns, default=None)
        return newest if newest is not None and len(newest.positions) else None

    def restart(self, stamp_ns: int) -> None:
        """Forget the sets that can't hold for a stream that begins at this stamp."""
        with self._lock:
            stay = [one for one in self._sets if one.stamp_ns <= stamp_ns]
            self._sets.clear()
            self._sets.extend(stay)
            self._waiting = deque((one for one in self._waiting if one.stamp_ns <= stamp_ns),
                                  self._waiting.maxlen)


def _misfit(lead_times: LeadTimes, candidates: Candidates) -> str:
    """Say why lead times don't belong to candidates of the same stamp; empty if they do."""
    if lead_times.frame_id != candidates.frame_id:
        return (f'lead times have the frame {lead_times.frame_id!r}: expected '
                f'{candidates.frame_id!r}, the frame of their candidates')
    given, count = len(lead_times.values), len(candidates.positions)
    return '' if given == count else (
        f'{given} lead times came for {count} candidates: expected one for each')


@dataclass(frozen=True)
class GraspPoints:
    """
    The grasps of one frame.

    :ivar stamp_ns: of the candidates, nanoseconds; 0 for none.
    :ivar positions: float64, shape ``(K, 3)``: the candidates', in the camera's frame, metres;
        NaN for candidates of another frame.
    :ivar orientations: float64, shape ``(K, 4)``, quaternions x y z w; NaN as in positions.
    :ivar pixels: float64, shape ``(K, 2)``: where the camera sees them; NaN if it does not.
    :ivar reasons: uint8, shape ``(K,)``: why a candidate can't be scored.
    :ivar encoded: float32, shape ``(1 + M, V)``: the default grasp, then the candidates that can
        be scored.
    :ivar default_point: float64, shape ``(3,)``, metres; NaN without a camera, or where the lens
        model has no ray for the default pixel.
    :ivar default_orientation: float64, shape ``(4,)``, quaternion x y z w.
    :ivar lead_times: float64, shape ``(1 + K,)``: at which the default grasp and the candidates
        are scored, seconds; ``None`` for a checkpoint without time inputs.
    :ivar clamped: how many of them are not those that were asked for, see
        :func:`grasp_lead_times`.
    """

    stamp_ns: int
    positions: np.ndarray
    orientations: np.ndarray
    pixels: np.ndarray
    reasons: np.ndarray
    encoded: np.ndarray
    default_point: np.ndarray
    default_orientation: np.ndarray
    lead_times: np.ndarray | None = None
    clamped: int = 0

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Give each candidate its value, and NaN to those without one: shape ``(K,)``."""
        spread = np.full(len(self.positions), np.nan)
        spread[self.reasons == ScoreReason.SCORED] = values[1:]
        return spread


class PlacedGrasps:
    """
    Describes grasps to the network, and keeps the description while nothing changes.

    Candidates and calibrations come less often than images, so most frames need no new one.

    :param config: the checkpoint's configuration.
    """

    def __init__(self, config: ModelConfig):
        self._config = config
        self._from: tuple[Candidates | None, Camera | None] = (None, None)
        self._image: tuple = ()
        self._points: GraspPoints | None = None

    def at(self, grasps: Candidates | None, camera: Camera | None, frame_id: str,
           size: tuple[int, ...], transform: np.ndarray,
           lead_time_s: float | None = None) -> GraspPoints:
        """Return :func:`grasp_points` of the same arguments."""
        image = (frame_id, size, *transform, lead_time_s)
        if (self._points is None or self._from[0] is not grasps or self._image != image
                or self._from[1] != camera):
            self._points = grasp_points(
                grasps, camera, frame_id, size, transform, self._config, lead_time_s)
            self._from, self._image = (grasps, camera), image
        return self._points


def grasp_points(candidates: Candidates | None, camera: Camera | None, frame_id: str,
                 size: tuple[int, ...], transform: np.ndarray, config: ModelConfig,
                 lead_time_s: float | None = None) -> GraspPoints:
    """
    Describe the grasps of a frame to the network.

    :param candidates: those that hold; ``None`` for none.
    :param camera: its calibration; without it, or with one of another image size, only the
        default grasp point can be scored.
    :param frame_id: of the frame.
    :param size: the image's height and width, pixels.
    :param transform: from :func:`letterbox`.
    :param config: the checkpoint's configuration.
    :param lead_time_s: of grasps without a lead time of their own, seconds; ``None`` for the
        checkpoint's default.
    """
    height, width = size[:2]
    camera = camera.at_size(width, height) if camera is not None else None
    if candidates is None:
        candidates = Candidates(1, frame_id, np.zeros((0, 3)), np.zeros((0, 4)))
    known = candidates.frame_id == frame_id
    # Poses of another frame are nowhere in this one.
    positions = candidates.positions if known else np.full_like(candidates.positions, np.nan)
    orientations = (candidates.orientations if known
                    else np.full_like(candidates.orientations, np.nan))
    pixels, reasons = _find(candidates, camera, known)
    scored = np.flatnonzero(reasons == ScoreReason.SCORED)
    default = np.array(config.default_point) * (width, height) - 0.5
    lead_times, clamped = grasp_lead_times(candidates, config, lead_time_s)
    encoded = encode_grasps(
        np.concatenate([default[None], pixels[scored]]),
        np.append(config.default_depth_m, positions[scored, 2]),
        np.append(config.default_yaw, candidates.yaws[scored]),
        _focal(camera, config, width), transform, config.image_size, config.gripper_half_width_m,
        None if lead_times is None else lead_times[np.append(0, 1 + scored)])
    point = np.full(3, np.nan)
    if camera is not None:
        point = np.append(unproject(default[None], camera)[0], 1.0) * config.default_depth_m
    return GraspPoints(
        candidates.stamp_ns if len(positions) else 0, positions, orientations, pixels, reasons,
        encoded, point, orientations_from_yaws(np.array([config.default_yaw]))[0],
        lead_times, clamped)


def grasp_lead_times(candidates: Candidates, config: ModelConfig,
                     lead_time_s: float | None) -> tuple[np.ndarray | None, int]:
    """
    Choose the lead times at which the default grasp and the candidates are scored.

    A candidate's own lead time wins over the stream's, and the stream's over the checkpoint's
    default. Lead times outside the range that the checkpoint was trained for are clamped to it.

    :param lead_time_s: the stream's, seconds; ``None`` if there is none.
    :returns: float64, shape ``(1 + K,)``, seconds, ``None`` for a checkpoint without time inputs;
        and how many were clamped.
    """
    if not config.time_inputs:
        return None, 0
    stream_s = config.default_lead_time_s if lead_time_s is None else lead_time_s
    own = candidates.lead_times
    asked = np.append(stream_s, np.full(len(candidates.positions), stream_s)
                      if own is None else own)
    used = np.clip(asked, *config.lead_times_s)
    # On their topic, lead times are float32.
    return used, int((np.abs(used - asked) > 1e-6).sum())


def _find(candidates: Candidates, camera: Camera | None,
          known: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the candidates' pixels, and why they can't be scored."""
    count = len(candidates.positions)
    pixels, reasons = np.full((count, 2), np.nan), np.zeros(count, np.uint8)
    if not known:
        reasons[:] = ScoreReason.FRAME_UNKNOWN
    elif camera is None:
        reasons[:] = ScoreReason.NO_CALIBRATION
    else:
        pixels, reasons = project(candidates.positions, camera)
    reasons[~candidates.valid] = ScoreReason.NOT_A_NUMBER
    pixels[reasons != ScoreReason.SCORED] = np.nan
    return pixels, reasons


def _focal(camera: Camera | None, config: ModelConfig, width: int) -> tuple[float, float]:
    if camera is None:
        return config.default_focal * width, config.default_focal * width
    return camera.matrix[0, 0], camera.matrix[1, 1]
