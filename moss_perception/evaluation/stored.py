"""Evaluate recordings that have no record in a store yet, and take the others from there."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
import logging
from pathlib import Path
from typing import Any

from moss_perception.core.errors import MossError
from moss_perception.core.parallel import in_order
from moss_perception.data.remote import is_address, state_of
from moss_perception.evaluation.batch import (
    evaluation_of,
    EvaluationInput,
    run,
    Task,
    tasks_of,
    try_part,
    Work,
)
from moss_perception.evaluation.digests import (
    code_digest,
    digest,
    graphs_digest,
    recording_digest,
    table_digest,
)
from moss_perception.evaluation.record_files import plain
from moss_perception.evaluation.records import Evaluation
from moss_perception.evaluation.store import Store
from moss_perception.models.manifest import verify

_LOG = logging.getLogger(__name__)
_SHOWN = 5


@dataclass(frozen=True)
class Stored:
    """
    A recording's evaluation, and the key of its record.

    :ivar outcomes: path of the table of its outcomes, whose rows may belong to another
        recording; empty for the recorded ones.
    """

    key: str
    evaluation: Evaluation
    outcomes: str = ''


def replay_stored(recordings: Sequence[EvaluationInput], models: Sequence[Path], work: Work,
                  store: Store) -> list[Stored]:
    """
    Evaluate each checkpoint on all recordings, and store a record of each.

    Threads are 1 unless ``work`` says otherwise, so that a record does not depend on the number
    of workers. A recording that can't be used does not keep the others from being stored.

    :returns: the recordings by order, with the checkpoints of each.
    :raises MossError: at the end, if a recording can't be used, or a record can't be written.
    """
    work = replace(work, threads=work.threads or 1, code=code_digest())
    marks = _marks([one.path for one in recordings], work)
    common = {str(path): _common(path, work) for path in models}
    tasks = [replace(task, digest=store.digest_of(task.recording.path, marks[task.recording.path]))
             for task in tasks_of(recordings, models, work)]
    found = [_find(store, task, common) for task in tasks]
    todo = [(n, task) for n, (task, one) in enumerate(zip(tasks, found, strict=True))
            if one is None]
    _LOG.info('%d of %d records are in %s', len(tasks) - len(todo), len(tasks), store.folder)
    refused = {}
    with closing(run([task for _, task in todo], work, try_part)) as coming:
        for (n, task), done in zip(todo, coming, strict=True):
            if done.record is None:
                refused[task.recording.path] = done.why
                continue
            path = task.recording.path
            if is_address(path):
                store.remember(path, marks[path], done.digest)
            identity = _identity(task, done.digest, common)
            evaluation = evaluation_of(Path(task.model), work, [done.record])
            found[n] = _stored(task, identity, store.write(identity, evaluation))
    if refused:
        shown = '; '.join(list(refused.values())[:_SHOWN])
        more = f'; and {len(refused) - _SHOWN} more' if len(refused) > _SHOWN else ''
        raise MossError(f"{len(refused)} of {len(recordings)} recordings can't be used, the "
                        f'others are in {store.folder}: {shown}{more}')
    return [one for one in found if one is not None]


def _marks(paths: Sequence[str], work: Work) -> dict[str, str]:
    """Read what tells whether a recording is known: its digest, or the state of its address."""
    unique = list(dict.fromkeys(paths))
    if not work.is_shared:
        return {path: _mark(path) for path in unique}
    with closing(in_order(_mark, unique, work.workers, str, work.executor)) as coming:
        return dict(zip(unique, coming, strict=True))


def _mark(path: str) -> str:
    """Return the digest of a recording or the state of an address; empty if it can't be read."""
    try:
        return state_of(path) if is_address(path) else recording_digest(path)
    except MossError:
        # Its evaluation says why.
        return ''


def _common(model: Path, work: Work) -> dict[str, Any]:
    """Return what the records of a checkpoint have in common."""
    return {'checkpoint': verify(model, work.sha256), 'code': code_digest(),
            'graphs': graphs_digest(model) if work.engine == 'onnxruntime' else '',
            'options': {'engine': work.engine, 'threads': work.threads,
                        'lead_time_s': work.lead_time_s}}


def _identity(task: Task, recording: str, common: dict[str, dict[str, Any]]) -> dict[str, Any]:
    one = task.recording
    options = {
        'domain': one.domain, 'topics': dict(one.topics),
        'outcomes': table_digest(one.outcomes) if one.outcomes else '',
        'setup': plain(asdict(one.setup)) if one.setup else None}
    of_model = common[task.model]
    return {**of_model, 'recording': recording, 'options': of_model['options'] | options}


def _find(store: Store, task: Task, common: dict[str, dict[str, Any]]) -> Stored | None:
    if not task.digest:
        return None
    identity = _identity(task, task.digest, common)
    found = store.find(identity, task.recording.path)
    return _stored(task, identity, found) if found else None


def _stored(task: Task, identity: dict[str, Any], evaluation: Evaluation) -> Stored:
    return Stored(digest(identity), evaluation, task.recording.table)
