"""Attempts are found by executed grasps, by a gripper of any usual type, or by candidates."""

from dataclasses import replace

import lab_bag as lab
from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels.attempts import find_attempts, Search
from moss_perception.data.labels.checks import of_attempts
from moss_perception.data.labels.clock import clock_of
from moss_perception.data.labels.matching import read_labels
import pytest


def found_in(path, **search):
    with Recording(path) as recording:
        return find_attempts(recording, clock_of(recording, lab.IMAGES), Search(**search))


def seconds(found):
    return [tuple(round((x - lab.START_NS) / lab.SECOND, 3) for x in (
        span.start_ns, span.decision_ns, span.end_ns)) for span in found.spans]


def test_an_executed_grasp_on_a_topic_of_any_name_is_an_attempt_with_its_last_correction(make_bag):
    found = found_in(make_bag(lab.images() + lab.executed()))
    assert seconds(found) == [(1.0, 5.0, 8.0), (8.0, 12.0, 15.0), (17.5, 21.5, 24.5)]
    assert found.how == 'by the executed grasps on /planner/executed_grasp'


def test_attempts_near_each_other_do_not_overlap(make_bag):
    found = found_in(make_bag(lab.images() + lab.executed((5.0, 7.0))), before_s=3.5)
    assert seconds(found) == [(1.5, 5.0, 7.0), (7.0, 7.0, 10.0)]


GRIPPERS = {
    'true is closed': lambda: lab.signal(
        'std_msgs/msg/Bool', '/gripper/command', lab.opened_and_closed(False, True)),
    'open by its name': lambda: lab.signal(
        'std_msgs/msg/Bool', '/gripper/open', lab.opened_and_closed(True, False)),
    'a width': lambda: lab.signal(
        'std_msgs/msg/Float32', '/gripper/width', lab.opened_and_closed(0.08, 0.02)),
    'no open command first': lambda: lab.signal(
        'std_msgs/msg/Bool', '/hand/close', lab.opened_and_closed(False, True)[1:]),
    'a type of the recording': lambda: lab.commands(
        '/gripper_cmd', lab.opened_and_closed(0.08, 0.0)),
    'joints that are 0 when closed': lambda: lab.joints(
        '/joint_states', lab.sampled(lab.opened_and_closed(0.04, 0.01))),
    'joints that are 0 when open': lambda: lab.joints(
        '/joint_states', lab.sampled(lab.opened_and_closed(0.0, 0.6))),
}


@pytest.mark.parametrize('name', GRIPPERS)
def test_a_gripper_that_closes_is_an_attempt_until_it_opens(make_bag, name):
    found = found_in(make_bag(lab.images() + GRIPPERS[name]()))
    assert seconds(found) == [(1.0, 5.0, 7.0), (8.0, 12.0, 14.0), (17.5, 21.5, 23.5)]
    assert found.how.startswith('by the gripper on /') and 'closed when ' in found.how


def test_the_decision_of_an_attempt_that_only_the_gripper_tells_is_doubtful_or_stated(make_bag):
    bag = make_bag(lab.images() + GRIPPERS['true is closed']())
    line, = found_in(bag).doubts
    assert line.startswith('the decisions are taken for the moments at which the gripper on '
                           '/gripper/command closes, so the images show it at the object')
    stated = found_in(bag, lead_time_s=0.7)
    assert seconds(stated) == [(0.3, 4.3, 7.0), (7.3, 11.3, 14.0), (16.8, 20.8, 23.5)]
    assert not stated.doubts and stated.decided
    # An attempt ends after the gripper has closed, however early the decision was.
    early = found_in(bag, lead_time_s=3.5)
    assert seconds(early) == [(0.0, 1.5, 7.0), (7.0, 8.5, 14.0), (14.0, 18.0, 23.5)]


