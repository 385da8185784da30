"""
Write the conformance recordings of MCAP anew, from the JSON beside each.

Their repository stores the recordings with Git LFS. Where only the pointers came along, the JSON
has every field, and the pointer has the SHA-256 that the recording must have.
"""

import re
import struct
from typing import Any
import zlib

MAGIC = b'\x89MCAP0\r\n'
_PAD = b'\x01\xff\xff'
_POINTER = re.compile(rb'version https://git-lfs\S+/v1\noid sha256:([0-9a-f]{64})\n')
_NUMBERS = frozenset('BHIQ')
# Opcode of each record and its fields: a number of struct, a text, bytes with their length before
# them in four or eight bytes, the rest of the record, or a map.
_TEXT, _BYTES, _LONG_BYTES, _REST, _TEXTS, _OFFSETS = 'text', '4', '8', 'rest', 'texts', 'offsets'
_LAYOUT: dict[str, tuple[int, dict[str, str]]] = {
    'Header': (1, {'profile': _TEXT, 'library': _TEXT}),
    'Footer': (2, {'summary_start': 'Q', 'summary_offset_start': 'Q', 'summary_crc': 'I'}),
    'Schema': (3, {'id': 'H', 'name': _TEXT, 'encoding': _TEXT, 'data': _BYTES}),
    'Channel': (4, {'id': 'H', 'schema_id': 'H', 'topic': _TEXT, 'message_encoding': _TEXT,
                    'metadata': _TEXTS}),
    'Message': (5, {'channel_id': 'H', 'sequence': 'I', 'log_time': 'Q', 'publish_time': 'Q',
                    'data': _REST}),
    'Chunk': (6, {'start': 'Q', 'end': 'Q', 'size': 'Q', 'crc': 'I', 'compression': _TEXT,
                  'records': _LONG_BYTES}),
    'MessageIndex': (7, {'channel_id': 'H', 'records': _BYTES}),
    'ChunkIndex': (8, {'message_start_time': 'Q', 'message_end_time': 'Q',
                       'chunk_start_offset': 'Q', 'chunk_length': 'Q',
                       'message_index_offsets': _OFFSETS, 'message_index_length': 'Q',
                       'compression': _TEXT, 'compressed_size': 'Q', 'uncompressed_size': 'Q'}),
    'Attachment': (9, {'log_time': 'Q', 'create_time': 'Q', 'name': _TEXT, 'media_type': _TEXT,
                       'data': _LONG_BYTES}),
    'AttachmentIndex': (10, {'offset': 'Q', 'length': 'Q', 'log_time': 'Q', 'create_time': 'Q',
                             'data_size': 'Q', 'name': _TEXT, 'media_type': _TEXT}),
    'Statistics': (11, {'message_count': 'Q', 'schema_count': 'H', 'channel_count': 'I',
                        'attachment_count': 'I', 'metadata_count': 'I', 'chunk_count': 'I',
                        'message_start_time': 'Q', 'message_end_time': 'Q',
                        'channel_message_counts': _OFFSETS}),
    'Metadata': (12, {'name': _TEXT, 'metadata': _TEXTS}),
    'MetadataIndex': (13, {'offset': 'Q', 'length': 'Q', 'name': _TEXT}),
    'SummaryOffset': (14, {'group_opcode': 'B', 'group_start': 'Q', 'group_length': 'Q'}),
    'DataEnd': (15, {'data_section_crc': 'I'})}
_NEVER_PADDED = ('Footer', 'Message', 'Chunk', 'DataEnd')
_IN_CHUNK = ('Schema', 'Channel', 'Message')


def digest_of_pointer(data: bytes) -> str:
    """Return the SHA-256 that a pointer of Git LFS names; empty if the data is no pointer."""
    found = _POINTER.match(data)
    return found[1].decode() if found else ''


def rebuilt(expected: dict[str, Any]) -> bytes:
    """
    Write a recording.

    :param expected: the JSON of a conformance recording: its records but those of its chunk, and
        the features with which it was written.
    """
    features = expected['meta']['variant']['features']
    padded, chunked = 'pad' in features, 'ch' in features
    records = [(x['type'], dict(x['fields'])) for x in expected['records']]
    end = next(i for i, (name, _) in enumerate(records) if name == 'DataEnd')
    inner = [x for x in records[:end] if chunked and x[0] in _IN_CHUNK]
    outer = [x for x in records[:end] if x not in inner]
    parts = [MAGIC, *(record(*x, padded) for x in outer)]
    if chunked:
        parts += _chunk(inner, 'mx' in features, padded)
    parts += [record(*x, padded) for x in records[end:]]
    return b''.join([*parts, MAGIC])


def _chunk(records: list[tuple[str, dict]], with_index: bool, padded: bool) -> list[bytes]:
    """Write a chunk, uncompressed, and the indexes of its messages."""
    content, times = b'', []
    indexes: dict[int, list[tuple[int, int]]] = {}
    for name, fields in records:
        if name == 'Channel':
            indexes.setdefault(int(fields['id']), [])
        elif name == 'Message':
            times.append(int(fields['log_time']))
            indexes.setdefault(int(fields['channel_id']), []).append((times[-1], len(content)))
        content += record(name, fields, False)
    whole = record('Chunk', {
        'start': min(times, default=0), 'end': max(times, default=0), 'size': len(content),
        'crc': zlib.crc32(content), 'compression': '', 'records': content}, False)
    return [whole, *(record('MessageIndex', {
        'channel_id': number,
        'records': b''.join(struct.pack('<QQ', *entry) for entry in entries)}, padded)
        for number, entries in indexes.items() if with_index)]


def record(name: str, fields: dict[str, Any], padded: bool) -> bytes:
    """Write a record: opcode, length and fields, perhaps with unspecified bytes at its end."""
    opcode, layout = _LAYOUT[name]
    body = b''.join(_field(form, fields[key]) for key, form in layout.items())
    if name == 'Attachment':
        body += struct.pack('<I', zlib.crc32(body))
    if padded and name not in _NEVER_PADDED:
        body += _PAD
    return struct.pack('<BQ', opcode, len(body)) + body


def _field(form: str, value: Any) -> bytes:
    """Write a field; in the JSON, numbers are texts and bytes lists of them."""
    if form in _NUMBERS:
        return struct.pack(f'<{form}', int(value))
    if form == _TEXT:
        return _counted(value.encode())
    if form == _TEXTS:
        return _counted(b''.join(_field(_TEXT, x) for pair in value.items() for x in pair))
    if form == _OFFSETS:
        return _counted(b''.join(
            struct.pack('<HQ', int(key), int(count)) for key, count in value.items()))
    data = value if isinstance(value, bytes) else bytes(map(int, value))
    return data if form == _REST else _counted(data, 'I' if form == _BYTES else 'Q')


def _counted(data: bytes, form: str = 'I') -> bytes:
    return struct.pack(f'<{form}', len(data)) + data
