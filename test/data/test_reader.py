"""Recordings are read lazily and completely, and what is wrong with one is said in one line."""

from dataclasses import replace
import shutil

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.outcomes import Outcome
import numpy as np
import pytest

STORAGES = ('mcap', 'sqlite3')


def refusal(path, use=lambda recording: None) -> str:
    with pytest.raises(BagError) as info:
        with Recording(path) as recording:
            use(recording)
    message = str(info.value)
    assert str(path) in message
    assert '\n' not in message
    return message


@pytest.mark.parametrize('storage', STORAGES)
def test_messages_come_byte_for_byte_in_order_of_recording(factory, make_bag, storage):
    entries = factory.camera_run(5)
    with Recording(make_bag(entries, storage=storage)) as recording:
        assert list(recording.messages()) == [
            (x.topic, x.type, x.stamp_ns, x.raw) for x in entries]
        assert [x[3] for x in recording.messages(['/notes'])] == [
            x.raw for x in entries if x.topic == '/notes']
        assert recording.message_count == 9
        assert (recording.start_ns, recording.end_ns) == (
            entries[0].stamp_ns, entries[-1].stamp_ns)


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('form', ['file', 'folder without metadata'])
def test_a_bare_file_is_enough(factory, make_bag, storage, form):
    entries = factory.camera_run(3)
    folder = make_bag(entries, storage=storage)
    (folder / 'metadata.yaml').unlink()
    path = next(folder.iterdir()) if form == 'file' else folder
    with Recording(path) as recording:
        assert [x[3] for x in recording.messages()] == [x.raw for x in entries]
        assert recording.image_topic().name == '/image'


def test_a_topic_tells_its_type_count_and_offered_qos(factory, make_bag):
    offers = {'/image': factory.qos('BEST_EFFORT'), '/notes': factory.qos(
        durability='TRANSIENT_LOCAL')}
    with Recording(make_bag(factory.camera_run(3), offers=offers)) as recording:
        topics = recording.topics
    assert topics['/image'].type == 'sensor_msgs/msg/Image'
    assert (topics['/image'].count, topics['/notes'].count) == (3, 2)
    assert (topics['/image'].reliable, topics['/image'].transient_local) == (False, False)
    assert (topics['/notes'].reliable, topics['/notes'].transient_local) == (True, True)


def test_unrecorded_qos_is_none(factory, make_bag):
    with Recording(make_bag(factory.camera_run(1))) as recording:
        assert recording.topics['/image'].reliable is None


@pytest.mark.parametrize('name', [None, '/camera', 'camera', '/camera/compressed'])
def test_the_image_topic_is_found_with_or_without_its_transport(factory, make_bag, name):
    entries = [factory.compressed(factory.START_NS, b'x', '/camera/compressed')]
    with Recording(make_bag(entries)) as recording:
        assert recording.image_topic(name).name == '/camera/compressed'


def test_a_depth_camera_beside_the_colour_one_is_not_ambiguous(factory, make_bag):
    # Named as to mislead: what counts is the encoding.
    entries = [factory.image(factory.START_NS, '/a', encoding='16UC1'),
               factory.image(factory.START_NS, '/depth_camera/colour'),
               factory.compressed(factory.START_NS, b'x', '/b', '16UC1; compressedDepth png')]
    with Recording(make_bag(entries)) as recording:
        assert recording.image_topic().name == '/depth_camera/colour'


def test_several_image_topics_are_listed(factory, make_bag):
    entries = [factory.image(factory.START_NS, x) for x in ('/left', '/right')]
    message = refusal(make_bag(entries), lambda recording: recording.image_topic())
    assert '/left' in message
    assert '/right' in message


def test_a_wrong_image_topic_is_refused_with_those_there(factory, make_bag):
    message = refusal(
        make_bag(factory.camera_run(1)), lambda recording: recording.image_topic('/nose'))
    assert '/nose' in message
    assert '/image' in message


