"""How well uncertainties detect wrong decisions and a shifted domain."""

from typing import Any

from moss_perception.evaluation.metrics import auroc, Scored, value_of
import numpy as np

_MARGIN_BINS = 10


def uncertainties(members: np.ndarray) -> dict[str, np.ndarray]:
    """
    Compute the uncertainties of each attempt.

    :param members: probabilities of the members of an ensemble, shape ``(N, M)``.
    :returns: by name, shape ``(N,)``: ``margin``, closeness of the mean to 0.5, in [0, 1];
        ``spread``, standard deviation of the members; ``information``, mutual information of
        outcome and member, in nats (BALD, arXiv 1112.5745).
    """
    mean = members.mean(axis=1)
    return {'margin': 1 - np.abs(2 * mean - 1), 'spread': members.std(axis=1),
            'information': _entropy(mean) - _entropy(members).mean(axis=1)}


def _entropy(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def error_detection(uncertainty: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the AUROC of finding wrong decisions; NaN if all are right, or all are wrong."""
    return value_of(auroc, Scored.of(uncertainty, (scores > 0.5) != labels))


def beyond_margin(uncertainty: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> float:
    """
    Measure what an uncertainty tells about errors beyond the score itself.

    Attempts are compared only with attempts of about the same margin, so that the score alone
    gives 0.5.

    :returns: mean AUROC over ten bins of equal size, weighted by the number of pairs in each; NaN
        if no bin has both right and wrong decisions.
    """
    margin = 1 - np.abs(2 * scores - 1)
    wrong = (scores > 0.5) != labels
    found, weights = [], []
    for share in np.array_split(np.argsort(margin, kind='stable'), _MARGIN_BINS):
        pairs = int(wrong[share].sum()) * int((~wrong[share]).sum())
        if pairs:
            found.append(value_of(auroc, Scored.of(uncertainty[share], wrong[share])))
            weights.append(pairs)
    return float(np.average(found, weights=weights)) if found else float('nan')


def measure_uncertainty(members: np.ndarray, labels: np.ndarray,
                        in_distribution: np.ndarray) -> dict[str, dict[str, float]]:
    """
    Measure each uncertainty of an ensemble on a set.

    :param members: probabilities, shape ``(N, M)``.
    :param labels: bool, shape ``(N,)``.
    :param in_distribution: probabilities of the same ensemble on scenes like those of its
        training, shape ``(P, M)``.
    :returns: by name of :func:`uncertainties`, as AUROC (0.5 by chance): ``errors``, detection of
        wrong decisions; ``beyond_margin``; and ``shift``, separation of this set from the
        in-distribution set.
    """
    scores, before = members.mean(axis=1), uncertainties(in_distribution)
    shifted = np.repeat([True, False], [len(members), len(in_distribution)])
    return {name: {'errors': error_detection(values, scores, labels),
                   'beyond_margin': beyond_margin(values, scores, labels),
                   'shift': value_of(auroc, Scored.of(
                       np.concatenate([values, before[name]]), shifted))}
            for name, values in uncertainties(members).items()}


def conformal_threshold(scores: np.ndarray, labels: np.ndarray, level: float = 0.9) -> float:
    """
    Find the threshold of prediction sets by split conformal prediction.

    :param scores: probabilities of success, shape ``(N,)``, of the calibration attempts.
    :param labels: bool, shape ``(N,)``.
    :param level: share of the sets that must contain the true outcome.
    :returns: largest ``1 - p`` of an outcome in a set, in [0, 1]. It is 1, so that every set
        contains both outcomes, if there are too few attempts to guarantee the level: fewer than
        nine for 0.9.
    """
    surprise = np.sort(np.where(labels, 1 - scores, scores))
    # Rounding may lift 0.9 times a count above the integer that it is.
    rank = int(np.ceil((len(surprise) + 1) * level - 1e-9))
    return float(surprise[rank - 1]) if rank <= len(surprise) else 1.0


def measure_conformal(scores: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, Any]:
    """
    Measure prediction sets.

    :returns: ``coverage``, the share that contain the true outcome, and ``undecided``, the share
        that contain both outcomes or neither.
    """
    success, failure = 1 - scores <= threshold, scores <= threshold
    return {'coverage': float(np.where(labels, success, failure).mean()),
            'undecided': float((success == failure).mean())}


def summarise_uncertainty(members: dict[str, dict[str, list]], attempts: dict) -> dict[str, Any]:
    """
    Measure the uncertainties of each variant: within one training, and over all its trainings.

    Prediction sets are calibrated on every second scene of the first set. They are measured on
    its other scenes and on all scenes of the other sets.

    :param members: by variant and set, a list of the probabilities of each training, shape
        ``(N, M)`` each; the first set is in distribution.
    :param attempts: by set, with ``labels`` and ``groups``.
    :returns: by variant and set: ``heads``, the mean over the trainings of
        :func:`measure_uncertainty`; ``trainings``, the same of all trainings as one ensemble, if
        there are several; and ``conformal``, :func:`measure_conformal` of the first training.
    """
    first = next(iter(attempts))
    result: dict[str, Any] = {}
    for variant, sets in members.items():
        result[variant] = {}
        for name, each in sets.items():
            labels = attempts[name].labels
            found = [measure_uncertainty(one, labels, before)
                     for one, before in zip(each, sets[first], strict=True)]
            mine = {'heads': _mean_of(found)}
            if len(each) > 1:
                mine['trainings'] = measure_uncertainty(
                    np.concatenate(each, axis=1), labels, np.concatenate(sets[first], axis=1))
            mine['conformal'] = _measure_prediction_sets(
                each[0].mean(axis=1), labels, sets[first][0].mean(axis=1), attempts[first],
                name == first)
            result[variant][name] = mine
    return result


def _mean_of(found: list) -> dict[str, dict[str, float]]:
    return {kind: {key: float(np.mean([one[kind][key] for one in found])) for key in values}
            for kind, values in found[0].items()}


def _measure_prediction_sets(scores: np.ndarray, labels: np.ndarray, calibration: np.ndarray,
                             attempts, same: bool) -> dict[str, float]:
    fitted = attempts.groups % 2 == 0
    threshold = conformal_threshold(calibration[fitted], attempts.labels[fitted])
    some = ~fitted if same else np.ones(len(labels), bool)
    return measure_conformal(scores[some], labels[some], threshold)
