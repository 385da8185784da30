"""Recordings from strangers: time and memory are bounded, and an error is one line."""

import os
import resource
import sqlite3
import struct

import lz4.frame
from moss_perception.core.errors import BagError
from moss_perception.data.bags import indexed, mcap_records
from moss_perception.data.bags.definitions import check_definition
from moss_perception.data.bags.metadata import Metadata
from moss_perception.data.bags.reader import Recording
import mutations
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
from zstandard import ZstdCompressor

MAGIC = b'\x89MCAP0\r\n'
START = 10**18


def text(value):
    return struct.pack('<I', len(value.encode())) + value.encode()


def record(kind, body):
    return struct.pack('<BQ', kind, len(body)) + body


def grown_mb(work):
    """Return by how many megabytes the process has grown at most."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


def refusal(path, salvage=True):
    """Return why a recording isn't read, in one line."""
    with pytest.raises(BagError) as info, Recording(path, salvage=salvage) as recording:
        for _ in recording.messages():
            pass
    assert '\n' not in str(info.value)
    return str(info.value)


def test_mutated_recordings_are_read_or_refused_in_one_line(tmp_path):
    results = mutations.run(100, 2, tmp_path)
    assert not results.failures
    assert results.counts.total() == 100 and results.grown_mb < 200
    assert min(results.counts[x] for x in ('in part', 'refused')) > 0


def message(number=1, stamp_ns=START, data=b'\0\1\0\0' + b'x' * 50):
    return record(5, struct.pack('<HIQQ', number, 0, stamp_ns, stamp_ns) + data)


def bomb(path, compression, grown, indexed, says=None, chunks=1):
    """Write an MCAP file of small chunks, each with a message that has so many zeros."""
    content = message(data=bytes(grown))
    data = {'zstd': ZstdCompressor().compress, 'lz4': lz4.frame.compress}[compression](content)
    size = len(content) if says is None else says
    body = (struct.pack('<QQQI', START, START, size, 0) + text(compression)
            + struct.pack('<Q', len(data)) + data)
    head = [MAGIC, record(1, text('ros2') + text('x')),
            record(3, struct.pack('<H', 1) + text('std_msgs/msg/String') + text('ros2msg')
                   + text('string data\n')),
            record(4, struct.pack('<HH', 1, 1) + text('/notes') + text('cdr')
                   + struct.pack('<I', 0))]
    chunk = record(6, body)
    at = [sum(map(len, head)) + n * len(chunk) for n in range(chunks)]
    whole = b''.join(head) + chunk * chunks + record(15, struct.pack('<I', 0))
    summary = b''.join([*head[2:], *(
        record(8, struct.pack('<QQQQ', START, START, x, len(chunk)) + struct.pack('<IQ', 0, 0)
               + text(compression) + struct.pack('<QQ', len(data), size)) for x in at),
        record(11, struct.pack('<QHIIIIQQ', chunks, 1, 1, 0, 0, chunks, START, START)
               + struct.pack('<IHQ', 10, 1, chunks))])
    path.write_bytes(whole + (summary if indexed else b'') + record(2, struct.pack(
        '<QQI', len(whole) if indexed else 0, 0, 0)) + MAGIC)
    return path


@pytest.mark.parametrize('indexed', [True, False])
@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_a_small_chunk_is_read_as_far_as_it_is_allowed_to_grow(
        tmp_path, monkeypatch, compression, indexed):
    small = bomb(tmp_path / 'small.mcap', compression, 2**20, indexed)
    with Recording(small) as recording:
        (_, _, _, raw), = recording.messages()
    assert raw == bytes(2**20)
    monkeypatch.setattr(mcap_records, '_LARGEST_CHUNK', 2**22)
    large = bomb(tmp_path / 'large.mcap', compression, 50 * 2**20, indexed)
    assert large.stat().st_size < 2**20

    def read():
        assert 'expected at most 4194304' in refusal(large)
    assert grown_mb(read) < 32


@pytest.mark.parametrize('indexed', [True, False])
@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_a_chunk_that_says_a_smaller_size_grows_no_further(tmp_path, compression, indexed):
    path = bomb(tmp_path / 'liar.mcap', compression, 50 * 2**20, indexed, says=4096)
    assert grown_mb(lambda: refusal(path)) < 32


