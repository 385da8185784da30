"""Read the intact part of a damaged, truncated or unindexed rosbag2 from front to back."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
import heapq
import operator
from pathlib import Path
from tempfile import TemporaryFile

from moss_perception.core.errors import BagError
from moss_perception.data.bags.databases import channels_of, read_database
from moss_perception.data.bags.indexed import unpacked
from moss_perception.data.bags.mcap_records import CutError, read_mcap
from moss_perception.data.bags.topics import Channel, Row


@dataclass
class Salvage:
    """
    The intact part of a recording.

    :ivar files: files with intact messages, and whether each has them in the order of time.
    :ivar channels: the channels of all files.
    :ivar counts: number of messages by topic.
    :ivar start_ns: time of the first message, nanoseconds.
    :ivar end_ns: time of the last message, nanoseconds.
    :ivar damage: description of each file's damage.
    :ivar compressed: whether each message is compressed by zstd.
    """

    files: dict[Path, bool] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    start_ns: int = 2**63 - 1
    end_ns: int = 0
    damage: list[str] = field(default_factory=list)
    compressed: bool = False

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Row]:
        """Yield topic, type, time of recording in nanoseconds and CDR bytes, in time's order."""
        streams = [_intact(file, topics) if in_order else _sorted(_intact(file, topics))
                   for file, in_order in self.files.items()]
        for topic, kind, stamp_ns, raw in heapq.merge(*streams, key=operator.itemgetter(2)):
            yield topic, kind, stamp_ns, unpacked(raw) if self.compressed else raw

    def close(self) -> None:
        """Do nothing: a file is open only while it is read."""


def salvage(files: Collection[Path]) -> Salvage:
    """
    Look through files, and note what they still give.

    :param files: ``.mcap`` or ``.db3``, in order; some may be missing.
    :raises BagError: if no message can be read, and not because whole files have none.
    """
    found, known = Salvage(), dict.fromkeys(channels_of(files))
    for file in files:
        newest_ns, in_order, before = 0, True, found.counts.total()
        try:
            for channel, stamp_ns, _ in _read(file):
                known[channel] = None
                found.counts[channel.topic] += 1
                found.start_ns = min(found.start_ns, stamp_ns)
                found.end_ns = max(found.end_ns, stamp_ns)
                in_order &= stamp_ns >= newest_ns
                newest_ns = stamp_ns
        except CutError as error:
            found.damage.append(f'{file.name} {error}')
        if found.counts.total() > before:
            found.files[file] = in_order
    if not found.files and (found.damage or not files):
        raise BagError('; '.join(found.damage) or 'no file of it is there')
    found.channels = list(known)
    return found


def _read(file: Path) -> Iterator[tuple[Channel, int, bytes]]:
    if not file.is_file():
        raise CutError('is missing')
    yield from read_mcap(file) if file.suffix == '.mcap' else read_database(file)


def _intact(file: Path, topics: Collection[str] | None) -> Iterator[Row]:
    try:
        for channel, stamp_ns, raw in _read(file):
            if topics is None or channel.topic in topics:
                yield channel.topic, channel.msgtype, stamp_ns, raw
    except CutError:
        return


def _sorted(rows: Iterator[Row]) -> Iterator[Row]:
    """Sort messages by time, in a file, since they may be larger than the memory."""
    with TemporaryFile(prefix='moss_') as spool:
        places = []
        for topic, kind, stamp_ns, raw in rows:
            places.append((stamp_ns, spool.tell(), len(raw), topic, kind))
            spool.write(raw)
        for stamp_ns, at, size, topic, kind in sorted(places, key=operator.itemgetter(0)):
            spool.seek(at)
            yield topic, kind, stamp_ns, spool.read(size)
