"""``moss doctor``: each problem is found, with what to do about it, and tells in the status."""

import json
import socket
import threading
from types import SimpleNamespace

from calibrations import write_calibration
from diagnostic_msgs.msg import DiagnosticArray
from moss_perception.cli.doctor import installation
from moss_perception.cli.main import main
from moss_perception.core.resources import model_path
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.checks import as_json, Check, Checks, ERROR, FINE, screen, WARNING
from moss_perception.evaluation.findings import Seen
from moss_perception.evaluation.stream_checks import Streams
from moss_perception.ros.common import conversions
from moss_perception.ros.doctor import check_system
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rewritten import rewrite
from robot_bag import EXECUTED, Robot
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

CONFIG = SimpleNamespace(frame_rate_hz=10.0, time_inputs=True, lead_times_s=(0.1, 0.8),
                         default_lead_time_s=0.3)


def doctor(capsys, *words):
    status = main(['doctor', *map(str, words), '--json'])
    found = json.loads(capsys.readouterr().out)
    checks = [Check(**x) for x in found['checks']]
    assert found['errors'] == sum(x.level == ERROR for x in checks)
    assert all((x.level == FINE) == (not x.remedy) for x in checks)
    assert status == (3 if found['errors'] else 0)
    return checks


def problems(checks, level=None):
    return [x.what for x in checks if x.level != FINE and level in (None, x.level)]


def test_a_good_recording_has_nothing_wrong(tmp_path, capsys):
    bag = Robot().write(tmp_path / 'bag')
    assert problems(doctor(capsys, bag)) == []
    assert main(['doctor', str(bag)]) == 0
    shown = capsys.readouterr().out
    first = shown.splitlines()[0].replace(str(bag), '')
    assert 'nothing is wrong' in shown and '90' not in first
    assert '15.0 a second' in shown and 'calibration of 64 x 48 pixels' in shown


@pytest.mark.parametrize('robot, level, words', [
    ({'frame': 'base_link'}, ERROR, "candidates in 'base_link', images in"),
    ({'calibrated': False}, WARNING, 'no calibration, so no candidate is scored'),
    ({'rate_hz': 4.0}, WARNING, '4.0 images a second, and the checkpoint takes 10'),
    ({'executed': (3.0, 0.0, 0.5), 'candidates': 4}, None, '')])
def test_problems_of_a_recording_are_found(tmp_path, capsys, robot, level, words):
    found = problems(doctor(capsys, Robot(**robot).write(tmp_path / 'bag')), level)
    assert any(words in x for x in found) if words else not found


def test_a_calibration_in_a_file_is_one_of_a_recording(tmp_path, capsys):
    bag = Robot(calibrated=False).write(tmp_path / 'bag')
    path = write_calibration(tmp_path / 'cal.yaml')
    assert problems(doctor(capsys, bag, '--calibration', path)) == []
    with pytest.raises(SystemExit, match='2'):
        main(['doctor', '--calibration', str(path)])
    assert '--calibration goes with the check of a recording' in capsys.readouterr().err


def test_damage_is_a_warning_that_strict_makes_a_failure(tmp_path, capsys):
    bag = Robot().write(tmp_path / 'bag')
    file = next(bag.glob('*.mcap'))
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
    found = problems(doctor(capsys, bag), WARNING)
    assert any('are missing' in x for x in found)
    assert main(['doctor', str(bag), '--strict']) == 3


def test_what_is_no_recording_is_one_line(tmp_path, capsys, caplog):
    assert main(['doctor', str(tmp_path / 'missing')]) == 1
    assert 'no such recording' in caplog.text


def test_topics_that_are_not_clear_are_an_error(tmp_path, capsys):
    found = problems(doctor(capsys, Robot().write(tmp_path / 'bag'), '--image-topic', EXECUTED))
    assert any('no images on /arm/executed_grasp' in x for x in found)


def test_the_topic_of_the_executed_grasps_is_told(tmp_path, capsys):
    def said(found):
        return [x.what for x in found if 'executed grasps' in x.what]
    bag = Robot().write(tmp_path / 'bag')
    assert said(doctor(capsys, bag)) == [
        'the executed grasps are read from /arm/executed_grasp, 3 poses']

    def renamed(topic, kind, ns, message):
        yield {EXECUTED: '/arm/goal'}.get(topic, topic), kind, ns, message
    goal = rewrite(bag, tmp_path / 'goal', renamed)
    assert said(doctor(capsys, goal)) == [
        'no topic of executed grasps, but poses on /arm/goal: name one with --executed-topic if '
        'it has them']
    assert said(doctor(capsys, goal, '--executed-topic', '/arm/goal')) == [
        'the executed grasps are read from /arm/goal, 3 poses']

    def doubled(topic, kind, ns, message):
        yield topic, kind, ns, message
        if topic == EXECUTED:
            yield '/planner/pregrasp_pose', kind, ns, message
    found = doctor(capsys, rewrite(bag, tmp_path / 'two', doubled))
    assert any('several topics of executed grasps' in x for x in problems(found, ERROR))


