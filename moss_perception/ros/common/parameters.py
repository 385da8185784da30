"""Parameters that a node reads once, at its start, into a dataclass."""

from dataclasses import field, fields
from typing import Any, TypeVar

from moss_perception.core.errors import ConfigError
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

Settings = TypeVar('Settings')


def setting(default: Any, description: str, *, low: float | None = None,
            high: float | None = None) -> Any:
    """
    Describe one parameter as the field of a dataclass.

    :param default: its value where none is given, which also says its type.
    :param description: one line for the one who sets it.
    :param low: lowest number allowed, with ``high``; ``None`` for any.
    """
    bounds = None if low is None else (low, high)
    return field(default=default, metadata={'description': description, 'bounds': bounds})


def read_settings(node: Node, kind: type[Settings]) -> Settings:
    """
    Declare the parameters on a node and read them.

    :param kind: a dataclass whose fields are made by :func:`setting`.
    :raises ConfigError: if one has the wrong type or is out of range.
    """
    values = {}
    for item in fields(kind):
        try:
            values[item.name] = _declare(node, item.name, item.default, **item.metadata)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            reason = ' '.join(str(error).split())
            raise ConfigError(f'parameter {item.name}: {reason}') from error
    return kind(**values)


def _declare(node: Node, name: str, default: Any, *, description: str,
             bounds: tuple[float, float] | None) -> Any:
    # They are read once; a change that did nothing would mislead.
    descriptor = ParameterDescriptor(description=description, read_only=True)
    if bounds is not None and isinstance(default, int):
        descriptor.integer_range = [
            IntegerRange(from_value=bounds[0], to_value=bounds[1], step=1)]
    elif bounds is not None:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=bounds[0], to_value=bounds[1])]
    if not isinstance(default, tuple):
        return node.declare_parameter(name, default, descriptor).value
    # An empty list has no type in rclpy: a list of one empty name stands for it, and [] on the
    # command line arrives as no value at all.
    names = node.declare_parameter(name, [''], descriptor).value or ()
    return tuple('/' + x.strip('/') for x in names if x.strip('/'))
