"""Import several recordings into one folder of samples, and say what a training should know."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
import itertools
import math
from pathlib import Path
from typing import Any

from moss_perception.core.errors import BagError, DataError
from moss_perception.core.files import OutputFolder
from moss_perception.core.looks import LOOKS
from moss_perception.core.parallel import in_order, is_shared, PROCESSES
from moss_perception.data.imports.bags import (
    BagInput,
    FindAttempts,
    import_bag,
    Imported,
    LeftOut,
    SHARD,
)
from moss_perception.data.imports.samples import ImportSettings, NO_ATTEMPT, NO_IMAGES
from moss_perception.data.imports.survey import describe
from moss_perception.data.sample_shards import sample_path, write_samples
from moss_perception.data.scenes import save_dataset
from moss_perception.data.schema import Sample

FEW = 20
"""Fewer attempts than these are too few to train on."""
# Shards of one recording.
_MOST_SHARDS = 1000


@dataclass
class Contents:
    """
    The samples of a folder in numbers.

    :ivar samples: number of samples.
    :ivar attempts: number of attempts they were made of.
    :ivar successes: how many samples' executed grasps succeeded.
    :ivar groups: number of samples by group and value.
    :ivar cameras: number of samples by calibration.
    :ivar left_out: each attempt that was left out.
    :ivar damage: what is missing from a recording or wrong with its stamps, a line each.
    :ivar doubtful: number of images that may show nothing, by
        :data:`moss_perception.core.looks.LOOKS`.
    """

    samples: int = 0
    attempts: int = 0
    successes: int = 0
    groups: dict[str, Counter] = field(default_factory=dict)
    cameras: Counter = field(default_factory=Counter)
    left_out: list[LeftOut] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    doubtful: Counter = field(default_factory=Counter)

    def add(self, success: bool, groups: Mapping[str, str], camera: str = '') -> None:
        """Count a sample."""
        self.samples += 1
        self.successes += success
        for name, value in groups.items():
            self.groups.setdefault(name, Counter())[value] += 1
        if camera:
            self.cameras[camera] += 1

    def values(self) -> dict[str, Any]:
        """Return what ``dataset.json`` says of the folder."""
        return {'samples': self.samples, 'attempts': self.attempts, 'successes': self.successes,
                'groups': {name: dict(sorted(x.items())) for name, x in self.groups.items()},
                'calibrations': dict(self.cameras),
                'left_out': [{name: getattr(one, name) for name in (
                    'recording', 'attempt', 'reason', 'message')} for one in self.left_out]}

    def warnings(self) -> list[str]:
        """List what a training on these samples should know, a line each."""
        found = list(self.damage) + [f'{count} images are {LOOKS[look]}'
                                     for look, count in sorted(self.doubtful.items())]
        for reason, count in Counter(x.reason for x in self.left_out).items():
            one = next(x for x in self.left_out if x.reason == reason)
            found.append(f'{count} of {self.attempts} attempts are left out ({reason}), such as '
                         f'attempt {one.attempt} of {one.recording}: {one.message}')
        if self.samples < FEW:
            found.append(f'{self.samples} attempts are too few to train on: expected {FEW} or '
                         'more; import more recordings')
        if self.successes in (0, self.samples):
            found.append(f'all {self.samples} attempts are '
                         f'{"successes" if self.successes else "failures"}: expected both, from '
                         'which a training learns the difference; record more attempts')
        if len(self.cameras) > 1:
            found.append(f'the samples have {len(self.cameras)} calibrations: '
                         + _first([f'{camera} ({count})' for camera, count in
                                   self.cameras.most_common()], 2, '; ')
                         + '; each sample keeps its own; if only one is right, name it with '
                         '--calibration')
        for name, counts in self.groups.items():
            single = [value for value, count in counts.items() if count == 1]
            if single and len(counts) > 1:
                found.append(f'{len(single)} of {len(counts)} values of the group {name!r} have '
                             f'one attempt: {_first(single)}; hold out by another group, or '
                             'record more of them')
        return found


def import_bags(inputs: Sequence[BagInput], out: Path, find: FindAttempts,
                settings: ImportSettings, workers: int = 1,
                progress: Callable[[int], Any] = int, executor: str = PROCESSES) -> Contents:
    """
    Write a folder of samples from recordings, as a whole or not at all.

    :param inputs: the recordings, each with a name of its own.
    :param out: the folder, which must not hold anything yet.
    :param find: reads the attempts of a recording.
    :param workers: number of processes; the result does not depend on it.
    :param progress: called with the number of attempts that are done, each time.
    :param executor: one of :data:`moss_perception.core.parallel.EXECUTORS`.
    :raises MossError: if a recording can't be used, none of the attempts can, or the folder
        can't be written.
    """
    require_new(out)
    with OutputFolder(out, 'could not write') as output:
        folder = output.result('shard').parent
        # closing: after an error, the workers end before the folder is removed.
        with closing(_work(inputs, folder, find, settings, workers, progress,
                           executor)) as coming:
            done = list(coming)
        contents = _contents(inputs, done)
        save_dataset(folder, contents.values())
        output.publish()
    return contents


def save_samples(samples: Iterable[Sample], out: Path,
                 left_out: Sequence[LeftOut] = ()) -> Contents:
    """
    Write a folder of samples, as a whole or not at all.

    :param out: the folder, which must not hold anything yet.
    :param left_out: of :class:`Contents`; it is complete when there are no more samples.
    :raises MossError: if a sample can't be used, there is none, or the folder can't be written.
    """
    require_new(out)
    contents, coming = Contents(), iter(samples)
    with OutputFolder(out, 'could not write') as output:
        for number in itertools.count():
            shard = list(itertools.islice(coming, SHARD))
            if not shard:
                break
            write_samples(sample_path(output.result('shard').parent, number), shard)
            for one in shard:
                executed = one.labels[one.labelled]
                success = one.attempt.success if one.attempt else bool((executed > 0.5).any())
                contents.add(success, one.groups,
                             '' if one.matrix is None else describe(one.camera))
        contents.left_out = list(left_out)
        contents.attempts = contents.samples + len(left_out)
        _require_samples(contents)
        save_dataset(output.result('shard').parent, contents.values())
        output.publish()
    return contents


def require_new(out: Path) -> None:
    """
    Check that a folder can be written without replacing anything.

    :raises DataError: if it holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f'{out} exists already: data sets are not overwritten; expected the name '
                        'of a new folder')


