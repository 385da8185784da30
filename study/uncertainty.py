"""Which uncertainty is worth its name: what each finds of errors and of a shift."""

from typing import Any

from moss_perception.evaluation import metrics
import numpy as np

_MARGIN_BINS = 10


def uncertainties(members: np.ndarray) -> dict[str, np.ndarray]:
    """
    Compute what may be called uncertain about each attempt.

    :param members: probabilities of an ensemble's members, shape ``(N, M)``.
    :returns: by name, shape ``(N,)``: ``margin``, nearness of the mean to 0.5, in [0, 1];
        ``spread``, the members' standard deviation; ``information``, how much they disagree
        beyond what their mean leaves open, in nats (BALD, arXiv 1112.5745).
    """
    mean = members.mean(axis=1)
    return {'margin': 1 - np.abs(2 * mean - 1), 'spread': members.std(axis=1),
            'information': _entropy(mean) - _entropy(members).mean(axis=1)}


def _entropy(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def beyond_margin(uncertainty: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> float:
    """
    Return what an uncertainty tells of errors that the score itself does not.

    Attempts are compared with those of about the same margin only, so that 0.5 is what the
    score alone would give.

    :returns: mean AUROC over ten shares of equal size, weighted by the pairs in each; NaN if no
        share has both errors and none.
    """
    margin = 1 - np.abs(2 * scores - 1)
    wrong = (scores > 0.5) != labels
    found, weights = [], []
    for share in np.array_split(np.argsort(margin, kind='stable'), _MARGIN_BINS):
        pairs = int(wrong[share].sum()) * int((~wrong[share]).sum())
        if pairs:
            found.append(metrics.auroc(uncertainty[share], wrong[share]))
            weights.append(pairs)
    return float(np.average(found, weights=weights)) if found else float('nan')


def measure_uncertainty(members: np.ndarray, labels: np.ndarray,
                        usual: np.ndarray) -> dict[str, dict[str, float]]:
    """
    Measure each uncertainty of an ensemble on a set.

    :param members: probabilities, shape ``(N, M)``.
    :param labels: bool, shape ``(N,)``.
    :param usual: the same ensemble's on scenes such as it was trained on, shape ``(P, M)``.
    :returns: by name of :func:`uncertainties`: ``errors``, how well it finds wrong decisions;
        ``beyond_margin``; and ``shift``, how well it tells this set from the usual one; all are
        areas under a ROC curve, 0.5 by chance.
    """
    scores, before = members.mean(axis=1), uncertainties(usual)
    strange = np.repeat([True, False], [len(members), len(usual)])
    return {name: {'errors': metrics.error_detection(values, scores, labels),
                   'beyond_margin': beyond_margin(values, scores, labels),
                   'shift': metrics.auroc(np.concatenate([values, before[name]]), strange)}
            for name, values in uncertainties(members).items()}


def conformal_threshold(scores: np.ndarray, labels: np.ndarray, level: float = 0.9) -> float:
    """
    Find how improbable an outcome may be to stay in a prediction set (split conformal).

    :param scores: probabilities of success, shape ``(N,)``, of scenes to calibrate on.
    :param labels: bool, shape ``(N,)``.
    :param level: share of the sets that are to hold the true outcome.
    :returns: the most that ``1 - p`` of an outcome in the set may be, in [0, 1]. It is 1, so that
        every set holds both outcomes, where there are too few attempts to promise the level:
        fewer than nine for 0.9.
    """
    surprise = np.sort(np.where(labels, 1 - scores, scores))
    # Less a little: 0.9 times a number of attempts may come out above the whole number it is.
    rank = int(np.ceil((len(surprise) + 1) * level - 1e-9))
    return float(surprise[rank - 1]) if rank <= len(surprise) else 1.0


def measure_conformal(scores: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, Any]:
    """
    Measure prediction sets.

    :returns: ``coverage``, the share that hold the true outcome, and ``undecided``, the share
        that hold both outcomes or none.
    """
    success, failure = 1 - scores <= threshold, scores <= threshold
    return {'coverage': float(np.where(labels, success, failure).mean()),
            'undecided': float((success == failure).mean())}


def summarise_uncertainty(members: dict[str, dict[str, list]], attempts: dict) -> dict[str, Any]:
    """
    Measure the uncertainties of each arm: of one training's ensemble, and of all its trainings.

    Prediction sets are calibrated on every other scene of the first set, and measured on the
    others, and on all of the other sets.

    :param members: by arm and set, of each training the probabilities, shape ``(N, M)``; the
        first set is such as was trained on.
    :param attempts: by set, with ``labels`` and ``groups``.
    :returns: by arm and set: ``heads`` and, of several trainings, ``trainings``, as
        :func:`measure_uncertainty` has them, the one the mean over the trainings; and ``sets``
        as :func:`measure_conformal` has it, of the first training.
    """
    usual = next(iter(attempts))
    result: dict[str, Any] = {}
    for arm, sets in members.items():
        result[arm] = {}
        for name, each in sets.items():
            labels = attempts[name].labels
            found = [measure_uncertainty(one, labels, before)
                     for one, before in zip(each, sets[usual], strict=True)]
            mine = {'heads': _mean_of(found)}
            if len(each) > 1:
                mine['trainings'] = measure_uncertainty(
                    np.concatenate(each, axis=1), labels, np.concatenate(sets[usual], axis=1))
            mine['sets'] = _prediction_sets(each[0].mean(axis=1), labels,
                                            sets[usual][0].mean(axis=1), attempts[usual],
                                            name == usual)
            result[arm][name] = mine
    return result


def _mean_of(found: list) -> dict[str, dict[str, float]]:
    return {kind: {key: float(np.mean([one[kind][key] for one in found])) for key in values}
            for kind, values in found[0].items()}


def _prediction_sets(scores: np.ndarray, labels: np.ndarray, usual: np.ndarray, attempts,
                     same: bool) -> dict[str, float]:
    fitted = attempts.groups % 2 == 0
    threshold = conformal_threshold(usual[fitted], attempts.labels[fitted])
    some = ~fitted if same else np.ones(len(labels), bool)
    return measure_conformal(scores[some], labels[some], threshold)