@pytest.mark.parametrize('indexed', [True, False])
def test_many_chunks_that_grow_are_refused_before_they_fill_the_memory(
        tmp_path, monkeypatch, indexed):
    monkeypatch.setattr(mcap_records, '_GROWS_TO', 2**22)
    path = bomb(tmp_path / 'many.mcap', 'zstd', 2**21, indexed, chunks=30)
    if indexed:
        assert 'grows to more than' in refusal(path, salvage=False)
    else:
        with Recording(path, salvage=True) as recording:
            assert 'grows to more than' in recording.damage
            assert len(list(recording.messages())) < 30


def test_a_compressed_message_is_bounded(monkeypatch):
    monkeypatch.setattr(indexed, '_LARGEST_MESSAGE', 1000)
    assert indexed.unpacked(ZstdCompressor().compress(bytes(1000))) == bytes(1000)
    with pytest.raises(BagError, match='more than 1000 bytes'):
        indexed.unpacked(ZstdCompressor().compress(bytes(1001)))


def test_a_record_that_says_it_is_larger_than_the_file_takes_no_memory(tmp_path):
    path = bomb(tmp_path / 'bag.mcap', 'zstd', 100, False)
    data = bytearray(path.read_bytes())
    struct.pack_into('<Q', data, data.index(record(15, bytes(4))) + 1, 2**31 - 1)
    path.write_bytes(data)

    def read():
        with Recording(path, salvage=True) as recording:
            assert 'cut off' in recording.damage
    assert grown_mb(read) < 32


@pytest.mark.parametrize('definition, words', [
    ('string[4000000000] names\n', 'has more than 10000 values'),
    ('uint8[4000000000] data\n', 'an array of 4000000000 uint8'),
    ('Inner[1000] a\n' + '=' * 80 + '\nMSG: a_msgs/Inner\nPart[1000] b\n' + '=' * 80
     + '\nMSG: a_msgs/Part\nstring[1000] c\n', 'has more than 10000 values'),
    ('\n'.join(f'B a{n}' for n in range(30)) + ''.join(
        f'\n{"=" * 80}\nMSG: a_msgs/{x}\n' + '\n'.join(f'{y} a{n}' for n in range(30))
        for x, y in ('BC', 'CD', 'DE')) + f'\n{"=" * 80}\nMSG: a_msgs/E\nint8 x\n',
     'has more than 10000 values'),
    ('Outer x\n', 'contains itself'),
    ('Inner[] x\n' + '=' * 80 + '\nMSG: a_msgs/Inner\n# nothing\n', 'which is empty'),
    ('int8 x\n' * 50_000, 'characters: expected at most'),
    (('=' * 80 + '\n') * 600, 'types: expected at most 500'),
])
def test_a_definition_that_takes_all_memory_is_refused(definition, words):
    with pytest.raises(BagError, match=words):
        check_definition(definition, 'a_msgs/msg/Outer')


def test_the_definitions_of_all_common_messages_are_taken():
    store = get_typestore(Stores.ROS2_JAZZY)
    for name in store.fielddefs:
        if '/msg/' in name:
            check_definition(store.generate_msgdef(name)[0], name)


def test_a_recording_with_such_a_definition_is_refused_in_one_line(tmp_path):
    path = bomb(tmp_path / 'bag.mcap', 'zstd', 100, False)
    path.write_bytes(path.read_bytes().replace(
        text('string data\n'), text('string[9] a\n')).replace(b'[9] a', b'[9999999999] a'))
    data = path.read_bytes()
    at = data.index(b'string[')
    grown = len('string[9999999999] a\n') - len('string[9] a\n')
    fixed = bytearray(data)
    struct.pack_into('<I', fixed, at - 4, len('string[9999999999] a\n'))
    head = data.index(struct.pack('<H', 1) + text('std_msgs/msg/String')) - 8
    size, = struct.unpack_from('<Q', fixed, head)
    struct.pack_into('<Q', fixed, head, size + grown)
    path.write_bytes(fixed)
    with Recording(path) as recording, pytest.raises(BagError, match='values') as info:
        recording.deserialize(b'\0\1\0\0', 'std_msgs/msg/String')
    assert '\n' not in str(info.value)


