"""attempt_recorder over real DDS: the test is the robot, the operator and the disk."""

import re
import resource
import time

from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.cli.main import main as moss
from moss_perception.data.bags.attempts import groups_of
from moss_perception.data.bags.reader import Recording
from moss_perception.data.scenes import load_scenes
from moss_perception.evaluation.replay import replay
from moss_perception.ros.common.conversions import header, ns_to_stamp
from moss_perception.runtime.predictor import Predictor
from moss_perception.training.holding_out import held_out
import pytest
import rclpy
from robot_bench import Bench, FRAME, LATENCY_NS, PERIOD_NS, POSES
from sensor_msgs.msg import JointState
from std_msgs.msg import String

pytestmark = pytest.mark.timeout(110)


def test_recorded_attempts_are_evaluated_at_the_executed_grasp_and_keep_their_labels(
        bench, peer, tiny_checkpoint, tmp_path):
    node = bench(object='cup', operator='ada', day='2026-03-02')
    first = node.attempt()
    assert all(x.successful for x in peer.set(node.name, object='bowl', operator='bob'))
    second = node.attempt('fail')
    assert 'attempt 2: failed' in second[-1] and '1 succeeded, 1 failed' in second[-1]
    assert node.process.stop() == 0
    found = replay(node.out, Predictor.load(str(tiny_checkpoint), threads=1))
    assert found.lost_share == 0
    assert [(x.attempt, x.success, x.source, x.object) for x in found.attempts] == [
        (1, True, 'executed', 'cup'), (2, False, 'executed', 'bowl')]
    for attempt, (start_ns, decision_ns, end_ns, _) in zip(
            found.attempts, (first, second), strict=True):
        assert (attempt.start_ns, attempt.decision_ns, attempt.end_ns) == (
            start_ns, decision_ns, end_ns)
        # The run-up fills the window before the decision.
        assert attempt.scored_ns == decision_ns
    assert found.domain == 'real' and found.unmatched == ()
    assert groups_of(node.out)[2] == {'day': '2026-03-02', 'object': 'bowl', 'operator': 'bob'}
    with Recording(node.out) as recording:
        assert [x.candidate for x in recording.outcomes()] == [1, 1]
    # Import keeps the labels, by which a training can hold out.
    assert moss(['import', str(node.out), '--out', str(tmp_path / 'data')]) == 0
    samples = load_scenes(tmp_path / 'data')
    assert [dict(x.groups) for x in samples] == [
        {'bag': node.out.name, 'day': '2026-03-02', 'object': name, 'operator': operator}
        for name, operator in (('cup', 'ada'), ('bowl', 'bob'))]
    assert held_out(samples, 'operator').sum() == 1
    # Each file is a recording by itself, calibration included.
    alone = replay(node.out / 'attempt_0002.mcap',
                   Predictor.load(str(tiny_checkpoint), threads=1))
    assert alone.attempts[0].score == found.attempts[1].score


def test_a_killed_recorder_leaves_the_finished_attempts_and_goes_on_after_them(
        bench, tiny_checkpoint):
    node = bench()
    node.attempt()
    node.show(4)
    assert node.do('start')[0]
    node.show(4)
    node.process.process.kill()
    node.process.wait()
    assert sorted(x.name for x in node.out.iterdir() if x.suffix) != []
    found = replay(node.out, Predictor.load(str(tiny_checkpoint), threads=1))
    assert [x.attempt for x in found.attempts] == [1] and found.lost_share == 0
    again = bench()
    assert 'removed 1 attempts that an earlier recorder left unfinished' in again.process.output()
    assert 'ready to record attempts: 1 succeeded, 0 failed' in again.process.output()
    again.attempt('fail')
    with Recording(node.out) as recording:
        assert [x.attempt for x in recording.outcomes()] == [1, 2]


def test_on_a_full_disk_the_attempt_is_lost_and_the_finished_ones_stay(bench):
    node = bench()
    node.robot.side = 80
    node.attempt()
    # As a full disk: the system refuses to write a byte more.
    process, unlimited = node.process.process.pid, resource.RLIM_INFINITY
    resource.prlimit(process, resource.RLIMIT_FSIZE, (2**16, unlimited))
    start_ns = node.show(4)
    done, text = node.do('start')
    if done:
        node.show(4, start_ns + 4 * PERIOD_NS)
        done, text = node.do('succeed')
    assert not done and 'attempt 2 is lost: could not write' in text
    assert 'File too large; 1 succeeded, 0 failed' in text
    node.said('attempt 2 is lost')
    assert sorted(x.name for x in node.out.iterdir()) == ['attempt_0001.mcap', 'metadata.yaml']
    with Recording(node.out) as recording:
        assert [x.attempt for x in recording.outcomes()] == [1]
    resource.prlimit(process, resource.RLIMIT_FSIZE, (unlimited, unlimited))
    node.attempt()
    with Recording(node.out) as recording:
        assert [x.attempt for x in recording.outcomes()] == [1, 2]


