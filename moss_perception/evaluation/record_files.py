"""Files of evaluation records, and what else is written as JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
import json
import math
from pathlib import Path
from typing import Any

from moss_perception.core.errors import MossError
from moss_perception.core.files import replaced
from moss_perception.core.text import clean
from moss_perception.evaluation.records import (
    AttemptRecord,
    BagRecord,
    Evaluation,
    UnmatchedOutcome,
)
import numpy as np

FORMAT = 'moss_perception.evaluation/1'

# Keys of older files, and what they are called now.
_RENAMED = {'novelty': 'ood_score', 'fates': 'by_status', 'told': 'diagnostics'}
_ARRAYS = ('decode_ms', 'inference_ms', 'latency_ms', 'times_s', 'scores', 'fingers')


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """
    Write an evaluation as JSON, as a whole or not at all, without rounding numbers.

    :raises MossError: if it can't be written.
    """
    write_json(path, to_values(evaluation))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """
    Write JSON with arrays, as a whole or not at all, without rounding numbers.

    :raises MossError: if it can't be written.
    """
    # Python's JSON writes and reads NaN.
    text = json.dumps(values, default=np.ndarray.tolist)
    try:
        with replaced(path) as partial:
            partial.write_text(text)
    except OSError as error:
        raise MossError(f"{path} can't be written: {error.strerror}") from error


def to_values(evaluation: Evaluation) -> dict[str, Any]:
    """Return the contents of a file of an evaluation."""
    return {'format': FORMAT, **asdict(evaluation)}


def read_evaluation(path: Path) -> Evaluation:
    """
    Read a file of :func:`write_evaluation`.

    :raises MossError: if the file is missing or has different contents.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError('it is a folder, a pipe or a device')
        return from_values(json.loads(path.read_text()))
    except (OSError, *MALFORMED) as error:
        raise MossError(f'{path} is not a readable evaluation record: {error}') from error


MALFORMED = ValueError, KeyError, TypeError, AttributeError, RecursionError
"""What :func:`from_values` raises for other values than those of :func:`to_values`."""


def from_values(values: dict[str, Any]) -> Evaluation:
    """Return the evaluation of :func:`to_values`; see :data:`MALFORMED`."""
    if (found := values.pop('format', None)) != FORMAT:
        raise ValueError(f'its format is {found!r}, expected {FORMAT!r}')
    # Older files have the highest order only, and 1 also for models without orders.
    orders = values.pop('orders', 0)
    level = ','.join(map(str, range(1, orders + 1))) if orders > 1 else ''
    texts = {name: clean(value) for name, value in values.items() if isinstance(value, str)}
    fields: dict[str, Any] = {'model_type': '', 'budget_level': level} | values | texts
    fields['bags'] = tuple(_bag(bag) for bag in values['bags'])
    return Evaluation(**fields)


def _bag(written: dict[str, Any]) -> BagRecord:
    # Older files may contain pictures, which are now read from the recording.
    written.pop('pictures', None)
    # Instead of an unmatched outcome, older files contain a sentence.
    unmatched = (UnmatchedOutcome(None, x) if isinstance(x, str) else UnmatchedOutcome(**x)
                 for x in written['unmatched'])
    return BagRecord(**_values(written) | {
        'attempts': tuple(AttemptRecord(**_values(x)) for x in written['attempts']),
        'unmatched': tuple(unmatched), 'notes': tuple(written['notes']),
        'warnings': tuple(written.get('warnings', ()))})


def _values(written: dict[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): np.array(value, float) if name in _ARRAYS else value
            for name, value in written.items()}


def by_checkpoint(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Merge the evaluations of each checkpoint, in the order of its first one."""
    first: dict[str, Evaluation] = {}
    bags: dict[str, list[BagRecord]] = {}
    for one in evaluations:
        first.setdefault(one.sha256, one)
        bags.setdefault(one.sha256, []).extend(one.bags)
    return [replace(one, bags=tuple(bags[sha256])) for sha256, one in first.items()]


def plain(value: Any) -> Any:
    """Convert mappings, sequences and arrays to JSON types, and non-finite numbers to null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
