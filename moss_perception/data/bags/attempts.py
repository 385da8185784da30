"""
A folder of attempts: a rosbag2 that has one MCAP file for each finished attempt.

A file appears under its name only once it is complete and on the disk, and ``metadata.yaml`` lists
it after that. Whatever ends the recorder, the finished attempts stay readable, and an unfinished
one is not part of the recording.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
import fcntl
import json
import os
from pathlib import Path
import re
import shutil
from typing import Any

from mcap.reader import make_reader
from moss_perception.core.errors import BagError
from moss_perception.core.files import replaced
from moss_perception.data.bags.metadata import custom_data
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.data.outcomes import Outcome
import yaml

GROUPS = 'moss_perception.groups'
"""Name under which ``metadata.yaml`` has the group labels of the attempts, as JSON."""

_NAME = re.compile(r'attempt_(\d{4,})\.mcap')
_UNFINISHED = '.attempt_'


class AttemptFolder:
    """
    The recorded attempts in a folder; a context manager that keeps other recorders out.

    A folder that has attempts already is continued.

    :param path: the folder; created if missing, and removed again if it has no attempts.
    :ivar outcomes: outcomes of the finished attempts, in order.
    :ivar unfinished: number of attempts that an earlier recorder left unfinished; on entry their
        files are removed.
    :raises BagError: on entry, if it can't be used.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.outcomes: list[Outcome] = []
        self.unfinished = 0
        self._files: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> 'AttemptFolder':
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise BagError(f"{self.path} can't be used: {error.strerror}: expected a folder for "
                           'attempts') from error
        try:
            self._open()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)
        try:
            # Only an empty folder can be removed.
            self.path.rmdir()
        except OSError:
            return

    @property
    def next_number(self) -> int:
        """The number of the next attempt, from 1 on."""
        return 1 + max((_number(name) for name in self._files), default=0)

    def begin(self, topics: Iterable[tuple[str, str]] = ()) -> 'AttemptWriter':
        """
        Begin the file of the next attempt.

        :param topics: topics and types that it has even without a message.
        :raises BagError: if it can't be written.
        """
        writer = AttemptWriter(self, f'attempt_{self.next_number:04d}')
        writer.open()
        for topic, kind in topics:
            writer.add_topic(topic, kind)
        return writer

    def add(self, file: Path) -> None:
        """
        Take over the complete file of an attempt: both the file and the metadata, or neither.

        :raises OSError: if it can't be moved, or the metadata can't be written.
        """
        target = self.path / f'{file.stem}.mcap'
        files = {**self._files, target.name: _information(file)}
        _sync(file)
        with replaced(self.path / 'metadata.yaml') as partial:
            partial.write_text(_merged(files))
            _sync(partial)
            file.rename(target)
        _sync(self.path)
        self._files = files

    def _open(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BagError(f'{self.path} is in use by another recorder: expected a folder of its '
                           'own for each') from error
        names = sorted(x.name for x in self.path.iterdir())
        strange = [x for x in names if x.endswith(('.mcap', '.db3')) and not _NAME.fullmatch(x)]
        if strange:
            raise BagError(f'{self.path} holds {strange[0]}, which is no attempt: expected an '
                           'empty folder, or one of earlier attempts')
        for name in names:
            if name.startswith(_UNFINISHED):
                shutil.rmtree(self.path / name, ignore_errors=True)
                self.unfinished += 1
        attempts = sorted(filter(_NAME.fullmatch, names), key=_number)
        self._files = {name: _information(self.path / name) for name in attempts}
        if not self._files:
            return
        # A recorder that was killed may have left a complete file that isn't listed.
        with replaced(self.path / 'metadata.yaml') as partial:
            partial.write_text(_merged(self._files))
        with Recording(self.path) as recording:
            self.outcomes = recording.outcomes(next(
                x.name for x in recording.topics.values() if x.name.endswith('/grasp_outcome')))


class AttemptWriter(RecordingWriter):
    """
    Writes the file of one attempt; :meth:`finish` adds it to its folder.

    :param folder: the folder of the attempts.
    :param name: name of the file, without its suffix.
    """

    def __init__(self, folder: AttemptFolder, name: str):
        super().__init__(folder.path / name, topics=())
        self._attempts = folder

    def label(self, number: int, labels: dict[str, str]) -> None:
        """Store the group labels of the attempt; those without a value are left out."""
        self.note(GROUPS, json.dumps({str(number): {
            name: value for name, value in labels.items() if value}}))

    def _place(self, complete: Path) -> None:
        self._attempts.add(complete / f'{complete.name}.mcap')


def groups_of(path: Path | str) -> dict[int, dict[str, str]]:
    """
    Read the group labels of recorded attempts, such as ``day``, ``object`` and ``operator``.

    :param path: the folder of a recording, or a file in it.
    :returns: labels by the number of the attempt; empty if the recording has none.
    :raises BagError: if they can't be read.
    """
    folder = Path(path).parent if Path(path).is_file() else Path(path)
    text = custom_data(folder).get(GROUPS, '{}')
    try:
        return {int(number): dict(labels) for number, labels in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BagError(f"{path}: the group labels can't be read: {error}") from error


def labels_of(recording: Recording, outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """
    Return the group labels of attempts: those of the recorded attempt in which each was decided.

    :param outcomes: recorded, or of a table, whose rows have numbers of their own.
    :raises BagError: if labels or recorded outcomes can't be read.
    """
    known = groups_of(recording.path)
    topic = next((x.name for x in recording.topics.values()
                  if x.name.endswith('/grasp_outcome')), None)
    if not known or topic is None:
        return [{} for _ in outcomes]
    recorded = recording.outcomes(topic)
    return [next((known.get(one.attempt, {}) for one in recorded
                  if one.start_ns <= outcome.decision_ns <= one.end_ns), {})
            for outcome in outcomes]


def counts_of(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Count the attempts by outcome: ``succeeded``, ``failed`` or ``not executed``."""
    return Counter('succeeded' if x.success else 'failed' if x.executed else 'not executed'
                   for x in outcomes)


def _number(name: str) -> int:
    found = _NAME.fullmatch(name)
    assert found is not None  # other names are refused
    return int(found[1])


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _information(file: Path) -> dict[str, Any]:
    """Read what the writer has stored in an attempt's file, as ``metadata.yaml`` has it."""
    try:
        with file.open('rb') as stream:
            texts = {record.name: record.metadata.get('serialized_metadata', '')
                     for record in make_reader(stream).iter_metadata()}
        return dict(yaml.safe_load(texts['rosbag2']))
    except Exception as error:  # damaged bytes make a parser raise anything
        raise BagError(f'{file} is damaged: {error}: expected a complete attempt; move it to '
                       'another folder') from error


def _merged(files: dict[str, dict[str, Any]]) -> str:
    """Write ``metadata.yaml`` for the files of all attempts."""
    topics: dict[str, dict[str, Any]] = {}
    groups: dict[str, Any] = {}
    listed = []
    for name, one in files.items():
        for topic in one['topics_with_message_count']:
            known = topics.setdefault(topic['topic_metadata']['name'],
                                      {**topic, 'message_count': 0})
            known['message_count'] += topic['message_count']
        groups |= json.loads((one.get('custom_data') or {}).get(GROUPS, '{}'))
        listed.append({'path': name, **{key: one[key] for key in (
            'starting_time', 'duration', 'message_count')}})
    starts = [x['starting_time']['nanoseconds_since_epoch'] for x in listed]
    ends = [start + x['duration']['nanoseconds'] for start, x in zip(starts, listed, strict=True)]
    first = next(iter(files.values()))
    return yaml.safe_dump({'rosbag2_bagfile_information': first | {
        'relative_file_paths': list(files), 'files': listed,
        'starting_time': {'nanoseconds_since_epoch': min(starts)},
        'duration': {'nanoseconds': max(ends) - min(starts)},
        'message_count': sum(x['message_count'] for x in listed),
        'topics_with_message_count': list(topics.values()),
        'custom_data': {GROUPS: json.dumps(groups)}}}, sort_keys=False)