def attempt(lead_time_s):
    return Outcome(1, 10**9, 2 * 10**9, 3 * 10**9, True, 'real', '', '', lead_time_s=lead_time_s)


@pytest.mark.parametrize('measured, level, words', [
    (0.32, FINE, 'the fingers close 0.32 s after the decision'),
    (0.6, WARNING, 'the predictor assumes 0.30 s'),
    (1.2, WARNING, 'the checkpoint was trained for 0.1 to 0.8 s')])
def test_measured_lead_times_are_compared_with_those_assumed(measured, level, words):
    streams = Streams(CONFIG, Seen(), stamps_ns=[10**9 + n * 10**8 for n in range(20)])
    streams.outcomes = [attempt(measured)] * 3
    found = [x for x in streams.check('streams') if words in x.what]
    assert [x.level for x in found] == [level]
    assert level == FINE or 'lead' in found[0].remedy


@pytest.mark.parametrize('names, levels', [
    ({'HOME': None, 'ROS_HOME': None, 'ROS_LOG_DIR': None}, {ERROR}),
    ({'ROS_LOG_DIR': '/proc/nowhere'}, {ERROR}), ({'ROS_LOG_DIR': '/tmp'}, set())])
def test_a_folder_for_logs_is_needed(monkeypatch, names, levels):
    for name, value in names.items():
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    checks = Checks('installation')
    installation._check_folders(checks)
    logs = [x for x in checks if 'log file' in x.what]
    assert {x.level for x in logs} - {FINE} == levels


def test_an_rclpy_older_than_that_of_jazzy_is_named(monkeypatch):
    find = installation.importlib.util.find_spec
    monkeypatch.setattr(installation.importlib.util, 'find_spec',
                        lambda name: None if name == 'rclpy.clock_type' else find(name))
    checks = Checks('installation')
    installation._check_ros(checks)
    found, = checks.found
    assert found.level == ERROR and 'Jazzy, Kilted or newer' in found.what
    assert found.remedy == 'source the setup.bash of ROS 2 Jazzy, Kilted or newer'


@pytest.mark.parametrize('text, level', [('7', FINE), ('abc', ERROR), ('300', ERROR),
                                         ('150', WARNING)])
def test_domains_whose_ports_clash_are_named(monkeypatch, text, level):
    monkeypatch.setenv('ROS_DOMAIN_ID', text)
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.setattr(installation, '_ephemeral_ports', lambda: (32768, 60999))
    checks = Checks('installation')
    installation._check_domain(checks)
    assert checks.found[0].level == level


@pytest.mark.parametrize('place, reach, level', [
    (31, 'LOCALHOST', FINE), (32, 'LOCALHOST', WARNING), (32, 'SUBNET', FINE)])
def test_participants_that_nobody_finds_are_named(monkeypatch, place, reach, level):
    monkeypatch.setenv('ROS_DOMAIN_ID', '99')
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', reach)
    # As a participant binds it; the ports of its own messages lie between.
    with socket.socket(type=socket.SOCK_DGRAM) as heard, socket.socket(
            type=socket.SOCK_DGRAM) as own:
        heard.bind(('127.0.0.1', 7400 + 250 * 99 + 10 + 2 * place))
        own.bind(('127.0.0.1', 7400 + 250 * 99 + 11 + 2 * place))
        checks = Checks('installation')
        installation._check_domain(checks)
    found, = (x for x in checks.found if 'participants of domain 99' in x.what)
    assert found.level == level and found.what.startswith('1 participants')


def test_names_from_recordings_do_not_control_the_terminal():
    shown = screen([Check('a\n\x1b[31mb', WARNING, 'topic /\x1b]0;x\x07', 'rename\nit')])
    assert '\x1b' not in shown and '\x07' not in shown and '-> rename it' in shown
    assert json.loads(as_json([Check('a', FINE, 'b')]))['format'] == 'moss_perception.doctor/1'


@pytest.fixture
def running():
    """Run two cameras of one name, a reader that hears neither, a calibration, and old scores."""
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    nodes = [rclpy.create_node(name, context=context) for name in ('camera', 'camera', 'reader')]
    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    images = [x.create_publisher(Image, '/image', best_effort) for x in nodes[:2]]
    info = nodes[0].create_publisher(CameraInfo, '/camera_info', 5)
    nodes[2].create_subscription(Image, '/image', print, 5)
    # As a player publishes those of a recording.
    nodes[2].create_publisher(PointCloud2, '/grasp_predictor/grasp_scores', 5)
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)

    def publish():
        now_ns = nodes[0].get_clock().now().nanoseconds
        for one in images:
            one.publish(conversions.rgb_to_image(picture, now_ns, 'camera'))
        message = CameraInfo(header=conversions.header(now_ns, 'camera'), width=640, height=480,
                             k=[500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0])
        info.publish(message)
    nodes[0].create_timer(0.1, publish)
    for one in nodes:
        executor.add_node(one)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield
    executor.shutdown()
    thread.join(5)
    for one in nodes:
        one.destroy_node()
    rclpy.shutdown(context=context)


