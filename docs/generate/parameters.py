"""The parameters of the nodes, from the dataclasses that declare them."""

from dataclasses import fields, is_dataclass
from importlib import import_module
import pkgutil

from moss_perception.ros.common.parameters import spec_of
from tables import code, sentence, table

NODES = {'grasp_predictor': 'predictor', 'grasp_gate': 'gate', 'sim_cell': 'cell',
         'bag_player': 'player', 'attempt_recorder': 'recorder'}
"""Nodes by name, and their folders in ``moss_perception/ros``."""


def settings_of(folder):
    """Find the dataclass that declares a node's parameters; ``None`` if there is no such node."""
    name = f'moss_perception.ros.{folder}'
    try:
        package = import_module(name)
    except ModuleNotFoundError:
        return None
    for module in pkgutil.iter_modules(package.__path__):
        for kind in vars(import_module(f'{name}.{module.name}')).values():
            if isinstance(kind, type) and is_dataclass(kind) and fields(kind) and all(
                    'spec' in item.metadata for item in fields(kind)):
                return kind
    return None


def nodes():
    """Return the nodes that there are, with their settings."""
    found = {node: settings_of(folder) for node, folder in NODES.items()}
    return {node: kind for node, kind in found.items() if kind is not None}


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
