"""How well features and distances separate one domain from another."""

from collections.abc import Callable
from typing import Any

from moss_perception.evaluation import metrics
from moss_perception.runtime.ood import FALSE_ALARMS, fit_normal
import numpy as np

_NEIGHBOURS = 5
_MEMORY = 200

Distance = Callable[[np.ndarray], np.ndarray]


def mahalanobis(fitted: np.ndarray) -> Distance:
    """Return the distance from a normal distribution; features are of shape ``(n, F)``."""
    mean, factor = fit_normal(fitted)
    return lambda features: np.linalg.norm((features - mean) @ factor, axis=1)


def independent(fitted: np.ndarray) -> Distance:
    """Return the distance in standard deviations, as if features were independent."""
    mean, spread = fitted.mean(axis=0), np.maximum(fitted.std(axis=0), 1e-6)
    return lambda features: np.linalg.norm((features - mean) / spread, axis=1)


def neighbours(fitted: np.ndarray) -> Distance:
    """Return the Mahalanobis distance to the fifth nearest of 200 remembered samples."""
    mean, factor = fit_normal(fitted)
    step = max(1, len(fitted) // _MEMORY)
    memory = ((fitted - mean) @ factor)[::step]

    def distance(features: np.ndarray) -> np.ndarray:
        gaps = ((features - mean) @ factor)[:, None] - memory[None]
        return np.sort(np.linalg.norm(gaps, axis=2), axis=1)[:, min(_NEIGHBOURS, len(memory)) - 1]
    return distance


DISTANCES: dict[str, Callable[[np.ndarray], Distance]] = {
    'Mahalanobis': mahalanobis, 'independent': independent, 'neighbours': neighbours}


def flagging(usual: np.ndarray, strange: np.ndarray, limit: float) -> dict[str, float]:
    """
    Measure how well a distance flags a domain.

    :param usual: distances of in-distribution samples, shape ``(n,)``.
    :param strange: distances of OOD samples, shape ``(m,)``.
    :param limit: samples above this distance are flagged.
    :returns: ``auroc``; ``false_alarms`` and ``found``, the flagged shares of in-distribution and
        OOD samples; the ``median`` OOD distance and the ``largest`` in-distribution distance as
        multiples of the limit.
    """
    labels = np.repeat([False, True], [len(usual), len(strange)])
    return {'auroc': metrics.auroc(np.concatenate([usual, strange]), labels),
            'false_alarms': float(np.mean(usual > limit)),
            'found': float(np.mean(strange > limit)),
            'median': float(np.median(strange) / limit), 'largest': float(usual.max() / limit)}


def compare_measures(sets: dict[str, dict[str, np.ndarray]],
                     false_alarms: float = FALSE_ALARMS) -> list[dict[str, Any]]:
    """
    Measure every feature with every distance.

    :param sets: features by name, shape ``(n, F)``, of ``fitted``, ``held_out``, ``usual`` and
        ``strange`` (OOD) samples; ``held_out`` sets the limits.
    :param false_alarms: share of the held-out samples above the limit.
    :returns: ``feature``, ``width``, ``distance`` and the results of :func:`flagging`, best first.
    """
    rows = []
    for feature, fitted in sets['fitted'].items():
        for name, make in DISTANCES.items():
            distance = make(fitted)
            limit = np.quantile(distance(sets['held_out'][feature]), 1 - false_alarms,
                                method='higher')
            rows.append({'feature': feature, 'width': fitted.shape[1], 'distance': name,
                         **flagging(distance(sets['usual'][feature]),
                                    distance(sets['strange'][feature]), limit)})
    return sorted(rows, key=lambda row: -row['auroc'])
