"""sim_cell over real DDS: the cell in a process of its own, the test plans for it."""

from pathlib import Path
import subprocess
import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.core.errors import SimulationError
from moss_perception.core.lead_times import to_lead_times
from moss_perception.data.outcomes import outcome_of
from moss_perception.data.schema import GRIP_S
import numpy as np
import pytest
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

pytestmark = pytest.mark.timeout(110)

FRAME = 'camera_optical_frame'
WRONG = 9


@pytest.fixture(scope='module', autouse=True)
def renderer_works():
    """Skip, saying why, where the simulation can't run."""
    try:
        from moss_perception.simulation.renderer import Renderer
        Renderer().close()
    except SimulationError as error:
        pytest.skip(str(error))


@pytest.fixture
def start(harness, tmp_path):
    """Start a cell in a namespace; whatever is left of it ends with the test."""
    started = []

    def begin(namespace, **parameters):
        words = ['-r', f'__ns:={namespace}']
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            words += ['-p', f'{name}:={text}']
        started.append(harness.NodeProcess(tmp_path, 'sim_cell', ros_args=tuple(words)))
        return started[-1]

    yield begin
    for process in started:
        process.stop()
        assert 'Traceback' not in process.output(), process.output()


def stamps(messages):
    return [Time.from_msg(message.header.stamp).nanoseconds for message in messages]


class Planner:
    """Selects the first candidate of each list; at first, what can't be executed."""

    def __init__(self, peer, namespace):
        self.sent = 0
        self._out = peer.node.create_publisher(PoseStamped, f'{namespace}/selected_grasp', 10)
        peer.node.create_subscription(
            PoseArray, f'{namespace}/grasp_candidates', self.on_candidates, 100)

    def on_candidates(self, message):
        if not message.poses or not self._out.get_subscription_count():
            return
        choice = PoseStamped(header=message.header, pose=message.poses[0])
        if self.sent < WRONG:
            kind = self.sent % 3
            if kind == 0:
                choice.header.frame_id = 'base_link'
            elif kind == 1:
                choice.header.stamp.sec -= 1000
            else:
                choice.pose.position.x = 3.0
        self.sent += 1
        self._out.publish(choice)