ENDLESS = ('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) '
           "SELECT x AS id, 1 AS topic_id, x AS timestamp, x'00' AS data FROM c")


@pytest.mark.parametrize('change, words', [
    (f'DROP TABLE messages; CREATE VIEW messages AS {ENDLESS}', 'messages as a view'),
    (f'DROP TABLE schema; CREATE VIEW schema AS {ENDLESS}', 'schema as a view'),
    ('ALTER TABLE messages RENAME TO old; CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id '
     'INTEGER, timestamp INTEGER, data BLOB AS (zeroblob(1000000000))); '
     'INSERT INTO messages(id, topic_id, timestamp) SELECT id, topic_id, timestamp FROM old',
     'computed columns'),
    ("UPDATE messages SET timestamp = 'soon'", 'expected nanoseconds'),
    ("UPDATE messages SET data = 'text'", 'expected bytes'),
    ("UPDATE topics SET name = x'07'", 'expected texts'),
])
@pytest.mark.parametrize('salvage', [True, False])
def test_a_database_that_computes_its_rows_is_refused(factory, make_bag, change, words, salvage):
    file = next(make_bag(factory.camera_run(5), storage='sqlite3').glob('*.db3'))
    database = sqlite3.connect(file)
    database.executescript(change)
    database.close()
    assert words in refusal(file, salvage)


def test_pages_that_refer_to_one_another_are_not_followed_for_ever(factory, make_bag):
    file = next(make_bag(factory.camera_run(2000), storage='sqlite3').glob('*.db3'))
    data = bytearray(file.read_bytes())
    size = struct.unpack_from('>H', data, 16)[0]
    with sqlite3.connect(file) as database:
        root, = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'messages'").fetchone()
    page = (root - 1) * size
    assert data[page] == 5, 'the root of the table is no inner page'
    # Each cell and the last child lead to the page itself: SQLite stops at 20 levels, and here
    # each level has hundreds of branches.
    count, = struct.unpack_from('>H', data, page + 3)
    other = (root + 1) * size
    for n in range(count):
        at, = struct.unpack_from('>H', data, page + 12 + 2 * n)
        struct.pack_into('>I', data, page + at, root + 2)
    del other
    file.write_bytes(data)
    with Recording(file, salvage=True) as recording:
        assert recording.message_count < 10**6


def test_a_journal_that_names_another_file_is_not_followed(factory, make_bag, tmp_path):
    file = next(make_bag(factory.camera_run(5), storage='sqlite3').glob('*.db3'))
    victim = tmp_path / 'victim'
    victim.write_text('kept')
    journal = file.with_name(file.name + '-journal')
    journal.write_bytes(bytes(512) + str(victim).encode()
                        + b'\xd9\xd5\x05\xf9\x20\xa1\x63\xd7')
    assert 'several databases' in refusal(file)
    assert victim.read_text() == 'kept'


@pytest.mark.timeout(20)
@pytest.mark.parametrize('name', ['metadata.yaml', 'bag_0.mcap', 'bag_0.db3'])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, name):
    (tmp_path / 'bag').mkdir()
    os.mkfifo(tmp_path / 'bag' / name)
    if name != 'metadata.yaml':
        assert 'pipe' in refusal(tmp_path / 'bag' / name) or 'regular' in refusal(
            tmp_path / 'bag' / name)
        (tmp_path / 'bag' / 'metadata.yaml').write_text(
            f'rosbag2_bagfile_information: {{relative_file_paths: [{name}]}}')
        assert 'expected a regular file' in refusal(tmp_path / 'bag')
    else:
        refusal(tmp_path / 'bag')
    (tmp_path / 'zero.mcap').symlink_to('/dev/zero')
    assert 'regular' in refusal(tmp_path / 'zero.mcap')


def test_without_a_folder_for_temporary_files_a_log_is_named(factory, make_bag, monkeypatch):
    file = next(make_bag(factory.camera_run(5), storage='sqlite3').glob('*.db3'))
    file.with_name(file.name + '-wal').write_bytes(b'x' * 64)
    monkeypatch.setattr('tempfile.tempdir', '/nowhere')
    assert 'can not be merged into a copy of the database' in refusal(file)


