"""Which set of candidates the recorder takes an executed grasp to be of."""

from types import SimpleNamespace

from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion
from moss_perception.data.bags.run_up import Received
from moss_perception.data.closings import Closings
from moss_perception.ros.common.conversions import header
from moss_perception.ros.recorder.attempts import Attempts
from moss_perception.ros.recorder.settings import RecorderSettings
from moss_perception.ros.recorder.stream import Stream

GRASP = Pose(position=Point(x=0.1, y=0.0, z=0.5), orientation=Quaternion(w=1.0))
OTHER = Pose(position=Point(x=-0.2, y=0.1, z=0.7), orientation=Quaternion(w=1.0))


def candidate(*sets):
    """Return which candidate an executed grasp is, after sets of a stamp and poses."""
    stream = Stream(Closings(0.0))
    for stamp_ns, poses in sets:
        stream.candidates(PoseArray(header=header(stamp_ns, 'camera'), poses=poses))
    stream.executed(PoseStamped(header=header(10, 'camera'), pose=GRASP), 10)
    return stream.decision(0).candidate


def test_it_is_of_the_newest_set():
    assert candidate((1, [GRASP]), (2, [OTHER, GRASP])) == 1
    assert candidate((2, [OTHER, GRASP]), (1, [GRASP])) == 1


def test_of_equal_stamps_the_newest_is_the_last_received():
    assert candidate((5, [GRASP]), (5, [OTHER, GRASP])) == 1


def test_a_refused_set_retires_the_one_that_it_replaces():
    assert candidate((5, [GRASP]), (0, [OTHER])) is None


def test_a_set_that_comes_after_the_image_of_the_decision_was_not_scored_with_it():
    stream = Stream(Closings(0.0))
    for stamp_ns, poses in ((5, [OTHER, GRASP]), (10, [GRASP, OTHER])):
        stream.image(stamp_ns, 'camera', stamp_ns)
        stream.candidates(PoseArray(header=header(stamp_ns, 'camera'), poses=poses))
    for stamp_ns in (10, 11):
        stream.executed(PoseStamped(header=header(stamp_ns, 'camera'), pose=GRASP), stamp_ns)
    # The image of the stamp 11 has not come: then the newest set is taken.
    assert [stream.decision(n).candidate for n in (10, 11)] == [1, 0]


def test_candidates_of_another_clock_are_noticed():
    stream = Stream(Closings(0.0))
    for n in range(1, 5):
        stream.candidates(PoseArray(header=header(n * 10**9 + 5 * 10**8, 'camera')))
        stream.image(n * 10**9, 'camera', n * 10**9)
    line, = stream.stamps.apart()
    assert 'stamped 0.500 s ahead of the images' in line


def tf(*pairs):
    """Make a message of tf from frames, each with its parent."""
    return SimpleNamespace(transforms=[
        SimpleNamespace(header=SimpleNamespace(frame_id=parent), child_frame_id=child)
        for child, parent in pairs])


def test_grasps_in_a_frame_that_tf_does_not_connect_with_the_images_are_noticed():
    stream = Stream(Closings(0.0))
    stream.candidates(PoseArray(header=header(1, 'base_link')))
    assert stream.unplaced() == []
    stream.image(1, 'camera', 1)
    line, = stream.unplaced()
    assert line.startswith("the candidates are in the frame 'base_link', and no tf has come that "
                           "connects it with 'camera', the frame of the images")
    stream.executed(PoseStamped(header=header(1, 'tool'), pose=GRASP), 1)
    assert len(stream.unplaced()) == 2
    stream.frames.add(tf(('camera', 'wrist'), ('/wrist', 'base_link')))
    line, = stream.unplaced()
    assert line.startswith("the executed grasps are in the frame 'tool'")
    # A loop ends, too.
    stream.frames.add(tf(('base_link', 'world'), ('tool', 'world'), ('world', 'tool')))
    assert stream.unplaced() == []
    stream.candidates(PoseArray(header=header(2, 'camera')))
    stream.executed(PoseStamped(header=header(2, 'camera'), pose=GRASP), 2)
    assert stream.unplaced() == []


def test_transforms_that_are_repeated_for_days_are_not_kept_for_ever():
    attempts = Attempts(None, Stream(Closings(0.0)), lambda: RecorderSettings(out='folder'),
                        lambda: 1, None)
    for number in range(1500):
        attempts.take(Received('/tf_static', 'tf2_msgs/msg/TFMessage', b'%d' % number, number),
                      latched=True)
    kept = attempts._latched['/tf_static']
    assert len(kept) == 1000 and kept[-1].raw == b'1499'
