"""The SROS2 policy allows what the nodes do in the live graph, and nothing that they do not."""

from pathlib import Path
import subprocess
import sys
from xml.etree import ElementTree

from moss_perception.client.scorer import GraspScorer
from moss_perception.ros.common.lifecycle import Autostart
from moss_perception.ros.common.spinning import serving
from moss_perception.ros.gate import GraspGate
from moss_perception.ros.monitor.watcher import SystemWatcher
from moss_perception.ros.system.grasp import grasp_system
from node_bench import Bench
import pytest
import rclpy

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / 'config' / 'sros2_policy.xml'
# Allowed, and there only at times: with another transport, with tf, and while someone watches.
AT_TIMES = {'/image/compressed', '/tf', '/tf_static', '/selected_grasp', '/clock',
            '/parameter_events'}
# Allowed to what calls the nodes, beside.
WATCHED = {'/image', '/camera_info', '/grasp_predictor/motion_features'}
BESIDE = {'grasp_gate': {'/grasp_predictor/grasp_scores'}, 'grasp_monitor': WATCHED,
          'planner': {'/grasp_predictor/heartbeat'}}
pytestmark = pytest.mark.timeout(120)


def allowed(node):
    """Read the absolute names that a node may use, by permission."""
    found = {}
    for group in ElementTree.parse(POLICY).iterfind(f".//profile[@node='{node}']/*"):
        (permission, _), = group.attrib.items()
        found[permission] = {_absolute(x.text, node) for x in group}
    return found


def _absolute(name, node):
    return name.replace('~', f'/{node}') if name.startswith('~') else f'/{name.lstrip("/")}'


def live(node, name):
    """Read the same from the graph."""
    ways = {'publish': node.get_publisher_names_and_types_by_node,
            'subscribe': node.get_subscriber_names_and_types_by_node,
            'reply': node.get_service_names_and_types_by_node,
            'request': node.get_client_names_and_types_by_node}
    return {way: {topic for topic, _ in ask(name, '/')} for way, ask in ways.items()}


def compare(node, name):
    used, may = live(node, name), allowed(name)
    at_times = AT_TIMES | BESIDE.get(name, set()) | {f'/{name}/get_type_description'}
    assert set(may) <= set(used)
    for way, names in used.items():
        assert names - may.get(way, set()) == set(), f'{name} may not {way} these'
        assert may.get(way, set()) - names <= at_times, f'{name} does not {way} these'


def test_the_policy_is_the_one_of_the_declared_interface(tmp_path):
    before = POLICY.read_text()
    made = subprocess.run(
        [sys.executable, '-c', 'import sys; sys.path.insert(0, "scripts"); import sros2_policy; '
         'print(sros2_policy.policy(), end="")'], cwd=ROOT, capture_output=True, text=True)
    assert made.stdout == before, made.stderr or 'run python scripts/sros2_policy.py'


def test_the_predictor_does_what_the_policy_allows(tiny_checkpoint):
    bench = Bench(tiny_checkpoint)
    try:
        bench.activate()
        bench.spin_until(lambda: '/grasp_predictor/grasp_scores' in live(
            bench.peer, 'grasp_predictor')['publish'])
        compare(bench.node, 'grasp_predictor')
    finally:
        bench.close()


def test_the_gate_does_what_the_policy_allows(ros_domain):
    rclpy.init()
    try:
        node = GraspGate()
        compare(node, 'grasp_gate')
        node.destroy_node()
    finally:
        rclpy.shutdown()


@pytest.mark.parametrize('name', ['lifecycle_starter', 'planner'])
def test_what_calls_the_nodes_does_what_the_policy_allows(ros_domain, name):
    rclpy.init()
    try:
        node = rclpy.create_node(name)
        with serving(node) as spin:
            if name == 'planner':
                _ = GraspScorer(node)
            else:
                _ = Autostart(node, spin, 'grasp_predictor', 1.0)
            compare(node, name)
        node.destroy_node()
    finally:
        rclpy.shutdown()


def test_a_monitor_does_what_the_policy_allows(ros_domain):
    with SystemWatcher() as watcher:
        compare(watcher._node, 'grasp_monitor')


def test_every_process_of_a_system_on_a_robot_has_an_enclave():
    """Those that the launch file starts, without what plays, simulates or is another program."""
    processes = grasp_system({'gate': 'true', 'autostart': 'true', 'web': 'true',
                              'console': 'true'})
    names = {x.name for x in processes}
    assert {'grasp_predictor', 'grasp_gate', 'lifecycle_starter', 'grasp_monitor'} <= names
    for name in names:
        assert allowed(name), name
