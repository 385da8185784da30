"""The conformance recordings of MCAP through the package's reader."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.data.bags.mcap_index import McapIndex
from moss_perception.data.bags.mcap_records import CutError, read_mcap
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import Channel

from reliability_parts.common import SHOWN
from reliability_parts.mcap_rebuilt import digest_of_pointer, rebuilt

REPOSITORY = 'https://github.com/foxglove/mcap'
_Rows = list[tuple[str, str, str, int, bytes]]


@dataclass
class Expected:
    """
    What a recording holds by the JSON beside it.

    :ivar rows: topic, type and encoding of each message, its time of recording and its bytes, as
        written.
    :ivar channels: topic, type and encoding of each channel.
    """

    rows: _Rows = field(default_factory=list)
    channels: set[tuple[str, str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, records: list[dict[str, Any]]) -> 'Expected':
        """Take in the records of the JSON."""
        found, schemas = cls(), {'0': ''}
        channels: dict[str, tuple[str, str, str]] = {}
        for name, fields in ((x['type'], dict(x['fields'])) for x in records):
            if name == 'Schema':
                schemas[fields['id']] = fields['name']
            elif name == 'Channel':
                channels[fields['id']] = (
                    fields['topic'], schemas[fields['schema_id']], fields['message_encoding'])
            elif name == 'Message':
                found.rows.append((*channels[fields['channel_id']], int(fields['log_time']),
                                   bytes(map(int, fields['data']))))
        found.channels = set(channels.values())
        return found


@dataclass
class Found:
    """
    What became of the recordings of one kind.

    :ivar counts: files, those read by their index, those read from front to back, that differ.
    :ivar not_by_index: why an index was not used.
    :ivar commands: what the commands say of it, which read ROS 2 alone.
    :ivar differences: file and difference.
    """

    counts: Counter = field(default_factory=Counter)
    not_by_index: Counter = field(default_factory=Counter)
    commands: Counter = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


def missing(folder: Path | None) -> str:
    """Return why this part can't run; empty if it can."""
    if folder is None:
        return ('--mcap DIR is missing: expected the folder tests/conformance/data of a clone of '
                f'{REPOSITORY}')
    if not _files(folder):
        return (f'--mcap {folder} has no */*.mcap with a JSON file beside it: expected '
                f'tests/conformance/data of {REPOSITORY}')
    return ''


def _files(folder: Path) -> list[Path]:
    return [x for x in sorted(folder.glob('*/*.mcap')) if x.with_suffix('.json').is_file()]


def run(folder: Path) -> dict[str, Any]:
    """
    Read each recording by its index and from front to back, and compare with its JSON.

    :param folder: ``tests/conformance/data`` of the repository of MCAP.
    :raises ValueError: if a recording has another digest than its pointer says.
    """
    kinds: dict[str, Found] = {}
    remade = 0
    with TemporaryDirectory(prefix='moss_mcap_') as scratch:
        for path in _files(folder):
            content = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
            file, by_us = _recording(path, content, Path(scratch))
            remade += by_us
            found = kinds.setdefault(path.parent.name, Found())
            compare(file, Expected.of(content['records']), found)
    together = Found()
    for found in kinds.values():
        together.counts.update(found.counts)
        together.not_by_index.update(found.not_by_index)
        together.commands.update(found.commands)
        together.differences += found.differences
    return {'recordings': together.counts['files'], 'rebuilt': remade,
            'kinds': {name: dict(x.counts) for name, x in kinds.items()},
            'not_by_index': dict(together.not_by_index.most_common()),
            'commands': dict(together.commands.most_common()),
            'differences': together.differences[:4 * SHOWN],
            'more_differences': max(0, len(together.differences) - 4 * SHOWN)}


def _recording(path: Path, content: dict[str, Any], scratch: Path) -> tuple[Path, bool]:
    """Return a recording, written anew if there is only a pointer to it."""
    wanted = digest_of_pointer(path.read_bytes())
    if not wanted:
        return path, False
    data, file = rebuilt(content), scratch / path.name
    if (digest := hashlib.sha256(data).hexdigest()) != wanted:
        raise ValueError(f'{path} is a pointer of Git LFS, and the recording made from its JSON '
                         f'has SHA-256 {digest}: expected {wanted}; try git lfs pull')
    file.write_bytes(data)
    return file, True


def compare(file: Path, expected: Expected, found: Found) -> None:
    """
    Read a recording in each way, and note what differs.

    :param found: is added to.
    """
    found.counts['files'] += 1
    problems = _problems(expected.rows, _front_to_back(file), 'from front to back')
    try:
        problems += _by_index(file, expected)
        found.counts['by_index'] += 1
    except CutError as error:
        found.not_by_index[str(error)] += 1
        found.counts['front_to_back'] += 1
    found.commands[_by_commands(file)] += 1
    found.counts['differ'] += bool(problems)
    found.differences += [f'{file.name}: {x}' for x in problems]


def _front_to_back(file: Path) -> _Rows | str:
    try:
        return [(*_named(channel), stamp_ns, raw) for channel, stamp_ns, raw in read_mcap(file)]
    except CutError as error:
        return str(error)


def _by_index(file: Path, expected: Expected) -> list[str]:
    """
    Compare what the index gives, in the order of time.

    :raises CutError: if the file has no index that lists all.
    """
    index = McapIndex(file)
    try:
        named = {x.topic: _named(x) for x in index.channels}
        rows = [(*named[topic], stamp_ns, raw) for topic, _, stamp_ns, raw in index.messages()]
        problems = _problems(sorted(expected.rows, key=lambda x: x[3]), rows, 'by the index')
        if expected.channels != (listed := set(named.values())):
            problems.append(f'by the index: channels {listed}, expected {expected.channels}')
        if index.counts.total() != len(expected.rows):
            problems.append(f'by the index: {index.counts.total()} promised')
        times = [x[3] for x in expected.rows]
        if times and (index.start_ns, index.end_ns) != (min(times), max(times)):
            problems.append(f'by the index: from {index.start_ns} to {index.end_ns} ns')
    finally:
        index.close()
    return problems


def _named(channel: Channel) -> tuple[str, str, str]:
    return channel.topic, channel.msgtype, channel.encoding


def _problems(expected: Iterable, rows: _Rows | str, how: str) -> list[str]:
    expected = list(expected)
    if rows == expected:
        return []
    if isinstance(rows, str):
        return [f'{how}: {rows}']
    return [f'{how}: {len(rows)} messages, expected {len(expected)}'
            if len(rows) != len(expected) else f'{how}: other messages than expected']


def _by_commands(file: Path) -> str:
    """Return what the commands say of a recording, without its name."""
    try:
        with Recording(file) as recording:
            return f'read, {recording.message_count} messages'
    except BagError as error:
        return str(error).replace(str(file), 'FILE').replace(file.name, 'FILE')
