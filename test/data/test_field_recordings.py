"""Recordings as they come from the field: every message is read in order, or its loss is said."""

import shutil
import sqlite3
import struct

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
import yaml

MAGIC = b'\x89MCAP0\r\n'
COUNT = 12


def entries_of(factory, count=COUNT):
    found = []
    for n in range(count):
        stamp_ns = factory.START_NS + n * 1000
        found += [factory.image(stamp_ns, side=32, fill=n),
                  factory.candidates(stamp_ns + 10, '/grasp_candidates')]
    return found


def rows(entries):
    return [(x.topic, x.type, x.stamp_ns, x.raw) for x in entries]


def read(path, salvage=True):
    with Recording(path, salvage=salvage) as recording:
        messages = list(recording.messages())
        assert recording.message_count >= len(messages)
        assert sum(x.count for x in recording.topics.values()) == recording.message_count
        return messages, recording.damage, recording.lost_share


def text(value):
    return struct.pack('<I', len(value.encode())) + value.encode()


def record(kind, body):
    return struct.pack('<BQ', kind, len(body)) + body


def mcap(path, entries, factory, profile='ros2', encoding='cdr', schema='ros2msg'):
    """Write an MCAP file without chunks and index, in the order of the entries."""
    numbers = {x.topic: n for n, x in enumerate({x.topic: x for x in entries}.values(), 1)}
    out = [MAGIC, record(1, text(profile) + text('by hand'))]
    for one in {x.topic: x for x in entries}.values():
        definition, _ = factory.STORE.generate_msgdef(one.type)
        number = numbers[one.topic]
        out += [record(3, struct.pack('<H', number) + text(one.type) + text(schema)
                       + text(definition)),
                record(4, struct.pack('<HH', number, number) + text(one.topic) + text(encoding)
                       + struct.pack('<I', 0))]
    out += [record(5, struct.pack('<HIQQ', numbers[x.topic], 0, x.stamp_ns, x.stamp_ns) + x.raw)
            for x in entries]
    out += [record(15, struct.pack('<I', 0)), record(2, struct.pack('<QQI', 0, 0, 0)), MAGIC]
    path.write_bytes(b''.join(out))
    return path


def edit(bag, change):
    """Change what metadata.yaml says."""
    values = yaml.safe_load((bag / 'metadata.yaml').read_text())
    change(values['rosbag2_bagfile_information'])
    (bag / 'metadata.yaml').write_text(yaml.safe_dump(values))


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('topics', [('/grasp_candidates',), ('/image', '/grasp_candidates')])
def test_a_topic_whose_qos_differs_in_metadata_keeps_its_messages(
        factory, make_bag, storage, topics):
    entries = entries_of(factory)
    bag = make_bag(entries, storage=storage, offers={x: factory.qos() for x in (
        '/image', '/grasp_candidates')})

    def change(values):
        for one in values['topics_with_message_count']:
            if one['topic_metadata']['name'] in topics:
                one['topic_metadata']['offered_qos_profiles'] = ''
    edit(bag, change)
    assert read(bag, salvage=False) == (rows(entries), '', 0.0)


def test_a_topic_that_metadata_lacks_is_read(factory, make_bag):
    entries = entries_of(factory)
    bag = make_bag(entries)
    edit(bag, lambda values: values['topics_with_message_count'].pop(1))
    assert read(bag) == (rows(entries), '', 0.0)


