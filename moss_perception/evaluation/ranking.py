"""What a planner would have got: the outcome of the grasp that scores best in each scene."""

from moss_perception.core.errors import ShapeError
import numpy as np


def starts_of(groups: np.ndarray) -> np.ndarray:
    """Return where each run of equal numbers begins: attempts stand scene after scene."""
    groups = np.asarray(groups)
    return np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else groups


def chosen_success(scores: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """
    Look up what became of each scene's best candidate.

    :param scores: shape ``(N,)``; of equals the first is chosen, NaN never.
    :param labels: bool, shape ``(N,)``.
    :param groups: shape ``(N,)``: the scene of each, scene after scene.
    :returns: bool, one a scene, in their order.
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
    Tell what choosing without a model would have reached in each scene.

    :param scenes: of :class:`moss_perception.data.schema.Sample`.
    :returns: expected success, float64, one a scene: ``random`` takes any candidate, ``centre``
        the one nearest to where the object is now, ``constant_velocity`` that nearest to where it
        would be when the fingers close, went it on as at the decision, ``true_motion`` that
        nearest to where it will be, ``oracle`` one that succeeds if there is one. NaN for
        ``constant_velocity`` where the scene does not say what it takes.
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
    """Return the outcome of the candidate whose lead along the belt is nearest to the way."""
    if scene.offsets is None or np.isnan(scene.velocity):
        return float('nan')
    gaps = np.linalg.norm(scene.offsets[:, :2] - (scene.constant_velocity_lead, 0.0), axis=1)
    return float(scene.outcomes[np.argmin(gaps)])
