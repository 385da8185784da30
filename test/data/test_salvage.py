"""Of a recording that is cut off, what is there is given, and how much is missing is said."""

import sqlite3

from mcap.writer import Writer as McapWriter
from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import offered
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

STORAGES = ('mcap', 'sqlite3')
# Large enough for several chunks, and for pages that are cut off.
SIDE, COUNT = 160, 60


def entries_of(factory):
    entries = [factory.text(factory.START_NS - 1, 'first')]
    for index in range(COUNT):
        stamp_ns = factory.START_NS + index * 1000
        entries.append(factory.image(stamp_ns, side=SIDE, fill=index))
        entries.append(factory.text(stamp_ns + 1, f'note {index}'))
    return entries


def cut(bag, part):
    file = next(x for x in bag.iterdir() if x.suffix in ('.mcap', '.db3'))
    data = file.read_bytes()
    file.write_bytes(data[:int(part * len(data))])
    return file


def read(path):
    with Recording(path, salvage=True) as recording:
        return list(recording.messages()), recording.lost_share, recording.damage


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('part', [0.4, 0.8])
def test_what_is_there_comes_unchanged_and_the_rest_is_counted(factory, make_bag, storage, part):
    entries = entries_of(factory)
    bag = make_bag(entries, storage=storage)
    cut(bag, part)
    messages, lost, damage = read(bag)
    whole = [(x.topic, x.type, x.stamp_ns, x.raw) for x in entries]
    assert messages == whole[:len(messages)]
    assert abs(len(messages) / len(whole) - part) < 0.15
    assert lost == pytest.approx(1 - len(messages) / len(whole))
    assert f'of {len(whole)} messages {len(messages)} are there' in damage and '\n' not in damage


@pytest.mark.parametrize('storage', STORAGES)
def test_messages_and_topics_of_a_cut_file_are_understood(factory, make_bag, storage):
    file = cut(make_bag(entries_of(factory), storage=storage), 0.5)
    (file.parent / 'metadata.yaml').unlink()
    with Recording(file, salvage=True) as recording:
        topic = recording.image_topic()
        images = [recording.deserialize(raw, kind)
                  for _, kind, _, raw in recording.messages([topic.name])]
        assert len(images) == topic.count > 10
        assert recording.start_ns == factory.START_NS - 1
        assert recording.end_ns <= factory.START_NS + COUNT * 1000
        assert recording.lost_share == 0 and 'is not known' in recording.damage
    assert [x.data[0] for x in images] == list(range(len(images)))


@pytest.mark.parametrize('storage', STORAGES)
def test_topics_of_a_cut_file_are_offered_as_those_of_the_whole(factory, make_bag, storage):
    offers = {'/image': factory.qos('BEST_EFFORT'), '/notes': factory.qos(
        durability='TRANSIENT_LOCAL')}
    bag = make_bag(entries_of(factory), storage=storage, offers=offers)
    with Recording(bag) as recording:
        whole = {x.name: (x.type, x.reliable, x.transient_local)
                 for x in recording.topics.values()}
    cut(bag, 0.5)
    with Recording(bag, salvage=True) as recording:
        assert recording.damage
        left = {x.name: (x.type, x.reliable, x.transient_local)
                for x in recording.topics.values()}
    assert left == whole
    assert {x[1:] for x in whole.values()} == {(False, False), (True, True)}


@pytest.mark.parametrize('text', ['', '[]', '{', 'nothing', '- {depth: 5}', '5'])
def test_what_says_nothing_of_offers_leaves_them_open(text):
    assert offered(text) == (None, None)


def test_a_compressed_chunk_that_is_cut_gives_its_beginning(factory, tmp_path):
    entries = entries_of(factory)
    writer = Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connections = {x.topic: writer.add_connection(x.topic, x.type, typestore=factory.STORE)
                       for x in entries[:2]}
        for item in entries:
            writer.write(connections[item.topic], item.stamp_ns, item.raw)
    cut(tmp_path / 'bag', 0.5)
    messages, lost, _ = read(tmp_path / 'bag')
    assert messages == [(x.topic, x.type, x.stamp_ns, x.raw) for x in entries[:len(messages)]]
    assert messages and 0 < lost < 1


def test_a_missing_file_of_several_is_a_loss(factory, make_bag):
    bag = make_bag(entries_of(factory))
    text = (bag / 'metadata.yaml').read_text()
    (bag / 'metadata.yaml').write_text(text.replace(
        '  relative_file_paths:\n', '  relative_file_paths:\n  - gone.mcap\n'))
    messages, lost, damage = read(bag)
    assert len(messages) == 2 * COUNT + 1 and lost == 0
    assert 'gone.mcap is missing' in damage


@pytest.mark.parametrize('storage', STORAGES)
def test_a_whole_recording_is_not_called_damaged(factory, make_bag, storage):
    messages, lost, damage = read(make_bag(entries_of(factory), storage=storage))
    assert (len(messages), lost, damage) == (2 * COUNT + 1, 0.0, '')


def test_a_whole_file_without_messages_and_index_is_not_called_damaged(tmp_path):
    """As of a recorder that received nothing, by a writer that adds no statistics."""
    file = tmp_path / 'recording.mcap'
    writer = McapWriter(str(file), use_chunking=False, use_statistics=False)
    writer.start()
    writer.finish()
    with Recording(file) as recording:
        assert recording.message_count == 0 and not recording.damage
        with pytest.raises(BagError, match='expected messages on any topic, found none'):
            list(recording.messages())


@pytest.mark.parametrize('storage', STORAGES)
def test_where_nothing_is_left_it_is_an_error(factory, make_bag, storage):
    file = cut(make_bag(entries_of(factory), storage=storage), 0.0001)
    with pytest.raises(BagError, match='nothing of it can be read'):
        read(file)


def test_what_is_no_recording_stays_an_error(tmp_path):
    with pytest.raises(BagError, match='no rosbag2'):
        read(tmp_path)


def test_bytes_changed_inside_are_noticed_or_harmless(factory, make_bag):
    bag = make_bag(entries_of(factory))
    file = next(x for x in bag.iterdir() if x.suffix == '.mcap')
    whole = file.read_bytes()
    for at in range(0, len(whole), len(whole) // 40):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:])
        try:
            read(bag)
        except BagError as error:
            assert '\n' not in str(error)


@pytest.mark.parametrize('rows', ['id % 3 = 0', 'topic_id = 3'])
def test_of_a_database_that_rows_were_deleted_from_the_rest_is_given(factory, make_bag, rows):
    entries = [*entries_of(factory), *(
        factory.outcome(factory.START_NS + n, attempt=str(n), start='1.0', decision='2.0',
                        end='3.0', success='true') for n in range(5))]
    bag = make_bag(entries, storage='sqlite3')
    with Recording(bag, salvage=True) as recording:
        assert (recording.lost_share, recording.damage) == (0.0, '')
        assert len(recording.outcomes()) == 5
    with sqlite3.connect(next(bag.glob('*.db3'))) as database:
        database.execute(f'DELETE FROM messages WHERE {rows}')
        (left,) = database.execute('SELECT COUNT(*) FROM messages').fetchone()
    messages, lost, damage = read(bag)
    assert len(messages) == left < len(entries)
    assert lost == pytest.approx(1 - left / len(entries))
    assert f'than metadata.yaml promises): of {len(entries)} messages {left} are there' in damage
    with Recording(bag, salvage=True) as recording:
        # The topic is there, even where all of its messages are gone.
        assert len(recording.outcomes('/grasp_outcome')) == (0 if 'topic' in rows else 3)
        assert recording.image_topic().count == sum(x[0] == '/image' for x in messages)
