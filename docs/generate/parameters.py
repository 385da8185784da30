"""The parameters of the nodes, from the dataclasses that declare them."""

from dataclasses import fields, is_dataclass
from importlib import import_module

from moss_perception.ros.common.parameters import spec_of
from tables import code, sentence, table

NODES = {'grasp_predictor': 'predictor.parameters', 'grasp_gate': 'gate',
         'sim_cell': 'cell.node', 'bag_player': 'player.settings',
         'attempt_recorder': 'recorder.settings', 'run_recorder': 'run_recorder'}
"""Nodes by name, and the modules of ``moss_perception/ros`` that declare their parameters."""


def settings_of(module):
    """Find the dataclass that declares a node's parameters."""
    for kind in vars(import_module(f'moss_perception.ros.{module}')).values():
        if isinstance(kind, type) and is_dataclass(kind) and fields(kind) and all(
                'spec' in item.metadata for item in fields(kind)):
            return kind
    raise LookupError(f'moss_perception.ros.{module} declares no parameters')


def nodes():
    """Return the nodes that there are, with their settings."""
    return {node: settings_of(module) for node, module in NODES.items()}


def markdown():
    """Write a section a node."""
    parts = []
    for node, kind in nodes().items():
        parts += [f'## {node}', table(
            ['parameter', 'default', 'values', 'changes', 'meaning'],
            [_row(item) for item in fields(kind)])]
    return '\n\n'.join(parts)


def _row(item):
    spec = spec_of(item)
    values = spec.allowed.expected.replace('<', '&lt;') if spec.allowed else ''
    if spec.bounds is not None:
        values = f'{spec.bounds[0]:g} to {spec.bounds[1]:g}'
    changes = {'NEVER': 'at start only', 'UNCONFIGURED': 'unconfigured',
               'ANY_TIME': 'any time'}[spec.change.name]
    default = str(item.default).lower() if isinstance(item.default, bool) else item.default
    return [code(item.name), code('[]' if default == () else default), values or 'any', changes,
            sentence(spec.description)]
