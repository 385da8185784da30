"""bag_player over real DDS: the player in a process of its own, the test is its peer."""

import signal
import subprocess
import threading
import time

from calibrations import DISTORTION, write_calibration
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

pytestmark = pytest.mark.timeout(90)

LIMIT_S = 30.0
PROCESSED = '/grasp_predictor/processed'


class Peer:
    """Subscribes to raw bytes in its own thread, and answers images as the predictor does."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('peer', context=self.context)
        self.received: list[tuple[str, bytes]] = []
        self.clock: list[int] = []
        self.changed = threading.Condition()
        self.answers = None
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()

    def listen(self, topic, kind, reliability=ReliabilityPolicy.RELIABLE):
        self.node.create_subscription(
            kind, topic, lambda raw: self._keep(topic, raw),
            QoSProfile(depth=1000, reliability=reliability), raw=True)
        self.executor.wake()

    def listen_to_clock(self):
        self.node.create_subscription(
            Clock, '/clock', lambda x: self.clock.append(x.clock.sec * 10**9 + x.clock.nanosec),
            1000)
        self.executor.wake()

    def answer(self, reply=lambda index, stamp_ns: stamp_ns):
        """Answer the n-th image with the stamp that ``reply`` returns; None for silence."""
        self.reply = reply
        self.answers = self.node.create_publisher(Header, PROCESSED, 10)

    def say(self, stamp_ns):
        header = Header()
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
        self.answers.publish(header)

    def images(self):
        return [raw for topic, raw in self.received if topic == '/image']

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, LIMIT_S), f'waited {LIMIT_S} s in vain'

    def close(self):
        self.executor.shutdown()
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        # Else its subscriptions outlive the test, and the next player hears them.
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def _keep(self, topic, raw):
        with self.changed:
            self.received.append((topic, bytes(raw)))
            self.changed.notify_all()
        if topic == '/image' and self.answers is not None:
            index = len(self.images()) - 1
            stamp_ns = self.reply(index, stamp_of(raw))
            if stamp_ns is not None:
                self.say(stamp_ns)


def sent(entries, *topics) -> list[tuple[str, bytes]]:
    """Return what arrives of entries: RTPS fills a message up to a multiple of 4 bytes."""
    return [(x.topic, x.raw + bytes(-len(x.raw) % 4)) for x in entries
            if not topics or x.topic in topics]


def stamp_of(raw: bytes) -> int:
    return int.from_bytes(raw[4:8], 'little') * 10**9 + int.from_bytes(raw[8:12], 'little')


def parameters(**values) -> list[str]:
    words = ['--ros-args']
    for name, value in values.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words += ['-p', f'{name}:={text}']
    return words


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def start(tmp_path, programs):
    """Start the player from another folder; whatever is left of it ends with the test."""
    started = []

    def run(**values) -> subprocess.Popen:
        process = subprocess.Popen(
            [*programs.command('bag_player'), *parameters(**values)], cwd=tmp_path,
            env=programs.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process) -> tuple[int, str]:
    output, _ = process.communicate(timeout=LIMIT_S)
    return process.returncode, output


def error_of(process) -> str:
    """Expect exit status 1 with one line of error, and return it."""
    status, output = finish(process)
    errors = [line for line in output.splitlines() if '[ERROR]' in line]
    assert status == 1, output
    assert 'Traceback' not in output
    assert len(errors) == 1, output
    return errors[0]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_lock_step_delivers_every_byte_in_order(factory, make_bag, peer, start, storage):
    entries = factory.camera_run(15)
    peer.listen('/notes', String)
    peer.listen('/image', Image)
    peer.answer()
    status, output = finish(start(
        bag=make_bag(entries, storage=storage), lock_step=True, rate=100.0))
    assert status == 0, output
    assert peer.received == sent(entries)


def test_a_calibration_in_a_file_comes_before_each_image_in_place_of_the_recorded_one(
        factory, make_bag, peer, start, tmp_path):
    path = write_calibration(tmp_path / 'cal.yaml', (20, 10), 30.0)
    entries = factory.camera_run(3)
    for topic, kind in (('/image', Image), ('/camera_info', CameraInfo)):
        peer.listen(topic, kind)
    peer.answer()
    status, output = finish(start(bag=make_bag(entries), lock_step=True, calibration=str(path)))
    assert status == 0, output
    assert [topic for topic, _ in peer.received] == ['/camera_info', '/image'] * 3
    infos, images = ([deserialize_message(raw, kind) for topic, raw in peer.received
                      if topic == name] for name, kind in (
                          ('/camera_info', CameraInfo), ('/image', Image)))
    assert [x.header for x in infos] == [x.header for x in images]
    assert all((x.width, x.height, x.k[0], list(x.d)) == (20, 10, 30.0, DISTORTION)
               for x in infos)


def test_lock_step_sends_no_image_before_the_last_is_answered(factory, make_bag, peer, start):
    entries = factory.camera_run(3, period_ns=1_000_000)
    peer.listen('/image', Image)
    peer.answer(lambda index, stamp_ns: None)
    process = start(bag=make_bag(entries), lock_step=True, rate=100.0)
    for count in (1, 2, 3):
        peer.wait(lambda count=count: len(peer.images()) >= count)
        with peer.changed:
            # The next image would be due 10 microseconds after the last.
            assert not peer.changed.wait_for(lambda count=count: len(peer.images()) > count, 0.3)
        peer.say(stamp_of(peer.images()[-1]))
    assert finish(process)[0] == 0


def test_lock_step_does_not_take_the_answer_to_another_image(factory, make_bag, peer, start):
    peer.listen('/image', Image)
    peer.answer(lambda index, stamp_ns: stamp_ns if index == 0 else stamp_ns + 1)
    entries = factory.camera_run(3)
    error = error_of(start(
        bag=make_bag(entries), lock_step=True, rate=100.0, lock_step_timeout=1.0))
    assert '1700000000.020000000' in error
    assert PROCESSED in error
    assert len(peer.images()) == 2


def test_an_answer_lost_to_late_discovery_is_asked_for_again(factory, make_bag, peer, start):
    entries = factory.camera_run(2)
    peer.listen('/image', Image)
    peer.answer(lambda index, stamp_ns: stamp_ns if index else None)
    status, output = finish(start(bag=make_bag(entries), lock_step=True, lock_step_timeout=2.0))
    assert status == 0, output
    first, _, last = entries
    assert peer.images() == [first.raw, first.raw, last.raw]
    assert output.count('sent again') == 1


def test_lock_step_without_a_predictor_fails(factory, make_bag, peer, start):
    peer.listen('/image', Image)
    assert PROCESSED in error_of(start(
        bag=make_bag(factory.camera_run(2)), lock_step=True, start_delay=0.5))
    assert not peer.images()


def test_lock_step_without_a_subscriber_fails(factory, make_bag, peer, start):
    peer.answer()
    assert '/image' in error_of(start(
        bag=make_bag(factory.camera_run(2)), lock_step=True, start_delay=4.0))


def test_a_reliable_subscriber_gets_everything_without_lock_step(factory, make_bag, peer, start):
    entries = factory.camera_run(30)
    peer.listen('/image', Image)
    status, output = finish(start(bag=make_bag(entries), rate=2.0))
    assert status == 0, output
    assert peer.images() == [x.raw for x in entries if x.topic == '/image']


def test_the_first_frame_waits_for_a_late_subscriber(factory, make_bag, peer, start):
    entries = factory.camera_run(3)
    process = start(bag=make_bag(entries), start_delay=LIMIT_S)
    deadline = time.monotonic() + LIMIT_S
    while not peer.node.count_publishers('/image'):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    peer.listen('/image', Image)
    assert finish(process)[0] == 0
    assert peer.images()[0] == entries[0].raw


def test_the_first_frame_waits_for_a_named_node_even_if_another_subscribes(
        factory, make_bag, peer, start):
    entries = factory.camera_run(3)
    peer.listen('/image', Image)
    process = start(bag=make_bag(entries), wait_for_nodes="['/late=/image']", start_delay=LIMIT_S)
    deadline = time.monotonic() + LIMIT_S
    while not peer.node.count_publishers('/image'):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    received = []
    late = rclpy.create_node('late', context=peer.context)
    late.create_subscription(
        Image, '/image', lambda raw: received.append(bytes(raw)), 10, raw=True)
    peer.executor.add_node(late)
    assert finish(process)[0] == 0
    wanted = [x.raw for x in entries if x.topic == '/image']
    peer.wait(lambda: len(peer.images()) == len(wanted))
    late.destroy_node()
    assert received == peer.images() == wanted


def test_a_named_node_that_does_not_subscribe_is_an_error(factory, make_bag, peer, start):
    peer.listen('/image', Image)
    error = error_of(start(
        bag=make_bag(factory.camera_run(2)), wait_for_nodes="['/peer=/image', '/late=/image']",
        start_delay=4.0))
    assert '/late does not subscribe to /image after 4 s: expected every node of' in error
    assert '/peer' not in error and not peer.received


def test_without_subscribers_it_fails_and_names_the_topic(factory, make_bag, peer, start):
    peer.listen('/notes', String)
    error = error_of(start(bag=make_bag(factory.camera_run(2)), start_delay=0.5, rate=100.0))
    assert 'nobody subscribes to /image after 0.5 s: expected a subscriber' in error
    assert not peer.received


def test_it_plays_without_subscribers_if_told_to_and_says_so(factory, make_bag, start):
    status, output = finish(start(
        bag=make_bag(factory.camera_run(2)), start_delay=0.2, rate=100.0,
        play_without_subscribers=True))
    assert status == 0
    assert 'nobody subscribes to /image after 0.2 s' in output
    assert '2 images played' in output


@pytest.mark.parametrize(('rate', 'span_s'), [(2.0, 0.5), (0.5, 2.0)])
def test_rate_scales_the_schedule_without_drift(factory, make_bag, start, tmp_path, rate, span_s):
    entries = factory.camera_run(11, period_ns=100_000_000)
    log = tmp_path / 'timing.csv'
    status, _ = finish(start(
        bag=make_bag(entries), rate=rate, start_delay=0.0, timing_log=log,
        play_without_subscribers=True))
    assert status == 0
    head, *lines = log.read_text().splitlines()
    rows = [tuple(map(int, line.split(','))) for line in lines]
    assert head == 'stamp_ns,publish_monotonic_ns'
    assert [x[0] for x in rows] == [x.stamp_ns for x in entries if x.topic == '/image']
    elapsed_s = (rows[-1][1] - rows[0][1]) / 1e9
    # Late by scheduling on a busy machine, early by the lateness of the first message.
    assert span_s - 0.05 < elapsed_s < span_s + 0.3


def test_clock_follows_the_recording_between_messages_too(factory, make_bag, peer, start):
    entries = factory.camera_run(4, period_ns=200_000_000)
    peer.listen('/image', Image)
    peer.listen_to_clock()
    status, _ = finish(start(bag=make_bag(entries), publish_clock=True))
    assert status == 0
    assert peer.clock == sorted(peer.clock)
    assert {x.stamp_ns for x in entries} <= set(peer.clock)
    # 25 ms apart at rate 1; a busy machine may skip some of the 24.
    assert len(set(peer.clock)) > len(entries) + 8


def test_loop_begins_again_with_the_recorded_stamps_until_interrupted(
        factory, make_bag, peer, start):
    entries = factory.camera_run(3)
    wanted = [x.raw for x in entries if x.topic == '/image']
    peer.listen('/image', Image)
    process = start(bag=make_bag(entries), loop=True)
    peer.wait(lambda: len(peer.images()) >= 7)
    process.send_signal(signal.SIGINT)
    status, output = finish(process)
    assert status == 130
    assert 'Traceback' not in output
    assert peer.images()[:7] == [*wanted, *wanted, wanted[0]]


@pytest.mark.parametrize(('count', 'rate', 'lock_step', 'pause_s'), [
    (1, 1.0, False, 0.1), (1, 1.0, True, 0.1), (4, 2.0, False, 0.25)])
def test_between_two_rounds_of_a_loop_the_last_image_has_its_time(
        factory, make_bag, peer, start, tmp_path, count, rate, lock_step, pause_s):
    entries = factory.camera_run(count, period_ns=500_000_000)
    peer.listen('/image', Image)
    if lock_step:
        peer.answer()
    log = tmp_path / 'timing.csv'
    process = start(bag=make_bag(entries), loop=True, rate=rate, lock_step=lock_step,
                    timing_log=log)
    peer.wait(lambda: len(peer.images()) > 2 * count)
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    times = [int(line.split(',')[1]) / 1e9 for line in log.read_text().splitlines()[1:]]
    assert all(times[n] - times[n - 1] > pause_s - 0.02 for n in (count, 2 * count))


@pytest.mark.parametrize('waiting', ['for subscribers', 'for the next message', 'for an answer'])
def test_an_interrupt_ends_every_kind_of_waiting(factory, make_bag, peer, start, waiting):
    entries = factory.camera_run(2, period_ns=60_000_000_000)
    bag, lock_step = make_bag(entries), waiting == 'for an answer'
    if lock_step:
        peer.answer(lambda index, stamp_ns: None)
    process = start(bag=bag, lock_step=lock_step, start_delay=60.0, lock_step_timeout=60.0)
    if waiting == 'for subscribers':
        deadline = time.monotonic() + LIMIT_S
        while not peer.node.count_publishers('/image'):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    else:
        peer.listen('/image', Image)
        peer.wait(lambda: len(peer.images()) == 1)
    process.send_signal(signal.SIGINT)
    status, output = finish(process)
    assert status == 130
    assert 'Traceback' not in output


@pytest.mark.parametrize(('choice', 'recorded', 'offered'), [
    ('recorded', 'BEST_EFFORT', 'BEST_EFFORT'), ('recorded', 'RELIABLE', 'RELIABLE'),
    ('recorded', None, 'RELIABLE'), ('best_effort', 'RELIABLE', 'BEST_EFFORT'),
    ('reliable', 'BEST_EFFORT', 'RELIABLE')])
def test_images_are_offered_as_recorded_or_as_asked(
        factory, make_bag, peer, start, choice, recorded, offered):
    offers = {'/image': factory.qos(recorded)} if recorded else None
    start(bag=make_bag(factory.camera_run(1), offers=offers), qos_reliability=choice,
          start_delay=60.0)
    deadline = time.monotonic() + LIMIT_S
    while not (found := peer.node.get_publishers_info_by_topic('/image')):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert found[0].qos_profile.reliability == ReliabilityPolicy[offered]


@pytest.mark.parametrize('choice', [
    {'topics': "['/image']"}, {'exclude_topics': "['/notes', '/not_recorded']"}])
def test_only_chosen_topics_are_played(factory, make_bag, peer, start, choice):
    entries = factory.camera_run(3)
    peer.listen('/notes', String)
    peer.listen('/image', Image)
    peer.answer()
    status, _ = finish(start(bag=make_bag(entries), lock_step=True, **choice))
    assert status == 0
    assert peer.received == sent(entries, '/image')


def test_a_type_that_is_not_installed_is_skipped_with_one_warning(factory, tmp_path, peer, start):
    peer.listen('/notes', String)
    status, output = finish(start(
        bag=factory.foreign_bag(tmp_path / 'bag'), wait_for_subscribers="['/notes']"))
    assert status == 0
    assert output.count('nowhere_msgs/msg/Strange') == 1
    assert [x[0] for x in peer.received] == ['/notes']


def test_many_messages_between_two_images_all_arrive(factory, make_bag, peer, start):
    start_ns = factory.START_NS
    entries = [factory.image(start_ns), *(
        factory.text(start_ns + 1 + i, f'{i}') for i in range(300)),
        factory.image(start_ns + 1000)]
    peer.listen('/notes', String)
    peer.listen('/image', Image)
    peer.answer()
    status, output = finish(start(bag=make_bag(entries), lock_step=True))
    assert status == 0, output
    # Both have arrived by then, but an executor takes from its subscriptions in turn.
    peer.wait(lambda: len(peer.received) == len(entries))
    for topic in ('/notes', '/image'):
        assert [x for x in peer.received if x[0] == topic] == sent(entries, topic)


@pytest.mark.parametrize(('values', 'named'), [
    ({}, 'bag is empty'),
    ({'bag': '/nowhere/bag'}, '/nowhere/bag'),
    ({'bag': 'BAG', 'rate': 0.0}, 'rate'),
    ({'bag': 'BAG', 'rate': 101.0}, 'rate'),
    ({'bag': 'BAG', 'qos_reliability': 'sometimes'}, 'sometimes'),
    ({'bag': 'BAG', 'qos_reliability': 'best_effort', 'lock_step': True}, 'best_effort'),
    ({'bag': 'BAG', 'topics': "['/nose']"}, '/nose'),
    ({'bag': 'BAG', 'wait_for_subscribers': "['/ear']"}, '/ear'),
    ({'bag': 'BAG', 'wait_for_nodes': "['/ear']"}, "wait_for_nodes=('/ear',) is not allowed"),
    ({'bag': 'BAG', 'exclude_topics': "['/image', '/notes']"}, 'nothing to play'),
    ({'bag': 'BAG', 'lock_step': True, 'topics': "['/notes']"}, '/image'),
    ({'bag': 'BAG', 'calibration': '/nowhere/cal.yaml'}, '/nowhere/cal.yaml'),
    ({'bag': 'BAG', 'timing_log': '/nowhere/log.csv'}, '/nowhere/log.csv'),
])
def test_what_cannot_be_done_is_one_line_and_status_1(factory, make_bag, start, values, named):
    bag = str(make_bag(factory.camera_run(2)))
    assert named in error_of(start(**{
        key: bag if value == 'BAG' else value for key, value in values.items()}))


def test_lock_step_refuses_a_bag_without_images(factory, make_bag, start):
    bag = make_bag([factory.text(1, 'x')])
    assert '/notes' in error_of(start(bag=bag, lock_step=True))


def damage(bag, part):
    """Cut a recording's file off; or spoil a part within it, so that its index looks whole."""
    file = next(x for x in bag.iterdir() if x.suffix in ('.mcap', '.db3'))
    data = file.read_bytes()
    if part > 0:
        file.write_bytes(data[:round(part * len(data))])
    else:
        at = round(-part * len(data))
        file.write_bytes(data[:at] + b'\xff' * 200_000 + data[at + 200_000:])


