"""Scores of recorded attempts, by the very predictor that the node drives."""

from collections.abc import Iterable

from moss_perception.grasp.frame import Camera, Candidates, Frame
from moss_perception.grasp.geometry import project
from moss_perception.grasp.predictor import Predictor
from moss_perception.imaging import CompressedImage
import numpy as np

_FRAME_ID = 'camera_optical_frame'


def in_view(scenes: Iterable) -> list:
    """
    Choose the scenes whose candidates all lie in the image.

    :param scenes: of :class:`moss_perception.simulation.dataset.Scene`.
    """
    return [scene for scene in scenes if np.isfinite(project(
        scene.candidates[:, :3].astype(np.float64), _camera(scene))).all()]


def score_scenes(predictor: Predictor, scenes: Iterable, frozen: bool = False) -> np.ndarray:
    """
    Push each scene's frames through a predictor, and score its candidates at the decision.

    :param predictor: its window is reset before each scene.
    :param scenes: of :class:`moss_perception.simulation.dataset.Scene`, with at least as many
        frames as the window.
    :param frozen: repeat each scene's last frame in place of the others: nothing moves.
    :returns: float64, one score a candidate, in [0, 1], scene after scene; NaN for candidates
        outside the image.
    """
    period_ns = round(1e9 / predictor.config.frame_rate_hz)
    stamp_ns, scores = 0, []
    for scene in scenes:
        predictor.reset('next_scene')
        predictor.set_camera(_camera(scene))
        positions = scene.candidates[:, :3].astype(np.float64)
        frames = scene.jpegs[-1:] * predictor.config.window_frames if frozen else scene.jpegs
        for jpeg in frames:
            stamp_ns += period_ns
            predictor.set_candidates(Candidates(
                stamp_ns, _FRAME_ID, positions, scene.candidates[:, 3].astype(np.float64)))
            prediction = predictor.push(
                Frame(stamp_ns, _FRAME_ID, CompressedImage(data=jpeg, format='jpeg')))
        scores.append(prediction.scores)
    return np.concatenate(scores)


def _camera(scene) -> Camera:
    height, width = scene.newest(1).shape[1:3]
    return Camera(width, height, scene.matrix)