def test_grasps_that_a_planner_selects_are_executed_and_reported(harness, peer, start):
    name = '/looped'
    images = peer.listen(CompressedImage, f'{name}/image/compressed')
    infos = peer.listen(CameraInfo, f'{name}/camera_info')
    lists = peer.listen(PoseArray, f'{name}/grasp_candidates')
    times = peer.listen(PointCloud2, f'{name}/grasp_lead_times')
    reports = peer.listen(DiagnosticArray, f'{name}/grasp_outcome')
    diagnostics = peer.listen(DiagnosticArray, '/diagnostics')
    planner = Planner(peer, name)
    cell = start(name, attempts=2, seed=3, rate=10.0, timeout=20.0, pause=0.3, start_delay=60.0,
                 latency=0.06, lead_times=True)
    assert cell.wait(90) == 0, cell.output()
    harness.wait_for(lambda: len(reports) == 2, 5.0, 'two outcomes')
    assert planner.sent >= WRONG + 2

    outcomes = [outcome_of(array.status[0]) for array in reports]
    assert [array.status[0].name for array in reports] == ['attempt/1', 'attempt/2']
    assert all(array.status[0].message not in ('', 'none selected') for array in reports)
    assert stamps(reports) == [outcome.end_ns for outcome in outcomes]
    shown = stamps(images)
    assert all(np.diff(shown) > 0)
    for outcome in outcomes:
        assert outcome.start_ns in shown
        assert outcome.decision_ns in shown
        # A planner may choose from the very first image.
        assert outcome.start_ns <= outcome.decision_ns < outcome.end_ns
        assert (outcome.domain, bool(outcome.motion), bool(outcome.object)) == ('sim', True, True)
    assert outcomes[0].end_ns < outcomes[1].start_ns
    # Scenes keep the frame rate, whatever the machine does.
    within = [gap for gap in np.diff(shown) if gap < 3 * 10**8]
    assert set(within) == {10**8}

    assert set(stamps(infos)) == set(shown)
    assert set(stamps(lists)) <= set(shown)
    assert {message.header.frame_id for message in (*images, *infos, *lists)} == {FRAME}
    assert {len(message.poses) for message in lists} == {0, 9}
    assert stamps(times) == [stamp_ns for stamp_ns, message in zip(
        stamps(lists), lists, strict=True) if message.poses]
    for message in times:
        found = to_lead_times(message)
        assert found.frame_id == FRAME
        np.testing.assert_allclose(found.values, [0.06 + GRIP_S] * 9, rtol=1e-6)
    assert (infos[0].width, infos[0].height, infos[0].distortion_model) == (128, 128, 'plumb_bob')
    picture = cv2.imdecode(np.frombuffer(images[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (128, 128, 3)
    assert picture.std() > 5

    output = cell.output()
    assert '2 attempts: ' in output
    assert f'{WRONG} selected grasps refused (3 frame, 3 old, 3 reach)' in output
    assert "is in the frame 'base_link': expected 'camera_optical_frame'" in output
    assert any(status.name == 'looped/sim_cell' for array in diagnostics
               for status in array.status)


def test_a_cell_that_nobody_plans_for_says_so_and_brings_its_clock(harness, peer, start):
    name = '/alone'
    images = peer.listen(Image, f'{name}/image')
    reports = peer.listen(DiagnosticArray, f'{name}/grasp_outcome')
    clock = peer.listen(Clock, '/clock')
    cell = start(name, attempts=1, rate=30.0, timeout=0.4, compressed=False, real_time=False,
                 publish_clock=True, start_delay=60.0)
    assert cell.wait(80) == 0, cell.output()
    harness.wait_for(lambda: reports, 5.0, 'an outcome')
    status, = reports[0].status
    assert (status.message, outcome_of(status).success) == ('none selected', False)
    assert '1 attempt: 0 succeeded, 0 failed, 1 without a selected grasp' in cell.output()
    assert (images[0].encoding, images[0].height, images[0].step) == ('rgb8', 128, 384)
    gaps = np.diff(stamps(images)) // 10**6
    assert gaps.tolist() == [30, 40, 30] * 4
    assert {Time.from_msg(message.clock).nanoseconds for message in clock} == set(stamps(images))


def test_in_lock_step_an_image_waits_for_the_reports_of_the_one_before(harness, peer, start):
    name = '/stepped'
    images = peer.listen(CompressedImage, f'{name}/image/compressed')
    processed = peer.node.create_publisher(Header, f'{name}/processed', 10)
    decided = peer.node.create_publisher(Header, f'{name}/decided', 10)
    cell = start(name, attempts=1, rate=10.0, timeout=0.3, real_time=False, start_delay=60.0,
                 lock_step=True, lock_step_timeout=20.0, processed_topic=f'{name}/processed',
                 decided_topic=f'{name}/decided')

    def newest(count):
        harness.wait_for(lambda: len(images) == count, 60.0, f'{count} images')
        return images[-1].header.stamp
    shown = []
    for count, status in enumerate(('stored', 'skipped', 'scored', 'scored'), start=1):
        stamp = newest(count)
        # As fast as it can run, the cell would have played the scene by now.
        time.sleep(0.3)
        shown.append(len(images))
        processed.publish(Header(stamp=stamp, frame_id=status))
        if status == 'scored':
            time.sleep(0.3)
            shown.append(len(images))
            decided.publish(Header(stamp=stamp, frame_id='waiting'))
    assert cell.wait(40) == 0, cell.output()
    assert shown == [1, 2, 3, 3, 4, 4] and len(images) == 4


def test_in_lock_step_a_missing_report_is_an_error(peer, start):
    peer.listen(CompressedImage, '/unreported/image/compressed')
    reports = peer.node.create_publisher(Header, '/unreported/processed', 10)
    cell = start('/unreported', attempts=1, real_time=False, start_delay=60.0, lock_step=True,
                 lock_step_timeout=1.0, processed_topic='/unreported/processed',
                 decided_topic='""')
    assert cell.wait(80) == 1, cell.output()
    assert 'no report on /unreported/processed of the image stamped' in cell.output()
    assert 'within 1 s: lock step expects one' in cell.output()
    peer.node.destroy_publisher(reports)


def test_a_cell_file_makes_its_images_and_calibration(harness, peer, start):
    path = Path(__file__).parents[2] / 'config' / 'cells' / 'oblique_table.yaml'
    images = peer.listen(Image, '/table/image')
    infos = peer.listen(CameraInfo, '/table/camera_info')
    cell = start('/table', cell=path, attempts=1, rate=10.0, timeout=0.2, compressed=False,
                 real_time=False, start_delay=60.0)
    assert cell.wait(80) == 0, cell.output()
    harness.wait_for(lambda: images and infos, 5.0, 'an image and its calibration')
    assert (images[0].width, images[0].height, images[0].step) == (320, 240, 960)
    assert (infos[0].width, infos[0].height) == (320, 240)
    assert infos[0].k[0] == pytest.approx(560, rel=0.03)


def test_an_endless_cell_ends_with_its_summary_when_it_is_interrupted(harness, peer, start):
    images = peer.listen(CompressedImage, '/endless/image/compressed')
    cell = start('/endless', rate=10.0, start_delay=60.0)
    harness.wait_for(lambda: images, 60.0, 'an image')
    assert cell.stop() == 130, cell.output()
    assert '0 attempts: 0 succeeded' in cell.output()


def test_a_named_node_that_does_not_subscribe_is_an_error(peer, start):
    images = peer.listen(CompressedImage, '/waiting/image/compressed')
    cell = start('/waiting', start_delay=4.0, wait_for_nodes=(
        '["/peer=/waiting/image/compressed", "/recorder=/waiting/grasp_outcome"]'))
    assert cell.wait(60) == 1, cell.output()
    assert '/recorder does not subscribe to /waiting/grasp_outcome after 4 s' in cell.output()
    assert '/peer' not in cell.output() and not images


@pytest.mark.parametrize('parameter, expected', [
    ('wait_for_nodes:=["/recorder"]', 'expected a list of NODE=TOPIC'),
    ('cell:=mine', "unknown cell 'mine', expected one of belt, full, or the path of a cell file"),
    ('cell:=nowhere.yaml', "cell file nowhere.yaml can't be read: No such file"),
    ('motion:=jumping', "parameter motion is 'jumping': expected one of still, constant"),
    ('rate:=0.5', 'parameter rate=0.5 is not allowed: expected 1.0 to 100.0'),
    ('latency:=-0.5', 'latency_s=-0.5 is not allowed: expected 0 to 2, or -1 for that of each'),
    ('domain:=shifted.moon', "unknown domain 'shifted.moon', expected one of sim, shifted"),
    ('cell:=belt domain:=shifted.jpeg',
     "unknown domain 'shifted.jpeg', expected one of sim, shifted"),
])
def test_a_wrong_parameter_is_one_line(programs, tmp_path, parameter, expected):
    words = [word for one in parameter.split() for word in ('-p', one)]
    status, output = ended(programs, tmp_path, programs.environment(), *words)
    assert status == 1
    assert output.startswith('sim_cell: ') and expected in output
    assert len(output.splitlines()) == 1


def test_a_machine_without_mujoco_is_told_what_is_missing(programs, tmp_path):
    (tmp_path / 'mujoco.py').write_text("raise ModuleNotFoundError('No module named mujoco')\n")
    status, output = ended(programs, tmp_path, programs.environment(tmp_path))
    assert status == 1
    assert output.splitlines() == [
        'sim_cell: the simulated work cell needs the Python package mujoco: '
        'No module named mujoco']


def ended(programs, folder, environment, *ros_args):
    done = subprocess.run(
        [*programs.command('sim_cell'), '--ros-args', *ros_args], cwd=folder, env=environment,
        timeout=60, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


SKIPPED = """
import os, signal, sys
from moss_perception.ros.cell import node

class Cell(node.SimCell):
    def start(self):
        self.live.progress.skipped['contact'] += 1
        super().start()
        os.kill(os.getpid(), signal.SIGINT)

node.SimCell = Cell
sys.exit(node.main(['--ros-args', '-p', 'start_delay:=60.0']))
"""


def test_an_interrupt_after_a_skipped_scene_is_status_130(harness, tmp_path):
    (tmp_path / 'cell.py').write_text(SKIPPED)
    cell = harness.NodeProcess(tmp_path, str(tmp_path / 'cell.py'))
    assert cell.wait(60) == 130, cell.output()
    assert '1 skipped (1 contact)' in cell.output()
    assert '1 scenes could not be played' in cell.output()
    assert 'Traceback' not in cell.output()
