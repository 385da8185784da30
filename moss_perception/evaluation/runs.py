"""
Runs over a fleet of recordings: shards, the list that each run leaves in its store, and merging.

A list names all recordings of the fleet in their order, and the records of those in its shard.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
import json
import logging
from pathlib import Path
import re
from typing import Any, TypeVar

from moss_perception.core.errors import ConfigError, MossError
from moss_perception.evaluation.batch import EvaluationInput, Work
from moss_perception.evaluation.digests import code_digest, digest
from moss_perception.evaluation.record_files import by_checkpoint, MALFORMED, plain, write_json
from moss_perception.evaluation.records import (
    AttemptRecord,
    BagRecord,
    Evaluation,
    UnmatchedOutcome,
)
from moss_perception.evaluation.store import Store
from moss_perception.evaluation.stored import Stored

FORMAT = 'moss_perception.run/1'
_LOG = logging.getLogger(__name__)
_T = TypeVar('_T')


@dataclass(frozen=True)
class Shard:
    """
    The share of a fleet that one run evaluates: every ``count``-th recording.

    :ivar number: 1 to ``count``.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> 'Shard':
        """
        Read ``K/N``.

        :raises ConfigError: if it is not two numbers with K from 1 to N.
        """
        match = re.fullmatch(r'(\d{1,9})/(\d{1,9})', text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f'--shard {text}: expected K/N with K from 1 to N, such as 1/4')
        return cls(int(match[1]), int(match[2]))

    def of(self, items: Sequence[_T]) -> Sequence[_T]:
        """Return the items of this shard."""
        return items[self.number - 1::self.count]

    def __str__(self) -> str:
        return f'{self.number}/{self.count}'


@dataclass(frozen=True)
class Run:
    """
    The list that a run leaves.

    :ivar fleet: digest of what all shards have in common.
    :ivar recordings: paths of all recordings of the fleet, in order.
    :ivar code: digest of the code that evaluated them.
    :ivar finished: ISO 8601, UTC.
    :ivar keys: of the shard's records: for each recording in order, one for each checkpoint.
    :ivar outcomes: for each recording in order, the path of its table; empty for none.
    """

    fleet: str
    shard: Shard
    recordings: tuple[str, ...]
    code: str
    finished: str
    keys: tuple[tuple[str, ...], ...]
    outcomes: tuple[str, ...]


def evaluations_of(stored: Sequence[Stored]) -> list[Evaluation]:
    """Combine records to an evaluation of each checkpoint."""
    found = by_checkpoint(one.evaluation for one in stored)
    count = max(len(found), 1)
    tables = [one.outcomes for one in stored[::count]]
    return [replace(one, bags=without_shared(one.bags, tables)) for one in found]


def without_shared(records: Sequence[BagRecord], tables: Sequence[str]) -> tuple[BagRecord, ...]:
    """
    Keep a row of a table as unmatched once, and only if no recording with the table matched it.

    :param tables: path of the table of each recording; empty for the recorded outcomes.
    """
    counted: dict[str, set[Any]] = defaultdict(set)
    for record, table in zip(records, tables, strict=True):
        counted[table] |= {_row(x) for x in record.attempts}
    found = []
    for record, table in zip(records, tables, strict=True):
        kept = tuple(x for x in record.unmatched if not table or _row(x) not in counted[table])
        counted[table] |= {_row(x) for x in kept}
        found.append(replace(record, unmatched=kept))
    return tuple(found)


def _row(of: AttemptRecord | UnmatchedOutcome) -> tuple[bool, int | None]:
    """Tell rows of a table apart: by their lines, in older records by the attempt's number."""
    return (True, of.attempt) if of.line is None else (False, of.line)


def write_run(store: Store, recordings: Sequence[EvaluationInput], shard: Shard,
              stored: Sequence[Stored], checkpoints: Sequence[str], work: Work) -> None:
    """
    Leave the list of a finished run in its store; a run of the same shard replaces the one before.

    :param recordings: of the whole fleet.
    :param stored: of the shard, as of :func:`moss_perception.evaluation.stored.replay_stored`.
    :param checkpoints: their digests, in order.
    :param work: how the recordings were evaluated.
    :raises MossError: if it can't be written.
    """
    count = len(checkpoints)
    fleet = digest({'recordings': [plain(asdict(x)) for x in recordings],
                    'checkpoints': list(checkpoints), 'engine': work.engine,
                    'threads': work.threads, 'lead_time_s': work.lead_time_s})
    run = Run(fleet, shard, tuple(x.path for x in recordings), code_digest(),
              datetime.now(timezone.utc).isoformat(timespec='microseconds'),
              tuple(tuple(x.key for x in stored[n:n + count])
                    for n in range(0, len(stored), count)),
              tuple(x.outcomes for x in stored[::count]))
    values = asdict(run)
    write_json(store.folder / 'runs' / f'{fleet[:16]}_{shard.number}_of_{shard.count}.json',
               {'format': FORMAT, 'sha256': digest(values), 'run': values})


