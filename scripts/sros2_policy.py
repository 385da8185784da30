"""Write config/sros2_policy.xml: what each node may publish, subscribe to, serve and call."""

from pathlib import Path
import sys
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / 'docs' / 'generate'):
    sys.path.insert(1, str(folder))

from topics import IN, OUT, REMARKS, SERVICE  # noqa: E402

POLICY = ROOT / 'config' / 'sros2_policy.xml'
# Nodes of PyPI and apt create these by themselves.
_PUBLISHED = ('/rosout', '/parameter_events')
_SUBSCRIBED = ('/clock', '/parameter_events')
_SERVED = tuple(f'~/{name}' for name in (
    'describe_parameters', 'get_parameter_types', 'get_parameters', 'list_parameters',
    'set_parameters', 'set_parameters_atomically', 'get_type_description'))
_LIFECYCLE = tuple(f'~/{name}' for name in (
    'change_state', 'get_state', 'get_available_states', 'get_available_transitions',
    'get_transition_graph'))
_EVENTS = ('~/transition_event',)
_MANAGED = ('grasp_predictor',)
_TRANSFORMS = ('/tf', '/tf_static')
# The launch files connect the gate to the predictor by a remapping.
_REMAPPED = {'grasp_gate': ('grasp_predictor/grasp_scores',)}
_RECORDER = tuple(f'attempt_recorder/{name}' for name in ('start', 'succeed', 'fail', 'discard'))
# Those that call the nodes above, and have no interface of their own: moss activate, which is the
# starter of a launch file; moss monitor; and a planner with moss_perception.client.
CLIENTS: dict[str, dict[str, tuple[str, ...]]] = {
    'lifecycle_starter': {
        'request': ('grasp_predictor/change_state', 'grasp_predictor/get_state')},
    'grasp_monitor': {
        'subscribe': ('/diagnostics', 'attempt_recorder/events', 'attempt_recorder/state',
                      'camera_info', 'grasp_gate/state', 'grasp_outcome',
                      'grasp_predictor/grasp_scores', 'grasp_predictor/motion_features', 'image',
                      'image/compressed', 'selected_grasp'),
        'request': ('grasp_predictor/enable', 'grasp_predictor/reset', *_RECORDER)},
    'planner': {
        'publish': ('grasp_candidates', 'grasp_lead_times'),
        'subscribe': ('grasp_predictor/grasp_scores', 'grasp_predictor/heartbeat',
                      'selected_grasp')}}


def interface(node: str) -> dict[str, list[str]]:
    """
    Return what a node may do: names by ``publish``, ``subscribe``, ``reply`` and ``request``.

    :param node: its name in docs/generate/topics.py, which a test compares with the sources, or
        in :data:`CLIENTS`.
    """
    if node in CLIENTS:
        own = {'publish': _PUBLISHED, 'subscribe': _SUBSCRIBED, 'reply': _SERVED}
        return {way: sorted({*own.get(way, ()), *CLIENTS[node].get(way, ())})
                for way in ('publish', 'subscribe', 'reply', 'request')}
    named = {direction: [name for name, (way, _) in REMARKS[node].items() if way == direction]
             for direction in (IN, OUT, SERVICE)}
    managed = node in _MANAGED
    return {
        'publish': sorted({*named[OUT], *_PUBLISHED, *(_EVENTS if managed else ())}),
        'subscribe': sorted({*named[IN], *_SUBSCRIBED, *(_TRANSFORMS if managed else ()),
                             *_REMAPPED.get(node, ())}),
        'reply': sorted({*named[SERVICE], *_SERVED, *(_LIFECYCLE if managed else ())}),
        'request': []}


def policy() -> str:
    """Write the policy: one enclave for each node, in the root namespace."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>',
             '<!-- Made by python scripts/sros2_policy.py; bag_player and run_recorder, which '
             'need any topic, are not for a robot. -->',
             '<policy version="0.2.0">', '  <enclaves>']
    for node in (*REMARKS, *CLIENTS):
        if node not in ('bag_player', 'run_recorder', 'sim_cell'):
            lines += _enclave(node)
    return '\n'.join([*lines, '  </enclaves>', '</policy>', ''])


def _enclave(node: str) -> list[str]:
    found = interface(node)
    lines = [f'    <enclave path="/moss_perception/{node}">', '      <profiles>',
             f'        <profile ns="/" node="{node}">']
    for kind, permission in (('topic', 'publish'), ('topic', 'subscribe'), ('service', 'reply'),
                             ('service', 'request')):
        if not found[permission]:
            continue
        lines += [f'          <{kind}s {permission}="ALLOW">',
                  *(f'            <{kind}>{escape(name)}</{kind}>' for name in found[permission]),
                  f'          </{kind}s>']
    return [*lines, '        </profile>', '      </profiles>', '    </enclave>']


if __name__ == '__main__':
    POLICY.write_text(policy(), encoding='utf-8')