@pytest.mark.parametrize(('storage', 'part'), [('mcap', 0.6), ('sqlite3', 0.6), ('mcap', -0.6)])
def test_of_a_damaged_recording_what_is_there_is_played_and_the_rest_is_told(
        factory, make_bag, peer, start, storage, part):
    entries = [factory.image(factory.START_NS + n * 1000, side=160, fill=n) for n in range(60)]
    bag = make_bag(entries, storage=storage)
    damage(bag, part)
    peer.listen('/image', Image)
    peer.answer()
    status, output = finish(start(bag=bag, lock_step=True, rate=100.0))
    assert status == 0, output
    count = len(peer.images())
    assert 20 < count < 60
    # Whole and in order; what is spoiled within is left out.
    raws, played = [x.raw for x in entries], peer.images()
    assert played == [raw for raw in raws if raw in played]
    assert (played == raws[:count]) is (part > 0)
    told, = (line for line in output.splitlines() if 'damaged or cut off' in line)
    assert '[WARN]' in told and str(bag) in told
    assert f'of 60 messages {count} are there, {1 - count / 60:.1%} are missing' in told
    assert f'{count} images played' in output


def test_where_nothing_can_be_read_it_is_one_line_and_status_1(factory, make_bag, start):
    bag = make_bag(factory.camera_run(20))
    damage(bag, 0.01)
    assert 'nothing of it can be read' in error_of(start(bag=bag))