def test_a_bag_without_images_is_refused_with_what_is_there(factory, make_bag):
    bag = make_bag([factory.text(1, 'x')])
    message = refusal(bag, lambda recording: recording.image_topic())
    assert '/notes (std_msgs/msg/String, 1)' in message
    assert 'sensor_msgs/msg/Image' in message


def test_an_image_topic_without_messages_does_not_count(factory, make_bag):
    bag = make_bag(factory.camera_run(1), empty_topics=(('/spare', 'sensor_msgs/msg/Image'),))
    with Recording(bag) as recording:
        assert recording.image_topic().name == '/image'


@pytest.mark.parametrize('storage', STORAGES)
def test_a_bag_without_messages_is_refused(make_bag, storage):
    bag = make_bag([], storage=storage, empty_topics=(('/image', 'sensor_msgs/msg/Image'),))
    assert 'found none' in refusal(bag, lambda recording: list(recording.messages()))


def test_a_missing_path_is_refused(tmp_path):
    assert 'no such recording' in refusal(tmp_path / 'missing')


def test_what_is_no_bag_is_refused(tmp_path):
    (tmp_path / 'film.mp4').write_bytes(b'film')
    assert 'no rosbag2' in refusal(tmp_path / 'film.mp4')
    assert 'metadata.yaml' in refusal(tmp_path)


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('part', [0.0, 0.001, 0.3, 0.6, 0.97])
def test_a_truncated_file_is_refused(factory, make_bag, storage, part):
    bag = make_bag([factory.image(factory.START_NS + i, side=64) for i in range(20)],
                   storage=storage)
    file = next(x for x in bag.iterdir() if x.suffix in ('.mcap', '.db3'))
    data = file.read_bytes()
    file.write_bytes(data[:int(part * len(data))])
    assert 'damaged or cut off' in refusal(file, lambda recording: list(recording.messages()))


def test_bytes_changed_inside_are_noticed_or_harmless(factory, make_bag):
    bag = make_bag([factory.image(factory.START_NS + i) for i in range(20)])
    file = next(x for x in bag.iterdir() if x.suffix == '.mcap')
    whole = file.read_bytes()
    rng = np.random.default_rng(5)
    for at in rng.integers(0, len(whole), 60):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:])
        try:
            with Recording(bag) as recording:
                for _ in recording.messages():
                    pass
        except BagError as error:
            assert '\n' not in str(error)