def killed(bag, folder, log):
    """Leave the second half of a database in its log, as a recorder does that was killed."""
    live = sqlite3.connect(folder / 'live.db3')
    live.execute('PRAGMA journal_mode=WAL')
    live.execute('PRAGMA wal_autocheckpoint=0')
    with sqlite3.connect(next(bag.glob('*.db3'))) as whole:
        for (sql,) in whole.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL AND name "
                                    "NOT LIKE 'sqlite_%'"):
            live.execute(sql)
        for table in ('schema', 'topics', 'message_definitions', 'messages'):
            found = list(whole.execute(f'SELECT * FROM {table} ORDER BY 1'))
            for half in (found[:len(found) // 2], found[len(found) // 2:]):
                live.executemany(
                    f'INSERT INTO {table} VALUES ({",".join("?" * len(found[0]))})', half)
                live.commit()
                if table != 'messages' or half == found[:len(found) // 2]:
                    live.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    target = folder / 'killed'
    target.mkdir()
    for end in ('', '-wal', '-shm')[:2 + log]:
        shutil.copy(folder / f'live.db3{end}', target / f'bag_0.db3{end}')
    live.close()
    return target


@pytest.mark.parametrize('log', [0, 1], ids=['without shm', 'with shm'])
@pytest.mark.parametrize('form', ['folder', 'file'])
def test_a_write_ahead_log_is_read_and_left_alone(factory, make_bag, tmp_path, log, form):
    entries = entries_of(factory)
    bag = killed(make_bag(entries, storage='sqlite3'), tmp_path, log)
    before = {x.name: x.read_bytes() for x in bag.iterdir()}
    assert len(before['bag_0.db3-wal']) > 1000
    assert read(bag if form == 'folder' else bag / 'bag_0.db3') == (rows(entries), '', 0.0)
    assert {x.name: x.read_bytes() for x in bag.iterdir()} == before


def test_messages_written_topic_by_topic_come_in_the_order_of_time(factory, tmp_path):
    entries = entries_of(factory)
    by_topic = sorted(entries, key=lambda x: x.topic)
    path = mcap(tmp_path / 'late.mcap', by_topic, factory)
    for salvage in (True, False):
        assert read(path, salvage) == (rows(entries), '', 0.0)
    with Recording(path, salvage=True) as recording:
        assert [x[2] for x in recording.messages(['/image'])] == [
            x.stamp_ns for x in entries if x.topic == '/image']


def test_an_mcap_file_without_a_profile_is_whole(factory, tmp_path):
    entries = entries_of(factory)
    path = mcap(tmp_path / 'bare.mcap', entries, factory, profile='')
    assert read(path, salvage=False) == (rows(entries), '', 0.0)


@pytest.mark.parametrize('encoding, words', [
    ('ros1', 'a recording of ROS 1'),
    ('json', "no recording of ROS 2, its messages are in 'json'")])
def test_a_recording_of_something_else_is_named_in_one_line(factory, tmp_path, encoding, words):
    path = mcap(tmp_path / 'other.mcap', entries_of(factory), factory, encoding, encoding,
                f'{encoding}msg')
    for salvage in (True, False):
        with pytest.raises(BagError) as info, Recording(path, salvage=salvage):
            pass
        assert words in str(info.value) and 'damaged' not in str(info.value)
        assert '\n' not in str(info.value)


def test_a_bag_of_ros_1_is_named_with_its_converter(tmp_path):
    (tmp_path / 'old.bag').write_bytes(b'#ROSBAG V2.0\n')
    with pytest.raises(BagError, match='ROS 1.*rosbags-convert --src old.bag'):
        with Recording(tmp_path / 'old.bag', salvage=True):
            pass


def chunked(path, entries, factory):
    """Write an MCAP file with compressed chunks and an index."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        known = {x.topic: writer.add_connection(x.topic, x.type, typestore=factory.STORE)
                 for x in {x.topic: x for x in entries}.values()}
        for one in entries:
            writer.write(known[one.topic], one.stamp_ns, one.raw)
    return next(path.glob('*.mcap'))


def chunks_of(file):
    with Reader(file) as reader:
        return [(x.chunk_start_offset, x.chunk_length) for x in reader.storage.chunks]


def test_chunks_without_message_indexes_are_read(factory, tmp_path):
    entries = entries_of(factory)
    file = chunked(tmp_path / 'bag', entries, factory)
    data = bytearray(file.read_bytes())
    summary, = struct.unpack_from('<Q', data, len(data) - 8 - 20)
    kept, at = bytearray(), summary
    while at < len(data) - 8:
        kind, size = struct.unpack_from('<BQ', data, at)
        body = data[at + 9:at + 9 + size]
        if kind == 8:
            offsets, = struct.unpack_from('<I', body, 32)
            body = body[:32] + struct.pack('<I', 0) + body[36 + offsets:]
        kept += record(kind, bytes(body))
        at += 9 + size
    file.write_bytes(bytes(data[:summary]) + bytes(kept) + MAGIC)
    assert read(tmp_path / 'bag', salvage=False) == (rows(entries), '', 0.0)


def test_after_a_damaged_chunk_the_next_ones_are_read_and_the_loss_is_counted(factory, tmp_path):
    entries = [factory.image(factory.START_NS + n, side=400, fill=n) for n in range(30)]
    file = chunked(tmp_path / 'bag', entries, factory)
    chunks = chunks_of(file)
    assert len(chunks) > 3
    data = bytearray(file.read_bytes())
    at = data.index(b'zstd', chunks[1][0]) + 12
    data[at:at + 8] = b'\xff' * 8
    file.write_bytes(data)
    messages, damage, lost = read(tmp_path / 'bag')
    assert set(messages) < set(rows(entries)) and messages[-1] == rows(entries)[-1]
    assert messages == sorted(messages, key=lambda x: x[2])
    assert 0 < lost == pytest.approx(1 - len(messages) / len(entries))
    assert f'of 30 messages {len(messages)} are there' in damage
    with pytest.raises(BagError, match='damaged'):
        read(tmp_path / 'bag', salvage=False)


def test_files_that_overlap_in_time_are_merged(factory, make_bag):
    entries = entries_of(factory)
    bag = make_bag([x for x in entries if x.topic == '/image'])
    other = make_bag([x for x in entries if x.topic != '/image'], 'other')
    shutil.copy(next(other.glob('*.mcap')), bag / 'second.mcap')
    messages, damage, _ = read(bag)
    assert len(messages) == COUNT and 'second.mcap is not read' in damage
    edit(bag, lambda values: values['relative_file_paths'].append('second.mcap'))
    assert read(bag) == (rows(entries), '', 0.0)


def test_fewer_messages_than_promised_are_a_loss(factory, make_bag):
    entries = entries_of(factory)
    bag = make_bag(entries)
    edit(bag, lambda values: values.update(message_count=2 * len(entries)))
    messages, damage, lost = read(bag)
    assert (messages, lost) == (rows(entries), 0.5)
    assert f'of {2 * len(entries)} messages {len(entries)} are there, 50.0% are missing' in damage


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('more', [0, 18])
def test_a_topic_with_fewer_messages_than_promised_is_a_loss(factory, make_bag, storage, more):
    """Also where the total fits, since another topic has more than promised."""
    entries = [x for n, x in enumerate(entries_of(factory))
               if x.topic == '/image' or n < 6]
    bag = make_bag(entries, storage=storage)

    def promise(values):
        for topic in values['topics_with_message_count']:
            is_image = topic['topic_metadata']['name'] == '/image'
            topic['message_count'] = COUNT - 9 * (more > 0) if is_image else 30
        values['message_count'] = len(entries)

    edit(bag, promise)
    messages, damage, lost = read(bag)
    assert messages == rows(entries)
    assert lost == pytest.approx(27 / (27 + len(entries))) and '\n' not in damage
    assert 'are missing: 3 of 30 on /grasp_candidates' in damage
    with pytest.raises(BagError, match='fewer messages than metadata.yaml promises'):
        read(bag, salvage=False)


def test_a_file_that_promises_more_of_a_topic_than_it_holds_is_damaged(factory, tmp_path):
    file = chunked(tmp_path / 'bag', entries_of(factory), factory)
    bare = tmp_path / 'bare.mcap'
    data = bytearray(file.read_bytes())
    with Reader(file) as reader:
        images, = (x.id for x in reader.connections if x.topic == '/image')
        candidates, = (x.id for x in reader.connections if x.topic != '/image')
    for number, count in ((images, COUNT - 4), (candidates, COUNT + 4)):
        at = data.rindex(struct.pack('<HQ', number, COUNT))
        data[at:at + 10] = struct.pack('<HQ', number, count)
    bare.write_bytes(data)
    messages, damage, _ = read(bare)
    assert messages == rows(entries_of(factory))
    assert f'has {COUNT} messages of /grasp_candidates, and promises {COUNT + 4}' in damage
    with pytest.raises(BagError, match=f'{COUNT} of {COUNT + 4} on /grasp_candidates'):
        read(bare, salvage=False)


def test_messages_beside_indexed_chunks_are_read(factory, tmp_path):
    entries = entries_of(factory)
    file = chunked(tmp_path / 'bag', entries[:-1], factory)
    data = file.read_bytes()
    summary, statistics = struct.unpack_from('<QQ', data, len(data) - 8 - 20)
    end = data.rindex(struct.pack('<BQ', 15, 4), 0, summary)
    with Reader(file) as reader:
        number = next(x.id for x in reader.connections if x.topic == entries[-1].topic)
    one = entries[-1]
    more = record(5, struct.pack('<HIQQ', number, 0, one.stamp_ns, one.stamp_ns) + one.raw)
    tail = bytearray(data[end:])
    struct.pack_into('<QQ', tail, len(tail) - 8 - 20, summary + len(more),
                     statistics and statistics + len(more))
    file.write_bytes(data[:end] + more + bytes(tail))
    assert read(file)[0] == rows(entries)
