"""Evaluations as files, so that one process can report the results of several."""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict, replace
import json
from pathlib import Path
from typing import Any

from moss_perception.core.errors import MossError
from moss_perception.core.files import replaced
from moss_perception.evaluation.records import (
    AttemptRecord,
    BagRecord,
    Evaluation,
    UnmatchedOutcome,
)
import numpy as np

FORMAT = 'moss_perception.evaluation/1'
_ARRAYS = ('decode_ms', 'inference_ms', 'latency_ms', 'times_s', 'scores')


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """
    Write an evaluation as JSON, as a whole or not at all, without rounding numbers.

    :raises MossError: if it can't be written.
    """
    # Python's JSON writes and reads NaN.
    text = json.dumps({'format': FORMAT, **asdict(evaluation)}, default=_plain)
    try:
        with replaced(path) as partial:
            partial.write_text(text)
    except OSError as error:
        raise MossError(f"{path} can't be written: {error.strerror}") from error


def read_evaluation(path: Path) -> Evaluation:
    """
    Read a file of :func:`write_evaluation`.

    :raises MossError: if the file is missing or has different contents.
    """
    try:
        values = json.loads(path.read_text())
        if (found := values.pop('format', None)) != FORMAT:
            raise ValueError(f'its format is {found!r}, expected {FORMAT!r}')
        bags = tuple(BagRecord(**_restored(bag) | {
            'attempts': tuple(AttemptRecord(**_restored(x)) for x in bag['attempts']),
            'unmatched': tuple(map(_unmatched, bag['unmatched'])), 'notes': tuple(bag['notes']),
            'pictures': _pictures(bag.get('pictures', {}))})
            for bag in values['bags'])
        fields: dict[str, Any] = {**_without_orders(values), 'bags': bags}
        return Evaluation(**fields)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MossError(f'{path} is not a readable evaluation record: {error}') from error


def merge(evaluations: list[Evaluation]) -> Evaluation:
    """
    Merge evaluations of several recordings with the same checkpoint.

    :raises MossError: if the checkpoints differ.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        if other.sha256 != first.sha256:
            raise MossError(
                f'{_names(other)} was evaluated with {other.model} ({other.sha256[:12]}), and '
                f'{_names(first)} with {first.model} ({first.sha256[:12]}): expected one '
                'checkpoint')
    return replace(first, bags=tuple(x for e in evaluations for x in e.bags))


def by_checkpoint(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Merge the evaluations of each checkpoint, in the order of its first one."""
    found: dict[str, list[Evaluation]] = {}
    for one in evaluations:
        found.setdefault(one.sha256, []).append(one)
    return [merge(same) for same in found.values()]


def _names(evaluation: Evaluation) -> str:
    return ', '.join(bag.path for bag in evaluation.bags)


def _plain(value: Any) -> Any:
    return b64encode(value).decode() if isinstance(value, bytes) else value.tolist()


def _unmatched(written: dict[str, Any] | str) -> UnmatchedOutcome:
    # Older files contain only a sentence.
    return UnmatchedOutcome(None, written) if isinstance(written, str) else UnmatchedOutcome(
        **written)


def _pictures(written: dict[str, str]) -> dict[int, bytes]:
    return {int(stamp_ns): b64decode(text, validate=True) for stamp_ns, text in written.items()}


def _without_orders(values: dict[str, Any]) -> dict[str, Any]:
    # Older files have the highest order only, and 1 also for models without orders.
    orders = values.pop('orders', 0)
    level = ','.join(map(str, range(1, orders + 1))) if orders > 1 else ''
    return {'model_type': '', 'budget_level': level} | values


def _restored(values: dict[str, Any]) -> dict[str, Any]:
    # Older files call the OOD score novelty.
    if 'novelty' in values:
        values['ood_score'] = values.pop('novelty')
    return {name: np.array(value, float) if name in _ARRAYS else value
            for name, value in values.items()}