def test_a_running_system_is_checked(running):
    found = [x for area in check_system(CONFIG, {}, 2.0) for x in area]
    texts = problems(found)
    for words in ('several nodes have the name /camera', '/image has 2 publishers',
                  '/reader cannot receive /image of camera: it asks for reliable',
                  'no grasp_predictor is configured', 'no topic of candidates: nobody publishes',
                  'the calibration is of 640 x 480 pixels, the images have 60 x 40'):
        assert any(words in x for x in texts), (words, texts)
    assert all(x.remedy for x in found if x.level != FINE)
    assert any(x.what.startswith('/image: sensor_msgs/msg/Image, best effort') for x in found)


def test_outcomes_are_heard_in_the_namespace_of_the_predictor(ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context)
    robot = rclpy.create_node('grasp_predictor', namespace='/arm', context=context)
    robot.create_publisher(PointCloud2, '~/grasp_scores', 5)
    images = robot.create_publisher(Image, '/arm/image', 5)
    outcomes = robot.create_publisher(DiagnosticArray, '/arm/grasp_outcome', QoSProfile(
        depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    outcomes.publish(conversions.outcome_to_array('held', attempt(0.5), 'camera', 'robot'))
    picture = np.zeros((40, 60, 3), np.uint8)

    def publish():
        now_ns = robot.get_clock().now().nanoseconds
        images.publish(conversions.rgb_to_image(picture, now_ns, 'camera'))
    robot.create_timer(0.1, publish)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(robot)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        found = [x.what for area in check_system(CONFIG, {}, 2.0) for x in area]
    finally:
        executor.shutdown()
        thread.join(5)
        robot.destroy_node()
        rclpy.shutdown(context=context)
    assert any(x.startswith('1 attempts, 1 executed') for x in found), found


LOST = '/image has images of 7 KiB from a best-effort publisher: above 5 KiB they '


@pytest.mark.parametrize('shared_kib, profile, expected', [
    (5, '', [LOST]), (512, '', []), (5, '/of/the/user.xml', [])])
def test_images_that_do_not_fit_the_shared_memory_are_a_warning(
        running, monkeypatch, shared_kib, profile, expected):
    monkeypatch.setattr('moss_perception.ros.doctor._SHARED_KIB', shared_kib)
    if profile:
        # Read by the check alone: the participants of this process are there already.
        monkeypatch.setattr('moss_perception.ros.doctor.user_profile', lambda: profile)
    found = [x for area in check_system(CONFIG, {}, 2.0) for x in area]
    assert [x.split('do not fit')[0] for x in problems(found, WARNING)
            if 'shared memory' in x] == expected


def quiet(monkeypatch):
    """Leave out what takes long."""
    monkeypatch.setattr(installation, '_check_renderer', lambda checks: None)
    monkeypatch.setattr('moss_perception.ros.doctor._DISCOVERY_S', 0.1)


def test_a_damaged_checkpoint_does_not_keep_the_system_from_being_checked(
        tmp_path, monkeypatch, capsys):
    quiet(monkeypatch)
    for data in (b'nothing', model_path('').read_bytes()[:-1] + b'x'):
        (tmp_path / 'x.safetensors').write_bytes(data)
        found = doctor(capsys, '--model', tmp_path / 'x.safetensors', '--sha256', 'a' * 64,
                       '--seconds', '0.1')
        assert any('has sha256' in x for x in problems(found, ERROR))
        system = [x.what for x in found if x.area == 'system']
        assert any('no node is running' in x or 'nodes:' in x for x in system), system
        assert any('the usual configuration' in x for x in system) == (data == b'nothing')


@pytest.mark.parametrize('name, value, why', [
    ('ROS_LOG_DIR', '/proc/nowhere', '/proc/nowhere cannot be written, so no node can'),
    ('ROS_DOMAIN_ID', 'abc', "ROS_DOMAIN_ID is 'abc'")])
def test_a_system_that_cannot_be_checked_is_named_with_the_reason(
        monkeypatch, capsys, name, value, why):
    quiet(monkeypatch)
    monkeypatch.setenv(name, value)
    found = doctor(capsys)
    system, = (x for x in found if x.area == 'system')
    assert system.level == WARNING and system.what.startswith(f'not checked, because {why}')
    assert not [x for x in doctor(capsys, '--offline') if x.area == 'system']