def test_bytes_that_are_no_message_are_left_out_of_the_attempt(bench, peer, tiny_checkpoint):
    node = bench(gripper_topic='/joint_states', gripper_closed=0.01)
    gripper = peer.node.create_publisher(JointState, '/joint_states', 10)
    robot = node.robot
    robot.connect(node.wait_for, '/joint_states')

    def damaged(_):
        for publisher in (robot.candidates, robot.executed, gripper, robot.image):
            for raw in (b'\0\1\0\0', b'\0\1\0\0' + b'\xff' * 40):
                publisher.publish(raw)
    node.attempt(meanwhile=damaged)
    assert node.process.stop() == 0
    output = node.process.output()
    assert 'a message is left out (1 so far)' in output and '[MOSS014]' in output
    assert 'Traceback' not in output, output
    found = replay(node.out, Predictor.load(str(tiny_checkpoint), threads=1))
    assert [(x.attempt, x.source) for x in found.attempts] == [(1, 'executed')]
    peer.node.destroy_publisher(gripper)


def test_misuse_is_refused_and_discard_leaves_nothing(bench):
    node = bench(silence=0.3)
    for name in ('succeed', 'fail', 'discard'):
        assert node.do(name) == (False, 'no attempt is being recorded: expected start first')
    assert node.do('start') == (
        False, 'no image has come on /image: published by /peer: expected images to record')
    node.show(4)
    assert node.do('start') == (True, 'attempt 1 is being recorded')
    done, text = node.do('start')
    assert not done and 'attempt 1 has been recorded for' in text
    assert 'expected succeed, fail or discard' in text
    node.said('/image is silent for ')
    (line,) = [x.data for x in node.events if x.data.startswith('/image is silent')]
    assert re.fullmatch(r'/image is silent for \d+\.\d s: published by /peer', line)
    node.robot.command.publish(String(data='discard'))
    node.said('attempt 1 is discarded; 0 succeeded, 0 failed')
    assert list(node.out.iterdir()) == []
    node.robot.command.publish(String(data='grasp'))
    node.said("command 'grasp' is not known: expected one of start, succeed, fail, discard")
    assert node.process.stop() == 0 and not node.out.exists()


def test_a_topic_without_a_publisher_is_named(bench, peer):
    node = bench('/camera_info', silence=0.3)
    node.show(4, grasps=())
    peer.node.destroy_publisher(node.robot.candidates)
    node.wait_for(lambda: not peer.node.count_publishers('/grasp_candidates'), 10, 'no publisher')
    node.do('start')
    node.said('/grasp_candidates is silent for ')
    line = next(x.data for x in node.events if '/grasp_candidates is silent' in x.data)
    assert line.endswith('nobody publishes it')
    # One message of a calibration is enough.
    assert not any('/camera_info' in x.data for x in node.events)


def test_executed_grasps_that_nobody_publishes_are_told_once_while_recording(bench, peer):
    node = bench(silence=0.3)
    node.show(4)
    peer.node.destroy_publisher(node.robot.executed)
    other = peer.node.create_publisher(PoseStamped, '/planner/executed', 10)
    node.wait_for(lambda: not peer.node.count_publishers('/selected_grasp'), 10, 'no publisher')
    for _ in range(2):
        assert node.do('start')[0]
        node.said('nobody publishes /selected_grasp yet, but there are poses on '
                  '/planner/executed: expected the executed grasps, without which the decision '
                  'of an attempt is its start; name their topic with executed_topic')
        node.show(4)
        assert node.do('discard')[0]
        node.show(2)
    assert sum('nobody publishes /selected_grasp' in x.data for x in node.events) == 1
    peer.node.destroy_publisher(other)


def test_grasps_in_a_frame_without_a_transform_are_told_once_while_recording(bench):
    node = bench(silence=0.3)
    for _ in range(2):
        node.show(4)
        stamp_ns = node.robot.now_ns
        node.robot.candidates.publish(PoseArray(header=header(stamp_ns, 'base_link'),
                                                poses=POSES))
        node.show(1, grasps=())
        assert node.do('start')[0]
        node.said("the candidates are in the frame 'base_link', and no tf has come that connects "
                  f'it with {FRAME!r}, the frame of the images: publish it on /tf or /tf_static')
        assert node.do('discard')[0]
    assert sum("'base_link'" in x.data for x in node.events) == 1
    assert 'MOSS053' in node.process.output()
    assert not any('/selected_grasp' in x.data for x in node.events)


def test_two_planners_two_recorders_and_two_clocks_are_named_at_the_start(bench, peer):
    node = bench()
    others = [rclpy.create_node(name, context=peer.context)
              for name in ('other_planner', node.name[1:])]
    try:
        others[0].create_publisher(PoseArray, '/grasp_candidates', 10)
        node.wait_for(lambda: peer.node.count_publishers('/grasp_candidates') == 2, 10, 'both')
        # The recorder learns of them as we do, or a moment later.
        time.sleep(1.0)
        for _ in range(10):
            stamp_ns = node.robot.now_ns + 10 * PERIOD_NS
            node.robot.candidates.publish(PoseArray(header=header(stamp_ns, FRAME), poses=POSES))
            node.show(1, grasps=())
        assert node.do('start')[0]
        node.said('/grasp_candidates has 2 publishers (/other_planner, /peer): expected one')
        node.said(f'several nodes have the name {node.name}: expected one')
        node.said('s ahead of the images that were recorded after them')
        for code in ('MOSS005', 'MOSS006', 'MOSS007'):
            assert code in node.process.output()
    finally:
        for other in others:
            other.destroy_node()