LAUGHS = 'a0: &a0 [x, x]\n' + ''.join(
    f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * 9)}]\n' for n in range(1, 30))


@pytest.mark.timeout(20)
@pytest.mark.parametrize('yaml', [
    'x: ' + '[' * 5000, 'x: ' + '{a: ' * 5000,
    'rosbag2_bagfile_information: {message_count: .inf, relative_file_paths: [.nan, [a]]}',
    'rosbag2_bagfile_information: {message_count: 1e400, compression_mode: [.inf]}',
    f'{LAUGHS}rosbag2_bagfile_information: {{custom_data: {{moss: *a29}}, message_count: *a29}}',
    'a: &a {x: 1}\n' + 'rosbag2_bagfile_information: {<<: [*a, *a]}', '\0', '- 1', '&a [*a]',
    'rosbag2_bagfile_information: 2001-99-99', 'rosbag2_bagfile_information: &a [*a]'])
def test_metadata_that_never_ends_is_unknown(factory, make_bag, yaml):
    bag = make_bag(factory.camera_run(3))
    (bag / 'metadata.yaml').write_text(yaml)
    metadata = Metadata(bag)
    assert metadata.message_count is None and metadata.custom_data == {}
    try:
        with Recording(bag, salvage=True) as recording:
            assert len(list(recording.messages())) == 5
    except BagError as error:
        assert len(str(error)) < 1000 and '\n' not in str(error)


def test_a_list_of_offers_is_read_without_a_parser_that_nests(factory, make_bag):
    bag = make_bag(factory.camera_run(3), storage='sqlite3')
    file = next(bag.glob('*.db3'))
    with sqlite3.connect(file) as database:
        database.execute('UPDATE topics SET offered_qos_profiles = ?', ('[' * 100_000,))
    with Recording(file) as recording:
        assert len(list(recording.messages())) == 5
        assert recording.topics['/image'].reliable is None


def test_a_chunk_that_says_it_is_longer_than_any_file_is_damage(tmp_path):
    """Found by scripts/reliability.py coverage."""
    # Python can't even ask for so many bytes.
    chunk = struct.pack('<QQQI', START, START, 2**62, 0) + text('') + struct.pack('<Q', 2**64 - 1)
    (tmp_path / 'recording.mcap').write_bytes(MAGIC + record(6, chunk) + MAGIC)
    assert 'cut off within a chunk' in refusal(tmp_path / 'recording.mcap')


@pytest.mark.parametrize(('old', 'new', 'words'), [
    ('uint32 height', 'uint32 heigxt', "'height' of sensor_msgs/msg/Image: no such field"),
    ('uint32 height', 'string height', "'height' of sensor_msgs/msg/Image: another type"),
    ('string frame_id', 'string framexid', "'frame_id' of std_msgs/msg/Header: no such field")])
def test_an_image_that_its_recording_defines_without_a_field_is_refused(
        factory, tmp_path, old, new, words):
    """Found by scripts/reliability.py coverage."""
    image = factory.image(factory.START_NS)
    definition, digest = factory.STORE.generate_msgdef(image.type, ros_version=2)
    path = tmp_path / 'bag'
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection(image.topic, image.type, rihs01=digest,
                                      msgdef=definition.replace(old, new))
        writer.write(topic, image.stamp_ns, image.raw)
    with Recording(path) as recording:
        with pytest.raises(BagError, match='bad definition of sensor_msgs/msg/Image: ') as info:
            recording.deserialize(image.raw, image.type)
    assert words in str(info.value)


def test_what_a_damaged_database_says_stays_in_one_line(factory, make_bag):
    """Found by scripts/reliability.py coverage: SQLite quotes its own table's definition."""
    path = make_bag([factory.text(factory.START_NS, 'a note')], storage='sqlite3')
    file = next(path.glob('*.db3'))
    data = file.read_bytes()
    # No UTF-8 any more, so that SQLite quotes all of the table's definition.
    assert b'serialization_format' in data
    file.write_bytes(data.replace(b'serialization_format', b'serialization_form\x1b\xff', 1))
    assert '\x1b' not in refusal(file)
