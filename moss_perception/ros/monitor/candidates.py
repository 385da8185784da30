"""The candidates of a frame as the views show them: scores, reasons, and where they are."""

from typing import Any

from moss_perception.core.frames import Camera, yaws_from_orientations
from moss_perception.core.geometry import project
from moss_perception.core.scores import GraspScores, none_scored, ScoreReason
from moss_perception.evaluation.outputs import FrameScores
from moss_perception.ros.monitor.state import Shown, shown_row
from moss_perception.ros.monitor.words import finite
from moss_perception.ros.predictor.markers import best_index
from moss_perception.ros.predictor.selection import index_of
import numpy as np


def shown_scores(frame: FrameScores, camera: Camera | None, half_width_m: float,
                 selection: Any) -> Shown:
    """
    Turn the scores of a frame into what the views show.

    :param camera: calibration of the images; ``None`` if none is known, and the candidates then
        have no place in the image.
    :param half_width_m: half of the gripper's opening, metres.
    :param selection: the newest geometry_msgs/PoseStamped of ``selected_grasp``, or ``None``.
    """
    scores = frame.scores
    rows, points = scores.candidates, scores.positions.astype(np.float64)
    known = np.isfinite(rows['score'])
    fingers = _fingers(scores, known, camera, half_width_m)
    selected = None if selection is None else index_of(
        selection, frame.stamp_ns, frame.frame_id, points, rows['score'])
    names = {one.value: one.name.lower().replace('_', ' ') for one in ScoreReason}
    return Shown(
        frame.stamp_ns, [shown_row(
            index, row['score'], row['uncertainty'],
            '' if row['reason'] == ScoreReason.SCORED else names.get(
                int(row['reason']), f'reason {row["reason"]}'), fingers[index])
            for index, row in enumerate(rows)],
        best_index(rows['score']), selected,
        {'score': finite(scores.default['score']),
         'uncertainty': finite(scores.default['uncertainty']),
         'point': _point(scores, camera)}, none_scored(rows['reason']))


def _fingers(scores: GraspScores, known: np.ndarray, camera: Camera | None,
             half_width_m: float) -> np.ndarray:
    """Return the fingertips of each candidate, shape ``(K, 2, 2)``; NaN where not known."""
    found = np.full((len(known), 2, 2), np.nan)
    if camera is None or not known.any():
        return found
    points = scores.positions[known].astype(np.float64)
    pixels, _ = project(points, camera)
    yaws = yaws_from_orientations(scores.orientations[known])
    # The network is told the same vector, see core.geometry.encode_grasps.
    reach = half_width_m * np.diag(camera.matrix)[:2] / points[:, 2:]
    along = reach * np.stack([np.cos(yaws), np.sin(yaws)], axis=1)
    tips = np.stack([pixels - along, pixels + along], axis=1)
    found[known] = (tips + 0.5) / (camera.width, camera.height)
    return found


def _point(scores: GraspScores, camera: Camera | None) -> list[float] | None:
    """Return where the default grasp point is, in [0, 1] of the image."""
    at = np.array([[scores.default[name] for name in 'xyz']], np.float64)
    if camera is None or not np.isfinite(at).all():
        return None
    (pixel,), _ = project(at, camera)
    if not np.isfinite(pixel).all():
        return None
    return np.round((pixel + 0.5) / (camera.width, camera.height), 4).tolist()
