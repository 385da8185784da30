"""The scored grasps as markers for RViz and Foxglove: a gripper and a text for each."""

from geometry_msgs.msg import Point, Pose
from moss_perception.core.scores import GraspScores, Prediction, rows_of, ScoreReason
from moss_perception.ros.common.conversions import header, row_to_pose
import numpy as np
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

FINGER_M, STEM_M = 0.045, 0.035
LINE_M, BEST_LINE_M, TEXT_M = 0.003, 0.006, 0.02
UNKNOWN = (0.6, 0.6, 0.6)


def colour_of(score: float, threshold: float) -> tuple[float, float, float]:
    """
    Return the colour of a score: red to yellow below the threshold, green from there on.

    :param score: in [0, 1], or NaN for a grasp without one, which is grey.
    :param threshold: lowest score of a good grasp, in [0, 1].
    :returns: red, green and blue, each in [0, 1].
    """
    if np.isnan(score):
        return UNKNOWN
    if score >= threshold:
        return 0.1, 0.85, 0.3
    return 0.95, 0.2 + 0.6 * score / max(threshold, 1e-6), 0.1


def scores_to_markers(prediction: Prediction, threshold: float,
                      half_width_m: float) -> MarkerArray:
    """
    Draw the candidates of a prediction as grippers: palm, two fingers, and the score as text.

    The first marker deletes those of the frame before. A candidate whose pose is not known in the
    camera's frame has no marker.

    :param prediction: prediction to draw.
    :param threshold: lowest score that is drawn as good, in [0, 1].
    :param half_width_m: half of the gripper's opening, metres.
    """
    rows = GraspScores.of(rows_of(prediction)).candidates
    best = best_index(rows['score'])
    head = header(prediction.stamp_ns, prediction.frame_id)
    made = [Marker(header=head, action=Marker.DELETEALL)]
    shape = _gripper(half_width_m)
    for index, row in enumerate(rows):
        if row['reason'] in (ScoreReason.NOT_A_NUMBER, ScoreReason.FRAME_UNKNOWN):
            continue
        red, green, blue = colour_of(float(row['score']), threshold)
        common = {'header': head, 'action': Marker.ADD, 'id': index,
                  'color': ColorRGBA(r=red, g=green, b=blue, a=1.0)}
        gripper = Marker(ns='grasps', type=Marker.LINE_LIST, pose=row_to_pose(row), points=shape,
                         **common)
        gripper.scale.x = BEST_LINE_M if index == best else LINE_M
        text = Marker(ns='scores', type=Marker.TEXT_VIEW_FACING, pose=Pose(
            position=gripper.pose.position), text=_text(index, row, index == best), **common)
        text.scale.z = TEXT_M
        made += [gripper, text]
    return MarkerArray(markers=made)


def best_index(scores: np.ndarray) -> int | None:
    """Return the index of the highest score, shape ``(K,)``; ``None`` if all are NaN."""
    known = np.isfinite(scores)
    return int(np.argmax(np.where(known, scores, -np.inf))) if known.any() else None


def _text(index: int, row: np.void | np.ndarray, is_best: bool) -> str:
    if row['reason'] != ScoreReason.SCORED:
        return f'{index}: {ScoreReason(int(row["reason"])).name.lower().replace("_", " ")}'
    return f'{"best " if is_best else ""}{index}: {row["score"]:.2f}'


def _gripper(half_width_m: float) -> list[Point]:
    """Return the ends of a gripper's lines in its own frame: x closes, z approaches."""
    ends = [(-1, 0), (-1, -1), (-1, -1), (1, -1), (1, -1), (1, 0)]
    points = [Point(x=side * half_width_m, z=depth * FINGER_M) for side, depth in ends]
    return [*points, Point(z=-FINGER_M), Point(z=-FINGER_M - STEM_M)]
