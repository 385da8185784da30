"""A robot that the test plays, the attempt_recorder that records it, and its operator."""

import itertools
import re
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion
from moss_perception.data.outcomes import ns_to_seconds
from moss_perception.ros.common.conversions import header, ns_to_stamp
from moss_perception.ros.common.subscriptions import subscriptions_of, unconnected
import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

START_NS = 1_700_000_000 * 10**9
PERIOD_NS, LATENCY_NS = 100_000_000, 20_000_000
FRAME = 'camera_optical_frame'
POSES = [Pose(position=Point(x=x, y=0.0, z=0.5), orientation=Quaternion(w=1.0))
         for x in (-0.05, 0.02)]
STATUS = re.compile(r'(?:idle|recording); (\d+) images so far')
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# A busy machine takes its time between the images and the start.
DEFAULTS = {'run_up': 30.0, 'use_sim_time': True}
_numbers = itertools.count()


class Robot:
    """Publishes what a robot would, by a clock of its own."""

    def __init__(self, peer, recorder):
        make = peer.node.create_publisher
        self._peer, self.name = peer, recorder
        self.image = make(Image, '/image', 100)
        self.camera = make(CameraInfo, '/camera_info', LATCHED)
        self.candidates = make(PoseArray, '/grasp_candidates', 100)
        self.executed = make(PoseStamped, '/selected_grasp', 10)
        self.outcomes = make(DiagnosticArray, '/grasp_outcome', 10)
        self.command = make(String, f'{recorder}/command', 10)
        self.clock = make(Clock, '/clock', 10)
        self.now_ns = START_NS
        self.side = 40
        self.noise = np.random.default_rng(4)
        # Once: the recorder asks for what was published before it subscribed.
        matrix = [40.0, 0.0, 19.5, 0.0, 40.0, 19.5, 0.0, 0.0, 1.0]
        self.camera.publish(CameraInfo(
            header=header(1, FRAME), width=40, height=40, distortion_model='plumb_bob',
            d=[0.0] * 5, k=matrix))

    def connect(self, wait_for, *topics):
        topics = ('/image', '/grasp_candidates', '/selected_grasp', *topics)
        expected = [f'{self.name}={x}' for x in topics]
        wait_for(lambda: not unconnected(self._peer.node, expected), 30, 'subscriptions')
        # It subscribes as best effort, until it knows of our publishers: what is lost then is
        # lost for good.
        wait_for(lambda: all(any(
            info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            for info in subscriptions_of(self._peer.node, self.name, topic)) for topic in topics),
            30, 'reliable subscriptions')
        # We know of a subscription before it knows of us, on a busy machine by more than 0.25 s.
        time.sleep(1.0)

    def show(self, frames, last_ns=None, grasps=POSES):
        """Publish images with candidates at 10 a second of their stamps; return the last stamp."""
        last_ns = last_ns or self.now_ns + frames * PERIOD_NS
        for index in range(frames):
            stamp_ns = last_ns - (frames - 1 - index) * PERIOD_NS
            head = header(stamp_ns, FRAME)
            self.tell(stamp_ns + LATENCY_NS)
            if grasps:
                self.candidates.publish(PoseArray(header=head, poses=grasps))
            self.image.publish(Image(
                header=head, height=self.side, width=self.side, encoding='rgb8',
                step=3 * self.side,
                data=self.noise.integers(0, 256, 3 * self.side**2, np.uint8).tobytes()))
        return last_ns

    def tell(self, now_ns):
        """Publish the time."""
        self.now_ns = now_ns
        self.clock.publish(Clock(clock=ns_to_stamp(now_ns)))

    def execute(self, stamp_ns):
        self.executed.publish(PoseStamped(header=header(stamp_ns, FRAME), pose=POSES[1]))

    def report(self, number, start_ns, decision_ns, end_ns, **values):
        pairs = {'attempt': str(number), 'start': ns_to_seconds(start_ns),
                 'decision': ns_to_seconds(decision_ns), 'end': ns_to_seconds(end_ns),
                 'success': 'true', **values}
        self.outcomes.publish(DiagnosticArray(status=[DiagnosticStatus(
            name=f'attempt/{number}', message='held',
            values=[KeyValue(key=key, value=value) for key, value in pairs.items()])]))

    def close(self):
        for publisher in (self.image, self.camera, self.candidates, self.executed, self.outcomes,
                          self.command, self.clock):
            self._peer.node.destroy_publisher(publisher)


