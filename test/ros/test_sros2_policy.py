"""The SROS2 policy allows what the nodes do in the live graph, and nothing that they do not."""

from pathlib import Path
import subprocess
import sys
from xml.etree import ElementTree

from moss_perception.ros.gate import GraspGate
from node_bench import Bench
import pytest
import rclpy

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / 'config' / 'sros2_policy.xml'
# Allowed, and there only at times: with another transport, with tf, and while someone watches.
AT_TIMES = {'/image/compressed', '/tf', '/tf_static', '/selected_grasp', '/clock',
            '/parameter_events', '/grasp_predictor/get_type_description',
            '/grasp_gate/get_type_description'}
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
            'reply': node.get_service_names_and_types_by_node}
    return {way: {topic for topic, _ in ask(name, '/')} for way, ask in ways.items()}


def compare(node, name):
    used, may = live(node, name), allowed(name)
    assert set(used) == set(may)
    for way, names in used.items():
        assert names - may[way] == set(), f'{name} may not {way} these'
        assert may[way] - names <= AT_TIMES, f'{name} does not {way} these'


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