def merge_runs(folders: Sequence[Path], checkpoints: Collection[str] = (),
               every: bool = False) -> list[Evaluation]:
    """
    Combine the records of the newest run of each checkpoint, from all shards.

    :param folders: stores.
    :param every: combine all runs of each checkpoint. Each recording counts once, as the newest
        run has it, and they come in the order of time.
    :param checkpoints: digests of the checkpoints to report, in this order; empty for all, those
        of the newest run first.
    :raises MossError: if a shard or a record is missing or damaged, or a checkpoint has no run.
    """
    stores = [Store(folder) for folder in folders]
    fleets: dict[str, list[tuple[Store, Run]]] = defaultdict(list)
    for store in stores:
        for run in _read_runs(store):
            fleets[run.fleet].append((store, run))
    if not fleets:
        raise MossError(f'{", ".join(map(str, folders))}: no finished run: expected a folder of '
                        'moss evaluate --store')
    newest = sorted(fleets.values(), key=lambda runs: max(x.finished for _, x in runs),
                    reverse=True)
    found = _by_checkpoint(newest, checkpoints, every)
    if missing := [x for x in checkpoints if x not in found]:
        raise MossError(f'no run of the checkpoint {", ".join(x[:12] for x in missing)} in '
                        f'{", ".join(map(str, folders))}: expected one of moss evaluate --store')
    return [found[x] for x in checkpoints] if checkpoints else list(found.values())


def _by_checkpoint(newest: Sequence[Sequence[tuple[Store, Run]]], checkpoints: Collection[str],
                   every: bool) -> dict[str, Evaluation]:
    """Combine the shards of each fleet, from the newest on; see :func:`merge_runs`."""
    found: dict[str, Evaluation] = {}
    for runs in newest:
        for one in _merge(runs):
            if one.sha256 in found and every:
                found[one.sha256] = _with_older(found[one.sha256], one)
            elif one.sha256 in found:
                _LOG.info('an older run of %s over %d recordings is not reported', one.model,
                          len(one.bags))
            elif not checkpoints or one.sha256 in checkpoints:
                found[one.sha256] = one
    if every:
        _warn_of_other_code(newest)
        found = {name: replace(one, bags=tuple(sorted(one.bags, key=_begin)))
                 for name, one in found.items()}
    return found


def _with_older(newer: Evaluation, older: Evaluation) -> Evaluation:
    there = {bag.path for bag in newer.bags}
    return replace(newer, bags=newer.bags + tuple(x for x in older.bags if x.path not in there))


def _begin(bag: BagRecord) -> tuple[int, str]:
    return min((x.start_ns for x in bag.attempts), default=0), bag.path


def _warn_of_other_code(fleets: Sequence[Sequence[tuple[Store, Run]]]) -> None:
    codes = [runs[0][1].code for runs in fleets]
    if others := sum(code != codes[0] for code in codes):
        _LOG.warning('%d of %d runs were evaluated by other code than the newest one: evaluate '
                     'their recordings again, if a step over time may come from that', others,
                     len(codes))


def _read_runs(store: Store) -> Iterable[Run]:
    for path in sorted((store.folder / 'runs').glob('*.json')):
        try:
            written = json.loads(path.read_text())
            values = written['run']
            if (found := written['format']) != FORMAT:
                raise ValueError(f'its format is {found!r}, expected {FORMAT!r}')
            if digest(values) != written['sha256']:
                raise ValueError('its contents do not have the sha256 that it names')
            yield _run_of(values)
        except (OSError, *MALFORMED) as error:
            raise MossError(f'{path} is not a readable list of a run: {error}') from error


def _run_of(values: Mapping[str, Any]) -> Run:
    return Run(**{**values, 'shard': Shard(**values['shard']),
                  'keys': tuple(map(tuple, values['keys'])),
                  **{name: tuple(values[name]) for name in ('recordings', 'outcomes')}})


def _merge(runs: Sequence[tuple[Store, Run]]) -> list[Evaluation]:
    """Combine the shards of one fleet."""
    newest = max((run for _, run in runs), key=lambda run: run.finished)
    shards: dict[int, tuple[Store, Run]] = {}
    for store, run in sorted(runs, key=lambda one: one[1].finished):
        if run.shard.count == newest.shard.count:
            shards[run.shard.number] = store, run
    missing = [n for n in range(1, newest.shard.count + 1) if n not in shards]
    if missing:
        raise MossError(f'shard {", ".join(map(str, missing))} of {newest.shard.count} is '
                        f'missing, of {len(newest.recordings)} recordings from '
                        f'{newest.recordings[0]} on: run it with --shard, or name its store')
    if other := [n for n, (_, run) in shards.items() if run.code != newest.code]:
        raise MossError(f'shard {", ".join(map(str, sorted(other)))} of {newest.shard.count} was '
                        'evaluated by other code than the newest one: run it again')
    stored: list[list[Stored]] = [[] for _ in newest.recordings]
    for store, run in shards.values():
        numbers = run.shard.of(range(len(run.recordings)))
        for n, keys, outcomes in zip(numbers, run.keys, run.outcomes, strict=True):
            stored[n] = [Stored(key, store.read(key, run.recordings[n]), outcomes)
                         for key in keys]
    return evaluations_of([one for ones in stored for one in ones])