def test_a_row_takes_the_decision_that_is_known_from_the_closing(make_bag, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('start,end,success\n3,8,1\n10,15,0\n')
    with Recording(make_bag(lab.images() + GRIPPERS['true is closed']())) as recording:
        told, closed = (read_labels(path, recording, search=Search(lead_time_s=x))
                        for x in (0.8, 0.0))
    assert [round((x.outcome.decision_ns - lab.START_NS) / 1e9, 3) for x in told.rows] == [
        4.2, 11.2]
    assert [x.decided for x in closed.rows] == [False, False]
    assert any('only the gripper tells when it closes (line 2, 3)' in x
               and 'moss label --lead-time' in x for x in of_attempts(closed))


def test_you_can_say_which_value_is_closed(make_bag):
    bag = make_bag(lab.images() + lab.signal('std_msgs/msg/Bool', '/gripper/command',
                                             lab.opened_and_closed(True, False)))
    assert [x[1] for x in seconds(found_in(bag, closed='low'))] == [5.0, 12.0, 21.5]
    assert [x[1] for x in seconds(found_in(bag))] == [0.5, 7.0, 14.0, 23.5]


def test_a_gripper_that_is_closed_when_the_recording_starts_did_not_close_in_it(make_bag):
    values = lab.sampled([(0.0, 1.0), (3.0, 0.0), (10.0, 1.0), (12.0, 0.0)])
    found = found_in(make_bag(lab.images() + lab.signal(
        'std_msgs/msg/Float32', '/gripper/closed', values)))
    assert [x[1] for x in seconds(found)] == [10.0]


def test_pauses_of_the_candidates_divide_attempts(make_bag, factory):
    stamps = [x for end in lab.DECISIONS_S for x in (end - 0.6, end - 0.3, end)]
    found = found_in(make_bag(lab.images() + [
        factory.candidates(lab.at(x), lab.GRASPS) for x in stamps]))
    assert [x[1] for x in seconds(found)] == list(lab.DECISIONS_S)
    assert '/planner/grasps' in found.how


def test_candidates_without_a_pause_are_a_doubtful_attempt_and_poses_are_named(make_bag, factory):
    entries = lab.images() + [factory.candidates(lab.at(x / 3), lab.GRASPS) for x in range(90)]
    found = found_in(make_bag(entries))
    assert len(found.spans) == 1
    line, = found.doubts
    assert line == ('the 90 sets of candidates on /planner/grasps come without a pause of 1 s, so '
                    'they make one attempt: name the topic of executed grasps or of a gripper')
    named = found_in(make_bag(entries + lab.executed(topic='/arm/goal'), 'poses'))
    assert named.doubts[0] == line and named.doubts[1].endswith(
        'no topic of executed grasps was named; the recording has poses on /arm/goal: name one '
        'with --executed-topic')
    assert not found_in(make_bag(entries + lab.executed(), 'executed')).doubts


def test_the_recorders_clock_does_not_count_but_the_stamps_of_the_images(make_bag):
    # The gripper's messages have no stamps: they are an hour late, as the images are.
    late = [replace(x, stamp_ns=x.stamp_ns + 3600 * lab.SECOND) for x in lab.images() + lab.signal(
        'std_msgs/msg/Bool', '/gripper/command', lab.opened_and_closed(False, True))]
    assert [x[1] for x in seconds(found_in(make_bag(late)))] == list(lab.DECISIONS_S)


def test_executed_grasps_without_stamps_have_the_time_of_their_recording_in_that_clock(
        make_bag, factory):
    entries = lab.images() + [replace(
        factory.selected(0, (0.05, 0.0, 0.5), (0.0, 0.0, 0.0, 1.0)), topic=lab.EXECUTED,
        stamp_ns=lab.at(x)) for x in lab.DECISIONS_S]
    late = [replace(x, stamp_ns=x.stamp_ns + 3600 * lab.SECOND) for x in entries]
    for name, bag in (('same', entries), ('late', late)):
        assert [x[1] for x in seconds(found_in(make_bag(bag, name)))] == list(lab.DECISIONS_S)


def test_what_may_be_the_executed_grasps_must_be_clear(make_bag):
    bag = make_bag(lab.images() + lab.executed() + lab.executed(topic='/other/grasp_chosen'))
    with pytest.raises(BagError, match='2 topics may be the executed grasps .* --executed-topic'):
        found_in(bag, source='executed')
    assert len(found_in(bag, executed_topic=lab.EXECUTED).spans) == 3


@pytest.mark.parametrize(('search', 'said'), [
    ({}, 'no attempts: expected executed grasps'),
    ({'source': 'executed'}, 'no topics may be the executed grasps'),
    ({'gripper_topic': '/typo'}, 'no gripper on /typo; expected a topic of sensor_msgs'),
    ({'executed_topic': '/typo'}, 'no executed grasps on /typo')])
def test_a_recording_without_attempts_says_what_was_expected(make_bag, search, said):
    with pytest.raises(BagError, match=said):
        found_in(make_bag(lab.images()), **search)
