"""The grasps to score in a frame: the default grasp point and the planner's candidates."""

from dataclasses import dataclass

from moss_perception.core.frames import Camera, Candidates, orientations_from_yaws
from moss_perception.core.geometry import encode_grasps, project, unproject
from moss_perception.core.scores import ScoreReason
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.lead_times import grasp_lead_times
import numpy as np


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
        :func:`moss_perception.runtime.lead_times.grasp_lead_times`.
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
