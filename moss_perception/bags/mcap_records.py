"""Read an MCAP file from front to back, as far as it goes, without its index."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

# No message is larger; a length beyond it is that of a damaged record.
_LARGEST = 2**31


class CutError(Exception):
    """A file ends, or makes no sense from here on."""


def read_mcap(file: Path) -> Iterator[tuple[dict[str, Any], int, bytes]]:
    """
    Yield channel, time of recording in nanoseconds and bytes of each message, as written.

    :param file: whole, cut off or damaged; of a chunk that is cut off, what can be unpacked.
    :raises CutError: where it can be read no further.
    """
    from mcap.records import Channel, Message, Schema
    schemas: dict[int, Schema] = {}
    channels: dict[int, dict[str, Any]] = {}
    # The last message before a cut may be short itself: it waits for the record after it.
    held = None
    for record in _records(file):
        if held is not None:
            yield held
            held = None
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel) and record.schema_id in schemas:
            channels[record.id] = _channel(record, schemas[record.schema_id])
        elif isinstance(record, Message) and record.channel_id in channels:
            held = channels[record.channel_id], record.log_time, record.data
    if held is not None:
        yield held


def _records(file: Path) -> Iterator[Any]:
    from mcap.stream_reader import StreamReader
    with file.open('rb') as stream:
        records = StreamReader(stream, record_size_limit=_LARGEST).records
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except Exception as error:  # damaged bytes make a parser raise anything
                reason = ' '.join(str(error).split()) or type(error).__name__
                raise CutError(f'is damaged or cut off: {reason}') from error
            yield record


def _channel(channel: Any, schema: Any) -> dict[str, Any]:
    return {'id': channel.id, 'topic': channel.topic, 'msgtype': schema.name,
            'definition': (schema.encoding, schema.data.decode(errors='replace')),
            'offers': channel.metadata.get('offered_qos_profiles', '')}