class Bench:
    """A recorder, the robot that it records, and its operator."""

    def __init__(self, harness, peer, folder, limit=(), **parameters):
        self.name = f'/recorder_{next(_numbers)}'
        self._peer, self.wait_for = peer, harness.wait_for
        self.out = folder / 'attempts'
        self.shown = 0
        words = ['-r', f'__node:={self.name[1:]}']
        for key, value in (DEFAULTS | {'out': self.out} | parameters).items():
            text = str(value).lower() if isinstance(value, bool) else value
            words += ['-p', f'{key}:={text}']
        self.events = peer.listen(String, f'{self.name}/events')
        self.met = set()
        # Before the process: a service that has not discovered its client yet answers nobody.
        self.clients = {name: peer.node.create_client(Trigger, f'{self.name}/{name}')
                        for name in ('start', 'succeed', 'fail', 'discard', 'closed')}
        self.process = harness.NodeProcess(folder, 'attempt_recorder', *limit,
                                           ros_args=tuple(words))
        self.robot = Robot(peer, self.name)

    def ready(self, *topics):
        """Wait until it is connected; for further topics too."""
        self.wait_for(lambda: 'ready to record' in self.process.output(), 40, 'the recorder')
        self.robot.connect(self.wait_for, *topics)
        return self

    def do(self, name):
        """Call a service; return whether it succeeded, and what it says."""
        assert self.clients[name].wait_for_service(30.0)
        if name not in self.met:
            # On a busy machine discovery takes longer.
            time.sleep(0.3)
            self.met.add(name)
        future = self.clients[name].call_async(Trigger.Request())
        answer = self.wait_for(future.done, 20, f'answer of {name}') and future.result()
        return answer.success, answer.message

    def said(self, text, timeout_s=10.0):
        self.wait_for(lambda: any(text in x.data for x in self.events), timeout_s,
                      f'{text!r} in {[x.data for x in self.events]}')

    def show(self, frames, *args, **options):
        """Publish images, and wait until the recorder has received them."""
        last_ns = self.robot.show(frames, *args, **options)
        self.shown += frames
        self.settle()
        return last_ns

    def settle(self):
        """Wait until the recorder has received all images, and what was published before."""
        def there():
            before = len(self.events)
            self.robot.command.publish(String(data='status'))
            # The executor takes one message of each topic in turn.
            self.wait_for(lambda: any(STATUS.match(x.data) for x in self.events[before:]), 20,
                          'status')
            found = next(filter(None, (STATUS.match(x.data) for x in self.events[before:])))
            return int(found[1]) >= self.shown
        self.wait_for(there, 20, f'{self.shown} images')

    def attempt(self, end='succeed', frames=8, meanwhile=lambda _: None):
        """
        Record an attempt, decided at its third image.

        :param meanwhile: called with the stamp of the decision, after it.
        :returns: the stamps of start, decision and end, and what the recorder says.
        """
        start_ns = self.show(20)
        assert self.do('start')[0]
        decision_ns = self.show(3, start_ns + 3 * PERIOD_NS)
        self.robot.execute(decision_ns)
        meanwhile(decision_ns)
        end_ns = self.show(frames - 3, start_ns + frames * PERIOD_NS, grasps=())
        done, text = self.do(end)
        assert done, text
        return start_ns, decision_ns, end_ns, text
