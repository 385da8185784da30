"""
Read the intact files of a rosbag2 by their own indexes.

The files say which topics they hold. ``metadata.yaml`` may be older than they are, so it decides
neither which messages are read nor in which order.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
import heapq
import operator
from pathlib import Path
from tempfile import TemporaryDirectory

from moss_perception.core.errors import BagError
from moss_perception.data.bags.databases import Database
from moss_perception.data.bags.mcap_index import McapIndex
from moss_perception.data.bags.topics import Channel, Row
from zstandard import ZstdDecompressor

_PIECE = 1 << 20
# A compressed file may grow to this many bytes, and to so many times its size.
_GROWS_TO, _GROWS_BY = 1 << 32, 100
# As large as no message of a camera.
_LARGEST_MESSAGE = 1 << 28


class Indexed:
    """
    The messages of intact files, in the order of time.

    :param files: ``.mcap`` or ``.db3``, or these compressed.
    :param compression: of :attr:`moss_perception.data.bags.metadata.Metadata.compression`.
    :ivar channels: the channels of all files.
    :ivar counts: number of messages by topic.
    :ivar start_ns: time of the first message, nanoseconds.
    :ivar end_ns: time of the last message, nanoseconds.
    :raises Exception: whatever the parsers raise for damaged bytes.
    """

    def __init__(self, files: Sequence[Path], compression: str = ''):
        self._stack = ExitStack()
        self._compressed = compression == 'message'
        self.channels: list[Channel] = []
        self.counts: Counter = Counter()
        try:
            if compression == 'file':
                folder = Path(self._stack.enter_context(TemporaryDirectory(prefix='moss_')))
                files = [_decompressed(x, folder) for x in files]
            self._readers = [self._opened(x) for x in files]
        except BaseException:
            self._stack.close()
            raise
        self.start_ns = min((x.start_ns for x in self._readers), default=2**63 - 1)
        self.end_ns = max((x.end_ns for x in self._readers), default=0)

    def _opened(self, file: Path) -> McapIndex | Database:
        reader = McapIndex(file) if file.suffix == '.mcap' else Database(file)
        self._stack.callback(reader.close)
        self.channels += reader.channels
        self.counts += reader.counts
        return reader

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Row]:
        """Yield topic, type, time of recording in nanoseconds and CDR bytes."""
        # The files of a recording may overlap in time, such as those of two recorders.
        for topic, kind, stamp_ns, raw in heapq.merge(
                *(x.messages(topics) for x in self._readers), key=operator.itemgetter(2)):
            yield topic, kind, stamp_ns, unpacked(raw) if self._compressed else raw

    def close(self) -> None:
        """Close the files."""
        self._stack.close()


def unpacked(raw: bytes) -> bytes:
    """
    Decompress a message.

    :raises BagError: if it is too large.
    """
    with ZstdDecompressor().stream_reader(raw) as reader:
        whole = reader.read(_LARGEST_MESSAGE)
        if reader.read(1):
            raise BagError(f'a message takes more than {_LARGEST_MESSAGE} bytes when it is '
                           'decompressed')
    return whole


def _decompressed(file: Path, folder: Path) -> Path:
    target, left = folder / file.name.removesuffix('.zstd'), (
        _GROWS_TO + _GROWS_BY * file.stat().st_size)
    with file.open('rb') as source, target.open('wb') as sink:
        reader = ZstdDecompressor().stream_reader(source, read_across_frames=True)
        while piece := reader.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise BagError(f'{file.name} grows to more than {target.stat().st_size} bytes '
                               'when it is decompressed')
            sink.write(piece)
    return target
