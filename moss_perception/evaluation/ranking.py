"""The outcome of the grasp that a planner would choose: the best-scored one of each scene."""

from moss_perception.core.errors import ShapeError
import numpy as np


def starts_of(groups: np.ndarray) -> np.ndarray:
    """Return the start of each run of equal numbers; attempts are sorted by scene."""
    groups = np.asarray(groups)
    return np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else groups


def chosen_success(scores: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """
    Return the outcome of each scene's best candidate.

    :param scores: shape ``(N,)``; the first of equal scores is chosen, NaN never.
    :param labels: bool, shape ``(N,)``.
    :param groups: shape ``(N,)``: the scene of each attempt, sorted by scene.
    :returns: bool, one per scene, in order.
    :raises ShapeError: if the lengths differ.
    """
    scores, groups = np.asarray(scores, float), np.asarray(groups)
    labels = np.asarray(labels, bool)
    if not scores.shape == labels.shape == groups.shape or scores.ndim != 1:
        raise ShapeError(f'expected scores, labels and groups of one length, got {scores.shape}, '
                         f'{labels.shape} and {groups.shape}')
    starts = starts_of(groups)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    parts = zip(np.split(scores, starts[1:]), np.split(labels, starts[1:]), strict=True)
    return np.array([outcomes[np.argmax(part)] for part, outcomes in parts], bool)


def baselines(scenes: list) -> dict[str, np.ndarray]:
    """
    Return the success of choices without a model in each scene.

    :param scenes: of :class:`moss_perception.data.schema.Sample`.
    :returns: expected success, float64, one per scene. ``random`` takes any candidate; ``centre``
        the candidate nearest to the object's present position; ``constant_velocity`` the one
        nearest to its position when the fingers close, extrapolated at constant velocity;
        ``true_motion`` the one nearest to its true position then; ``oracle`` a successful one if
        there is any. ``constant_velocity`` is NaN if the scene lacks velocity or offsets.
    """
    return {'random': np.array([scene.outcomes.mean() for scene in scenes]),
            'centre': np.array([_nearest(scene, scene.track[0]) for scene in scenes]),
            'constant_velocity': np.array([_at_constant_velocity(scene) for scene in scenes]),
            'true_motion': np.array([_nearest(scene, scene.track[1]) for scene in scenes]),
            'oracle': np.array([scene.outcomes.max() for scene in scenes], float)}


def _nearest(scene, place: np.ndarray) -> float:
    gaps = np.linalg.norm(scene.candidates[:, :2] - place[:2], axis=1)
    return float(scene.outcomes[np.argmin(gaps)])


def _at_constant_velocity(scene) -> float:
    """Return the outcome of the candidate nearest to the extrapolated position."""
    if scene.offsets is None or np.isnan(scene.velocity):
        return float('nan')
    gaps = np.linalg.norm(scene.offsets[:, :2] - (scene.constant_velocity_lead, 0.0), axis=1)
    return float(scene.outcomes[np.argmin(gaps)])
