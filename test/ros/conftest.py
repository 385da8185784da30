"""Fixtures for tests of nodes: processes, a peer to talk to them, a tiny checkpoint."""

import importlib.util
from pathlib import Path
import sys

import pytest


@pytest.fixture(scope='session')
def harness(ros_domain, programs):
    """Return the module ros_harness, which takes the module programs from where it is loaded."""
    if 'ros_harness' not in sys.modules:
        path = Path(__file__).resolve().parents[1] / 'ros_harness.py'
        spec = importlib.util.spec_from_file_location('ros_harness', path)
        sys.modules['ros_harness'] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules['ros_harness'])
    return sys.modules['ros_harness']


@pytest.fixture
def node(ros_domain):
    """Return a node of the test's process; its ``spin`` serves one callback, or waits a moment."""
    # Not above: some tests of this folder run without ROS.
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    context = rclpy.Context()
    rclpy.init(context=context)
    made = rclpy.create_node('tested', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(made)
    made.spin = lambda timeout_s=0.02: executor.spin_once(timeout_s)
    yield made
    executor.shutdown()
    made.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture(scope='module')
def peer(harness):
    """Return a node of the test's own."""
    peer = harness.Peer()
    yield peer
    peer.close()


@pytest.fixture(scope='module')
def predictor(harness, peer, tiny_checkpoint, tmp_path_factory):
    """Return a running grasp_predictor, for a module's tests; see :meth:`PredictorBench.fresh`."""
    bench = harness.PredictorBench(
        peer, tmp_path_factory.mktemp('node'), '-p', f'model_path:={tiny_checkpoint}',
        # One thread: a second one spins while it waits for the first, on a machine that is busy.
        '-p', 'qos_depth:=100', '-p', 'max_gap:=5.0', '-p', 'threads:=1')
    yield bench
    # Malformed messages and publishers that come and go lie behind it.
    status = bench.process.stop()
    assert status == 0, bench.process.output()
    assert 'Traceback' not in bench.process.output(), bench.process.output()


@pytest.fixture
def stream(predictor):
    """Return the running node, configured anew and with nothing heard yet."""
    predictor.fresh()
    yield predictor
    predictor.forget_publishers()


@pytest.fixture
def bench(harness, peer, tmp_path):
    """Return a function that starts a recorder with parameters."""
    started = []

    from robot_bench import Bench

    def start(*topics, **parameters):
        started.append(Bench(harness, peer, tmp_path, **parameters))
        return started[-1].ready(*topics)
    yield start
    for one in started:
        one.process.stop()
        one.robot.close()
        assert 'Traceback' not in one.process.output(), one.process.output()


@pytest.fixture(scope='module')
def watcher(ros_domain):
    """Return a watcher of the system, for a module's tests."""
    from moss_perception.ros.monitor.watcher import SystemWatcher
    with SystemWatcher() as watcher:
        yield watcher


@pytest.fixture(scope='module')
def address(watcher):
    """Return the address of a page that is served, such as 127.0.0.1:12345."""
    from moss_perception.ros.monitor.access import Access
    from page_viewer import served
    with served(watcher, Access(port=0)) as address:
        yield address


@pytest.fixture
def stage(harness, watcher):
    """Return a system that is there only now: the page was opened before."""
    from monitor_stage import Stage
    peer = harness.Peer('grasp_predictor')
    stage = Stage(peer)
    yield stage
    peer.close()
