"""Score generated scenes, and compare a planner's choices with baselines."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
import math

from moss_perception.core.errors import MossError, ShapeError
from moss_perception.core.frames import Candidates, Frame
from moss_perception.core.image_messages import CompressedImage
from moss_perception.data.schema import Sample
from moss_perception.runtime.predictor import Predictor
import numpy as np

_FRAME_ID = 'camera_optical_frame'
_FOLDS = 5


def score_scenes(predictor: Predictor, scenes: Iterable[Sample],
                 frozen: bool = False) -> np.ndarray:
    """
    Push each scene's frames through a predictor, and score its candidates at the decision.

    With time inputs, they are scored at the scene's lead time, if it is known.

    :param predictor: its window is reset before each scene.
    :param scenes: with at least as many frames as the window.
    :param frozen: replace all frames of a scene by its last one, so that nothing moves.
    :returns: float64, one score per candidate, in [0, 1], in the order of the scenes; NaN for
        candidates outside the image.
    :raises ShapeError: if a scene has too few frames.
    """
    period_ns = round(1e9 / predictor.config.frame_rate_hz)
    begin_ns, scores = period_ns, []
    for scene in scenes:
        predictor.reset('next_scene')
        prediction, stamp_ns = None, begin_ns
        predictor.set_camera(scene.camera)
        positions = scene.candidates[:, :3].astype(np.float64)
        lead_times = None if math.isnan(scene.lead_time_s) else np.full(
            len(positions), scene.lead_time_s)
        jpegs, times_ns = scene.jpegs, scene.times_ns
        if frozen:
            span = predictor.config.window_frames
            jpegs, times_ns = jpegs[-1:] * span, np.arange(span) * period_ns
        for jpeg, time_ns in zip(jpegs, times_ns - times_ns[0], strict=True):
            stamp_ns = begin_ns + int(time_ns)
            predictor.set_candidates(Candidates.from_yaws(
                stamp_ns, _FRAME_ID, positions, scene.candidates[:, 3].astype(np.float64),
                lead_times))
            # If two frames fall into one sample period, only the first is scored.
            prediction = predictor.push(Frame(
                stamp_ns, _FRAME_ID, CompressedImage(data=jpeg, format='jpeg'))) or prediction
        if prediction is None:
            raise ShapeError(f'the frames of scene {scene.seed} do not fill the window of '
                             f'{predictor.config.window_frames} samples')
        begin_ns = stamp_ns + period_ns
        scores.append(prediction.scores)
    return np.concatenate(scores)


def chosen_success(scores: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """
    Return the outcome of each scene's best candidate, which a planner would choose.

    :param scores: shape ``(N,)``; the first of equal scores is chosen, NaN never.
    :param labels: bool, shape ``(N,)``.
    :param groups: shape ``(N,)``: the scene of each candidate, sorted by scene.
    :returns: bool, one per scene, in order.
    :raises ShapeError: if the lengths differ.
    """
    scores, groups = np.asarray(scores, float), np.asarray(groups)
    labels = np.asarray(labels, bool)
    if not scores.shape == labels.shape == groups.shape or scores.ndim != 1:
        raise ShapeError(f'expected scores, labels and groups of one length, got {scores.shape}, '
                         f'{labels.shape} and {groups.shape}')
    cuts = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    scores = np.where(np.isnan(scores), -np.inf, scores)
    parts = zip(np.split(scores, cuts), np.split(labels, cuts), strict=True)
    return np.array([outcomes[np.argmax(part)] for part, outcomes in parts if len(part)], bool)


def baselines(scenes: Sequence[Sample]) -> dict[str, np.ndarray]:
    """
    Return the success of choices without a model in each scene.

    :returns: expected success, float64, one per scene. ``random`` takes any candidate; ``centre``
        the candidate nearest to the object's present position; ``constant_velocity`` the one
        nearest to its position when the fingers close, extrapolated at constant velocity;
        ``true_motion`` the one nearest to its true position then; ``oracle`` a successful one if
        there is any. ``constant_velocity`` is NaN if the scene lacks velocity or offsets.
    """
    return {'random': np.array([scene.outcomes.mean() for scene in scenes]),
            'centre': np.array([_nearest(scene, 0) for scene in scenes]),
            'constant_velocity': np.array([_at_constant_velocity(scene) for scene in scenes]),
            'true_motion': np.array([_nearest(scene, 1) for scene in scenes]),
            'oracle': np.array([scene.outcomes.max() for scene in scenes], float)}


def _nearest(scene: Sample, moment: int) -> float:
    assert scene.track is not None  # each simulated scene has one
    gaps = np.linalg.norm(scene.candidates[:, :2] - scene.track[moment, :2], axis=1)
    return float(scene.outcomes[np.argmin(gaps)])


def _at_constant_velocity(scene: Sample) -> float:
    """Return the outcome of the candidate nearest to the extrapolated position."""
    if scene.offsets is None or np.isnan(scene.velocity):
        return float('nan')
    gaps = np.linalg.norm(scene.offsets[:, :2] - (scene.constant_velocity_lead, 0.0), axis=1)
    return float(scene.outcomes[np.argmin(gaps)])


def require_baseline() -> None:
    """
    Check that scikit-learn is installed, which :func:`candidates_alone` needs.

    :raises MossError: if it is missing.
    """
    if find_spec('sklearn') is None:
        raise MossError('scikit-learn is missing, which the baseline without images needs: '
                        'pip install scikit-learn')


def candidates_alone(candidates: np.ndarray, labels: np.ndarray,
                     groups: np.ndarray) -> np.ndarray:
    """
    Score grasps by gradient boosting from their coordinates alone, without any image.

    Each group is scored by a model that was fitted to other groups.

    :param candidates: float, shape ``(N, 4)``: x, y, z in metres and yaw in radians.
    :param labels: bool, shape ``(N,)``.
    :param groups: shape ``(N,)``: group of each grasp, such as its scene.
    :returns: float64, shape ``(N,)``, in [0, 1].
    """
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.model_selection import cross_val_predict, GroupKFold
    inputs = np.column_stack([candidates[:, :3], np.cos(2 * candidates[:, 3]),
                              np.sin(2 * candidates[:, 3])])
    model = GradientBoostingClassifier(n_estimators=100, random_state=0)
    folds = GroupKFold(min(_FOLDS, len(np.unique(groups))))
    probabilities = np.asarray(cross_val_predict(
        model, inputs, labels, groups=groups, cv=folds, method='predict_proba'))
    return probabilities[:, 1]
