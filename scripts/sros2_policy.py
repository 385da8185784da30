"""Write config/sros2_policy.xml: what each node may publish, subscribe to, and serve."""

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


def interface(node: str) -> dict[str, list[str]]:
    """
    Return what a node may do: names by ``publish``, ``subscribe`` and ``reply``.

    :param node: its name in docs/generate/topics.py, which a test compares with the sources.
    """
    named = {direction: [name for name, (way, _) in REMARKS[node].items() if way == direction]
             for direction in (IN, OUT, SERVICE)}
    managed = node in _MANAGED
    return {
        'publish': sorted({*named[OUT], *_PUBLISHED, *(_EVENTS if managed else ())}),
        'subscribe': sorted({*named[IN], *_SUBSCRIBED, *(_TRANSFORMS if managed else ())}),
        'reply': sorted({*named[SERVICE], *_SERVED, *(_LIFECYCLE if managed else ())})}


def policy() -> str:
    """Write the policy: one enclave for each node, in the root namespace."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>',
             '<!-- Made by python scripts/sros2_policy.py; bag_player and run_recorder, which '
             'need any topic, are not for a robot. -->',
             '<policy version="0.2.0">', '  <enclaves>']
    for node in REMARKS:
        if node not in ('bag_player', 'run_recorder', 'sim_cell'):
            lines += _enclave(node)
    return '\n'.join([*lines, '  </enclaves>', '</policy>', ''])


def _enclave(node: str) -> list[str]:
    found = interface(node)
    lines = [f'    <enclave path="/moss_perception/{node}">', '      <profiles>',
             f'        <profile ns="/" node="{node}">']
    for kind, permission in (('topic', 'publish'), ('topic', 'subscribe'), ('service', 'reply')):
        lines += [f'          <{kind}s {permission}="ALLOW">',
                  *(f'            <{kind}>{escape(name)}</{kind}>' for name in found[permission]),
                  f'          </{kind}s>']
    return [*lines, '        </profile>', '      </profiles>', '    </enclave>']


if __name__ == '__main__':
    POLICY.write_text(policy(), encoding='utf-8')
