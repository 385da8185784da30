"""Scores of recorded attempts, by the same predictor as in the node."""

from collections.abc import Iterable

from moss_perception.core.errors import ShapeError
from moss_perception.core.frames import Candidates, Frame
from moss_perception.core.image_messages import CompressedImage
from moss_perception.runtime.predictor import Predictor
import numpy as np

_FRAME_ID = 'camera_optical_frame'


def score_scenes(predictor: Predictor, scenes: Iterable, frozen: bool = False) -> np.ndarray:
    """
    Push each scene's frames through a predictor, and score its candidates at the decision.

    :param predictor: its window is reset before each scene.
    :param scenes: of :class:`moss_perception.data.schema.Sample`, with at least as many
        frames as the window.
    :param frozen: replace all frames of a scene by its last one, so that nothing moves.
    :returns: float64, one score per candidate, in [0, 1], in the order of the scenes; NaN for
        candidates outside the image.
    """
    period_ns = round(1e9 / predictor.config.frame_rate_hz)
    begin_ns, scores = period_ns, []
    for scene in scenes:
        predictor.reset('next_scene')
        prediction, stamp_ns = None, begin_ns
        predictor.set_camera(scene.camera)
        positions = scene.candidates[:, :3].astype(np.float64)
        jpegs, times_ns = scene.jpegs, scene.times_ns
        if frozen:
            span = predictor.config.window_frames
            jpegs, times_ns = jpegs[-1:] * span, np.arange(span) * period_ns
        for jpeg, time_ns in zip(jpegs, times_ns - times_ns[0], strict=True):
            stamp_ns = begin_ns + int(time_ns)
            predictor.set_candidates(Candidates.from_yaws(
                stamp_ns, _FRAME_ID, positions, scene.candidates[:, 3].astype(np.float64)))
            # If two frames fall into one sample period, only the first is scored.
            prediction = predictor.push(Frame(
                stamp_ns, _FRAME_ID, CompressedImage(data=jpeg, format='jpeg'))) or prediction
        if prediction is None:
            raise ShapeError(f'the frames of scene {scene.seed} do not fill the window of '
                             f'{predictor.config.window_frames} samples')
        begin_ns = stamp_ns + period_ns
        scores.append(prediction.scores)
    return np.concatenate(scores)
