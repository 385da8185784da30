"""The grasps that a frame is scored at: the default grasp point, and the planner's candidates."""

from collections import deque
from dataclasses import dataclass
import threading

from moss_perception.core.errors import CandidateError
from moss_perception.core.frames import Camera, Candidates
from moss_perception.core.geometry import encode_grasps, project
from moss_perception.models.config import GraspConfig
import numpy as np


class CandidateBook:
    """
    Keeps the planner's latest candidates; safe to write in one thread and read in another.

    :param size: how many sets are kept.
    """

    def __init__(self, size: int = 64):
        self._sets: deque[Candidates] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, candidates: Candidates, frame_id: str | None) -> None:
        """
        Add a set; it holds for frames stamped at or after it, until a newer one.

        :param frame_id: the images' frame; ``None`` if it isn't known yet.
        :raises CandidateError: if the candidates are in another frame.
        """
        if frame_id is not None and candidates.frame_id != frame_id:
            raise CandidateError(f'candidates are in frame {candidates.frame_id!r}: expected the '
                                 f"images' frame {frame_id!r}")
        with self._lock:
            self._sets.append(candidates)

    def holding(self, stamp_ns: int, frame_id: str) -> Candidates | None:
        """Return the newest set that holds at a stamp; ``None`` if it is empty or absent."""
        newest = None
        with self._lock:
            for one in self._sets:
                if _holds(one, stamp_ns, frame_id) and (
                        newest is None or one.stamp_ns > newest.stamp_ns):
                    newest = one
        return newest if newest is not None and len(newest.positions) else None

    def restart(self, stamp_ns: int, frame_id: str) -> None:
        """Forget the sets that can't hold for a stream that begins at this stamp."""
        with self._lock:
            stay = [c for c in self._sets if _holds(c, stamp_ns, frame_id)]
            self._sets.clear()
            self._sets.extend(stay)


def _holds(candidates: Candidates, stamp_ns: int, frame_id: str) -> bool:
    return candidates.stamp_ns <= stamp_ns and candidates.frame_id == frame_id


@dataclass(frozen=True)
class GraspPoints:
    """
    The grasps of one frame.

    :ivar positions: float64, shape ``(K, 3)``: the candidates', metres.
    :ivar pixels: float64, shape ``(K, 2)``: where the camera sees them; NaN where it doesn't.
    :ivar visible: int, shape ``(M,)``: indices of the candidates that it sees.
    :ivar encoded: float32, shape ``(1 + M, 5)``: the default grasp, then the visible ones.
    :ivar default_point: float64, shape ``(3,)``, metres; NaN without a camera.
    """

    positions: np.ndarray
    pixels: np.ndarray
    visible: np.ndarray
    encoded: np.ndarray
    default_point: np.ndarray

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Give each candidate its value, NaN to those that aren't visible: shape ``(K,)``."""
        spread = np.full(len(self.positions), np.nan)
        spread[self.visible] = values[1:]
        return spread


def grasp_points(candidates: Candidates | None, camera: Camera | None, size: tuple[int, ...],
                 transform: np.ndarray, config: GraspConfig) -> GraspPoints:
    """
    Describe the grasps of a frame to the network.

    :param candidates: those that hold; ``None`` for none.
    :param camera: its calibration; without it, or with one of another image size, only the
        default grasp point can be scored.
    :param size: the image's height and width, pixels.
    :param transform: from :func:`letterbox`.
    :param config: the checkpoint's configuration.
    """
    height, width = size[:2]
    if camera is not None and (camera.height, camera.width) != (height, width):
        camera = None
    positions = candidates.positions if candidates else np.zeros((0, 3))
    pixels = project(positions, camera) if camera else np.full((len(positions), 2), np.nan)
    visible = np.flatnonzero(np.isfinite(pixels[:, 0]))
    default = np.array(config.default_point) * (width, height) - 0.5
    yaws = candidates.yaws[visible] if candidates else np.zeros(0)
    encoded = encode_grasps(
        np.concatenate([default[None], pixels[visible]]),
        np.append(config.default_depth_m, positions[visible, 2]),
        np.append(config.default_yaw, yaws),
        camera.matrix[0, 0] if camera else config.default_focal * width, transform,
        config.image_size, config.gripper_half_width_m)
    point = np.full(3, np.nan)
    if camera is not None:
        point = np.linalg.solve(camera.matrix, [*default, 1.0]) * config.default_depth_m
    return GraspPoints(positions, pixels, visible, encoded, point)