def test_the_robots_own_outcomes_are_recorded_from_memory_even_if_they_overlap(
        bench, tiny_checkpoint):
    node = bench(outcomes='topic', attempts=3)
    node.wait_for(node.robot.outcomes.get_subscription_count, 20, 'subscription to outcomes')
    last_ns = node.show(40)
    at = [last_ns - (39 - n) * PERIOD_NS for n in range(40)]
    node.robot.report(1, at[0] - 60 * 10**9, at[0] - 55 * 10**9, at[0] - 50 * 10**9)
    node.said('attempt 1 of the robot is not recorded: no image from before its decision')
    node.robot.report(7, at[15], at[20], at[25], object='box', domain='lab', candidate='1')
    node.said('attempt 1: held, 1.0 s; 1 succeeded')
    # It began before the other one ended.
    node.show(30, at[39] + 30 * PERIOD_NS)
    node.robot.report(8, at[24], at[39] + 20 * PERIOD_NS, at[39] + 25 * PERIOD_NS)
    assert node.process.wait(20) == 0
    found = replay(node.out, Predictor.load(str(tiny_checkpoint), threads=1))
    assert [(x.attempt, x.object, x.source) for x in found.attempts] == [
        (1, 'box', 'executed'), (2, '', 'default')]
    assert any('attempts overlap in time' in x for x in found.notes)
    assert found.resets == {} and found.frames == 70


def test_the_lead_time_is_measured_by_the_gripper_and_its_median_is_what_to_set(bench, peer):
    fingers = peer.node.create_publisher(JointState, '/gripper/joints', 10)
    node = bench('/gripper/joints', gripper_topic='/gripper/joints', gripper_joint='finger',
                 gripper_closed=0.03)

    def move(position, after_ns=0):
        node.robot.tell(node.robot.now_ns + after_ns)
        joints = JointState(name=['wrist', 'finger'], position=[0.0, position])
        joints.header.stamp = ns_to_stamp(node.robot.now_ns)
        fingers.publish(joints)
        node.settle()

    for number, tenths in enumerate((4, 3), start=1):
        move(0.045)
        text = node.attempt(frames=12, meanwhile=lambda _, tenths=tenths: (
            move(0.04, 10**8 - LATENCY_NS), move(0.02, (tenths - 1) * 10**8)))[-1]
        assert f'lead time 0.{tenths}00 s (median of {number}: ' in text
    assert '(median of 2: 0.350 s, the lead_time to set of grasp_predictor)' in text
    move(0.045)
    text = node.attempt()[-1]
    assert 'the lead time is not measured: the gripper did not close after the decision' in text
    with Recording(node.out) as recording:
        assert [x.lead_time_s for x in recording.outcomes()] == [
            pytest.approx(0.4), pytest.approx(0.3), None]
        assert recording.topics['/gripper/joints'].count == 7
    peer.node.destroy_publisher(fingers)


def test_a_trigger_measures_it_too_unless_the_cameras_clock_is_another(bench):
    node = bench()

    def close(_):
        node.robot.tell(node.robot.now_ns + 230_000_000)
        node.settle()
        assert node.do('closed') == (True, 'the fingers have closed')
    assert ', lead time 0.250 s (median of 1: 0.250 s' in node.attempt(meanwhile=close)[-1]
    # The images that the recorder remembers all come an hour late.
    hour_ns = 3600 * 10**9
    start_ns = node.robot.now_ns
    node.robot.tell(start_ns + hour_ns)
    node.robot.tell = lambda _: None
    for _ in range(5):
        node.show(24, start_ns + 24 * PERIOD_NS)
        start_ns += 24 * PERIOD_NS
    assert node.do('start')[0]
    node.robot.execute(start_ns + hour_ns)
    node.show(3, start_ns + 3 * PERIOD_NS)
    assert node.do('closed')[0]
    done, text = node.do('succeed')
    assert done
    assert re.search(r'the executed grasp is stamped 3600.0 s from the start', text), text
    assert re.search(r"images are 35..\.. s behind this node's clock, expected the", text), text


@pytest.mark.parametrize(('parameters', 'line'), [
    ({'out': '""'}, 'parameter out is empty'),
    ({'outcomes': 'robot'}, "parameter outcomes='robot' is not allowed: expected one of"),
    ({'run_up': 90.0}, 'parameter run_up=90.0 is not allowed')])
def test_what_cannot_be_recorded_is_one_line(harness, peer, tmp_path, parameters, line):
    node = Bench(harness, peer, tmp_path, **parameters)
    assert node.process.wait(60) == 1
    assert len([x for x in node.process.output().splitlines() if line in x]) == 1
    node.robot.close()