def test_spoilt_metadata_is_refused(factory, make_bag):
    bag = make_bag(factory.camera_run(1))
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information: [')
    assert 'damaged' in refusal(bag)


def test_split_files_without_metadata_ask_for_a_reindex(factory, make_bag):
    bag = make_bag(factory.camera_run(1))
    (bag / 'metadata.yaml').unlink()
    file = next(bag.iterdir())
    shutil.copy(file, bag / 'other.mcap')
    assert 'reindex' in refusal(bag)


def test_messages_are_deserialised_by_their_type(factory, make_bag):
    with Recording(make_bag([factory.image(factory.START_NS, fill=7)])) as recording:
        ((_, msgtype, _, raw),) = recording.messages()
        message = recording.deserialize(raw, msgtype)
    assert (message.encoding, message.width, message.data[0]) == ('rgb8', 4, 7)
    assert message.header.frame_id == 'camera_optical_frame'


def test_wrong_bytes_and_unknown_types_are_refused(factory, make_bag):
    bag = make_bag([factory.text(1, 'x')])
    assert 'sensor_msgs/msg/Image' in refusal(
        bag, lambda recording: recording.deserialize(b'\0\1\0\0\1', 'sensor_msgs/msg/Image'))
    assert 'no definition' in refusal(
        bag, lambda recording: recording.deserialize(b'', 'a/msg/B'))


def test_a_strange_type_does_not_stop_the_others(factory, tmp_path):
    with Recording(factory.foreign_bag(tmp_path / 'bag')) as recording:
        assert [x[0] for x in recording.messages()] == ['/strange', '/notes']
        ((_, msgtype, _, raw),) = recording.messages(['/notes'])
        assert recording.deserialize(raw, msgtype).data == 'known'


VALUES = {
    'attempt': '3', 'start': '1700000000.000000001', 'decision': '1700000001.5',
    'end': '1700000002.000000000', 'success': 'true', 'domain': 'plain', 'motion': 'follow',
    'object': 'box'}


def test_outcomes_are_read_to_the_nanosecond(factory, make_bag):
    entries = [factory.outcome(factory.START_NS, **VALUES),
               factory.outcome(factory.START_NS + 1, **(VALUES | {'success': 'false'}))]
    with Recording(make_bag(entries)) as recording:
        first, second = recording.outcomes()
    assert first == Outcome(
        3, 1_700_000_000_000_000_001, 1_700_000_001_500_000_000, 1_700_000_002_000_000_000,
        True, 'plain', 'follow', 'box')
    assert second.success is False


@pytest.mark.parametrize(('key', 'value', 'named'), [
    ('success', 'True', "'True'"), ('start', 'soon', "'soon'"), ('attempt', 'x', "'x'")])
def test_a_wrong_outcome_names_its_value(factory, make_bag, key, value, named):
    bag = make_bag([factory.outcome(factory.START_NS, **(VALUES | {key: value}))])
    assert named in refusal(bag, lambda recording: recording.outcomes())


def test_an_outcome_without_a_value_names_its_key(factory, make_bag):
    values = {key: value for key, value in VALUES.items() if key != 'decision'}
    bag = make_bag([factory.outcome(factory.START_NS, **values)])
    assert 'decision' in refusal(bag, lambda recording: recording.outcomes())


def test_selected_grasps_keep_stamp_and_pose(factory, make_bag):
    grasp = factory.selected(factory.START_NS + 5, (0.1, -0.2, 0.6), (0.0, 0.0, 0.6, 0.8))
    with Recording(make_bag([grasp])) as recording:
        grasp, = recording.executed()
        stamp_ns, position, quaternion = grasp.stamp_ns, grasp.position, grasp.quaternion
    assert stamp_ns == factory.START_NS + 5
    np.testing.assert_array_equal(position, (0.1, -0.2, 0.6))
    np.testing.assert_array_equal(quaternion, (0.0, 0.0, 0.6, 0.8))


def test_candidates_are_found_by_name_or_as_the_only_ones(factory, make_bag):
    start = factory.START_NS
    one, other, default = (factory.candidates(start + n, name)
                           for n, name in enumerate(('/a', '/b', '/grasp_candidates')))
    for n, (entries, name, expected) in enumerate((
            ([one], None, '/a'), ([one, other], 'b', '/b'), ([one, default], None, default.topic),
            ([one], '', None), ([factory.image(start)], None, None))):
        with Recording(make_bag(entries, str(n))) as recording:
            assert recording.candidates_topic(name) == expected
    several = make_bag([one, other])
    assert 'name one, expected one of /a, /b' in refusal(several, lambda x: x.candidates_topic())
    assert 'no grasp candidates on /c; expected one of /a, /b' in refusal(
        several, lambda x: x.candidates_topic('c'))
    assert 'found /a (geometry_msgs/msg/PoseArray, 1)' in refusal(
        several, lambda x: x.outcomes('/typo'))


def test_executed_grasps_are_also_on_another_topic(factory, make_bag):
    grasp = factory.selected(factory.START_NS, (0.1, 0.2, 0.5), (0.0, 0.0, 0.0, 1.0))
    bag = make_bag([replace(grasp, topic='/goal')])
    with Recording(bag) as recording:
        assert recording.executed() == []
        assert [x.stamp_ns for x in recording.executed('goal')] == [factory.START_NS]
    assert 'no executed grasps on /typo; expected one of /goal' in refusal(
        bag, lambda recording: recording.executed('/typo'))


def test_unlabelled_recordings_have_no_outcomes(factory, make_bag):
    with Recording(make_bag(factory.camera_run(1))) as recording:
        assert recording.outcomes() == []
        assert recording.executed() == []