def _work(inputs: Sequence[BagInput], folder: Path, find: FindAttempts,
          settings: ImportSettings, workers: int,
          progress: Callable[[int], Any],
          executor: str) -> Generator[Imported, None, None]:
    """Import each recording; if there are more workers than recordings, they share them."""
    parts = math.ceil(workers / len(inputs))
    tasks = [(replace(one, part=part, parts=parts), _MOST_SHARDS * n)
             for n, one in enumerate(inputs) for part in range(parts)]
    if not is_shared(workers, executor):
        for one, first_shard in tasks:
            yield import_bag(one, first_shard, folder, find, settings, progress)
        return
    work = partial(_import_part, folder=folder, find=find, settings=settings)
    with closing(in_order(work, tasks, workers, lambda task: task[0].name,
                          executor)) as results:
        for done in results:
            progress(len(done.successes) + len(done.left_out))
            yield done


def _import_part(task: tuple[BagInput, int], folder: Path, find: FindAttempts,
                 settings: ImportSettings) -> Imported:
    return import_bag(*task, folder, find, settings)


def _contents(inputs: Sequence[BagInput], done: Sequence[Imported]) -> Contents:
    """
    Sum up the recordings.

    :raises BagError: if there is no sample.
    """
    contents = Contents()
    for one in done:
        contents.attempts += one.attempts
        for success, groups in zip(one.successes, one.groups, strict=True):
            contents.add(success, groups)
        contents.cameras += one.cameras
        for line in (*filter(None, [one.damage]), *one.doubts):
            if (line := f'{one.name}: {line}') not in contents.damage:
                contents.damage.append(line)
        contents.doubtful += one.doubtful
        contents.left_out += one.left_out
    _forget_others(contents, inputs, done)
    # Whatever processes shared the work.
    place = {one.name: n for n, one in enumerate(inputs)}
    contents.left_out.sort(key=lambda x: (place[x.recording], x.attempt))
    contents.cameras = Counter(dict(sorted(contents.cameras.items())))
    if not contents.samples and (where := next((one.where for one in done if one.where), '')):
        raise BagError(f'{inputs[0].path}: no attempt has images: {where}')
    _require_samples(contents)
    return contents


def _require_samples(contents: Contents) -> None:
    """
    Check that not all attempts were left out.

    :raises BagError: with the reason of most of them.
    """
    if contents.samples or not contents.left_out:
        return
    reasons = Counter(x.reason for x in contents.left_out)
    one = next(x for x in contents.left_out if x.reason == reasons.most_common(1)[0][0])
    # What is wrong with a recording may be the cause.
    raise BagError('; '.join([
        f'none of the {contents.attempts} attempts can be imported: attempt {one.attempt} '
        f'of {one.recording}: {one.message}',
        *([_first(contents.damage, 3, '; ')] if contents.damage else [])]))


def _forget_others(contents: Contents, inputs: Sequence[BagInput],
                   done: Sequence[Imported]) -> None:
    """Count each row of a table that recordings share once: where its attempt is, if anywhere."""
    for table in {one.outcomes for one in inputs if one.shared}:
        names = {one.name for one in inputs if one.outcomes == table}
        parts = [one for one in done if one.name in names]
        not_there = {one.name: {x.line for x in one.left_out if _is_elsewhere(x)}
                     for one in parts}
        lines = {line for one in parts for line in one.lines}
        contents.attempts -= sum(one.attempts for one in parts) - len(lines)
        nowhere = set.intersection(*not_there.values())
        kept, seen = [], set()
        for one in contents.left_out:
            if one.recording in names and _is_elsewhere(one):
                if one.line not in nowhere or one.line in seen:
                    continue
                seen.add(one.line)
            kept.append(one)
        contents.left_out = kept


def _is_elsewhere(one: LeftOut) -> bool:
    """Tell whether an attempt may be of another recording."""
    return one.reason in (NO_IMAGES, NO_ATTEMPT)


def _first(names: Sequence[str], count: int = 5, between: str = ', ') -> str:
    more = len(names) - count
    return between.join(names[:count]) + (f' and {more} more' if more > 0 else '')
