"""A baseline without images, to compare a model with."""

from importlib.util import find_spec

from moss_perception.core.errors import MossError
import numpy as np


def require() -> None:
    """
    Check that scikit-learn is installed.

    :raises MossError: if it is missing.
    """
    if find_spec('sklearn') is None:
        raise MossError('scikit-learn is missing, which the baseline without images needs: '
                        'pip install scikit-learn')


def candidates_alone(candidates: np.ndarray, labels: np.ndarray, groups: np.ndarray,
                     folds: int = 5) -> np.ndarray:
    """
    Score grasps by gradient boosting from their coordinates alone, without any image.

    Each group is scored by a model that was fitted to the other groups.

    :param candidates: float, shape ``(N, 4)``: x, y, z in metres and yaw in radians.
    :param labels: bool, shape ``(N,)``.
    :param groups: shape ``(N,)``: group of each grasp, such as its scene.
    :param folds: number of folds of the cross-validation.
    :returns: float64, shape ``(N,)``, in [0, 1].
    :raises MossError: if scikit-learn is missing.
    """
    require()
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.model_selection import cross_val_predict, GroupKFold
    inputs = np.column_stack([candidates[:, :3], np.cos(2 * candidates[:, 3]),
                              np.sin(2 * candidates[:, 3])])
    model = GradientBoostingClassifier(n_estimators=100, random_state=0)
    folds = min(folds, len(np.unique(groups)))
    probabilities = np.asarray(cross_val_predict(
        model, inputs, labels, groups=groups, cv=GroupKFold(folds), method='predict_proba'))
    return probabilities[:, 1]
