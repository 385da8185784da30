"""
Faults of a node in the test's process: clocks that pause, and many configurations.

In a file of their own: the node of another file would hear the same images.
"""

from pathlib import Path
import threading

from moss_perception.ros.common import conversions
from node_bench import Bench
import pytest
from rosgraph_msgs.msg import Clock

pytestmark = pytest.mark.timeout(120)
START, WINDOW = 10**9, 16


@pytest.fixture
def inside(tiny_checkpoint):
    """Return a function that makes a node in this process, with its planner."""
    made = []

    def make(**parameters):
        made.append(Bench(tiny_checkpoint, **parameters))
        return made[-1]
    yield make
    for bench in made:
        bench.close()


def test_a_clock_that_pauses_stops_neither_scores_nor_diagnostics(inside):
    bench = inside(use_sim_time=True)
    bench.activate()
    clock = bench.peer.create_publisher(Clock, '/clock', 10)
    bench.spin_until(clock.get_subscription_count)
    clock.publish(Clock(clock=conversions.ns_to_stamp(START)))
    bench.propose(0)
    scores = [bench.send(k) for k in range(WINDOW + 4)]
    assert [x is None for x in scores] == [True] * (WINDOW - 1) + [False] * 5
    assert bench.values()['state'] == 'active'
    # It goes on, and back as a recording that loops.
    for now_ns in (3 * START, START):
        clock.publish(Clock(clock=conversions.ns_to_stamp(now_ns)))
    assert bench.send(WINDOW + 4) is not None
    assert bench.values()['failures'] == '0'


def test_many_configurations_leave_no_threads_and_no_files(inside):
    bench = inside()

    def cycle():
        bench.activate()
        assert bench.node.trigger_deactivate().name == 'SUCCESS'
        assert bench.node.trigger_cleanup().name == 'SUCCESS'

    def held():
        return threading.active_count(), len(list(Path('/proc/self/fd').iterdir()))
    for _ in range(2):
        cycle()
    before = held()
    for _ in range(10):
        cycle()
    assert held() <= before
    bench.activate()
    bench.propose(0)
    assert [bench.send(k) for k in range(WINDOW)][-1] is not None
