"""The executed grasp is scored at the decision, whatever the candidates are; else it says why."""

from dataclasses import replace as changed

import cv2
from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.evaluation.attempts import executed_grasps
from moss_perception.evaluation.replay import replay
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest

START_NS, RATE_NS = 1_700_000_000_000_000_000, 100_000_000
PLACE, YAW = (-0.05, 0.01, 0.6), 1.2
FRAMES, DECISION, END = 26, 20, 24
DECIDED_NS = START_NS + DECISION * RATE_NS
TURN = (0.0, 0.0, float(np.sin(YAW / 2)), float(np.cos(YAW / 2)))


def at(index):
    return START_NS + index * RATE_NS


@pytest.fixture(scope='module')
def predictor(tiny_checkpoint):
    return Predictor.load(str(tiny_checkpoint), threads=1)


@pytest.fixture
def bag(factory, tmp_path):
    """Return a function that writes one attempt; its candidates are late, and other grasps."""
    def write(name='bag', place=PLACE, quaternion=TURN, stamp_ns=DECIDED_NS,
              topics=('/planner/grasp_goal',), frame_id='camera_optical_frame', proposals=True,
              late_s=0, **more):
        rng, entries = np.random.default_rng(3), []
        for index in range(FRAMES):
            jpeg = cv2.imencode('.jpg', rng.integers(0, 256, (40, 40, 3), np.uint8))[1].tobytes()
            entries += [factory.camera_info(at(index), '/camera_info'),
                        factory.compressed(at(index), jpeg)]
            if proposals and index % 5 == 0:
                entries.append(changed(factory.candidates(
                    at(index), '/planner/proposals'), stamp_ns=at(index) + 60_000_000))
        entries += [changed(factory.selected(stamp_ns, place, quaternion, topic, frame_id),
                            stamp_ns=at(DECISION) + 1) for topic in topics]
        times = {name: f'{at(n) // 10**9}.{at(n) % 10**9:09d}' for name, n in (
            ('start', 0), ('decision', DECISION), ('end', END))}
        entries.append(factory.outcome(at(END), attempt='4', success='true', **times, **more))
        entries = [changed(x, stamp_ns=x.stamp_ns + late_s * 10**9) for x in entries]
        return factory.write_bag(tmp_path / name, sorted(entries, key=lambda x: x.stamp_ns))
    return write


def only(record):
    (attempt,) = record.attempts
    return attempt


def test_candidates_that_are_late_others_or_absent_do_not_change_its_score(bag, predictor):
    late = only(replay(bag(), predictor))
    absent = only(replay(bag('absent', proposals=False), predictor))
    assert (late.source, late.why, late.expected) == ('executed', '', True)
    assert late.score == pytest.approx(absent.score, rel=1e-5) and late.score != only(
        replay(bag('none', topics=()), predictor)).score


def test_a_pose_without_a_stamp_has_that_of_its_recording(bag, predictor):
    found = only(replay(bag(stamp_ns=0), predictor))
    assert found.scored_executed
    # The recorder's clock may be another one than that of the stamps.
    assert only(replay(bag('late', stamp_ns=0, late_s=3600), predictor)).score == found.score


@pytest.mark.parametrize(('options', 'source', 'why'), [
    ({'place': (5.0, 0.0, 0.5)}, 'executed', 'its pose is outside the image'),
    ({'place': (0.0, 0.0, -0.5)}, 'executed', 'its pose is behind the camera'),
    ({'quaternion': (0.0, 0.0, 0.0, 0.0)}, 'executed', 'its orientation is no rotation'),
    ({'place': (float('nan'), 0.0, 0.5)}, 'executed', 'its pose is not finite'),
    ({'frame_id': 'base_link'}, 'default', "its pose is in frame 'base_link', the images are in"),
    ({'stamp_ns': at(0) + 3600 * 10**9}, 'default', '3598.000 s after its decision'),
    ({'topics': ('/tool_pose',)}, 'default', 'poses on /tool_pose: name one with --executed-'),
    ({'topics': ()}, 'default', 'the recording has no executed grasps'),
    ({'topics': (), 'candidate': '7'}, 'default', 'its outcome names candidate 7 of 1')])
def test_an_executed_grasp_without_a_score_says_why(bag, predictor, options, source, why):
    found = replay(bag(**options), predictor)
    attempt = only(found)
    assert attempt.source == source and why in attempt.why and not attempt.scored_executed
    assert attempt.scored_elsewhere == (source == 'default')
    assert any(why in note for note in found.notes)


def test_a_topic_is_found_by_its_name_or_has_to_be_named(bag, predictor):
    two = bag(topics=('/arm/grasp', '/planner/executed_pose', '/tool_pose'))
    with pytest.raises(BagError, match='several topics of executed grasps: name one, expected '
                                       'one of /arm/grasp, /planner/executed_pose'):
        replay(two, predictor)
    for name in ('/arm/grasp', 'tool_pose'):
        assert only(replay(two, predictor, executed_topic=name)).scored_executed
    assert only(replay(two, predictor, executed_topic='')).source == 'default'


def test_a_named_candidate_is_of_the_set_that_was_known_at_the_decision(bag, predictor):
    path = bag(topics=(), candidate='0')
    with Recording(path) as recording:
        def stamps(images):
            (one,) = executed_grasps(recording, recording.outcomes(), image_topic=images,
                                     candidates_topic='/planner/proposals')
            return one.candidates_stamp_ns
        # The set that is stamped at the decision came after its image.
        assert (stamps('/image/compressed'), stamps('')) == (at(15), at(DECISION))
    assert only(replay(path, predictor)).source == 'executed'


def test_the_fingers_lie_where_the_network_is_told_they_are(bag, predictor):
    fingers = only(replay(bag(), predictor)).fingers
    # Focal length 40 pixels, half an opening of 0.04 m, at a distance of 0.6 m.
    middle = 20 + 40 * np.array(PLACE[:2]) / PLACE[2]
    along = 40 * 0.04 / PLACE[2] * np.array([np.cos(YAW), np.sin(YAW)])
    np.testing.assert_allclose(fingers, (middle + [-along, along] + 0.5) / 40, atol=1e-6)
    outside = only(replay(bag('outside', place=(5.0, 0.0, 0.5)), predictor))
    assert outside.fingers.shape == (0,)
