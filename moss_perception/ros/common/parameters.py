"""
The parameters of a node as a dataclass, with validation of every change.

Each node has one dataclass with a field for each parameter, made by :func:`setting`. Put rules
that combine several parameters into its ``__post_init__``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, Field, field, fields, replace
from enum import Enum
import math
import re
from types import MappingProxyType
from typing import Any, cast, Generic, TypeVar

from moss_perception.core.errors import ConfigError
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

T = TypeVar('T')
Settings = TypeVar('Settings')
_SPEC = 'spec'
_TYPES: dict[type, str] = {
    bool: 'true or false', int: 'an integer', float: 'a number with a decimal point',
    str: 'a string', tuple: 'a list of strings'}


class Change(Enum):
    """When a parameter may change, in the words of its description."""

    NEVER = 'is read once, at the start'
    UNCONFIGURED = 'can be changed only while the node is unconfigured'
    ANY_TIME = 'can be changed at any time'


@dataclass(frozen=True)
class Allowed:
    """
    The values that a parameter may have.

    :ivar expected: the values in words.
    :ivar accepts: returns whether a value is one of them.
    """

    expected: str
    accepts: Callable[[Any], bool]


@dataclass(frozen=True)
class Spec:
    """
    The properties of a parameter besides its name and default.

    :ivar description: one line for the user who sets it.
    :ivar bounds: lowest and highest number; ``None`` for other types.
    :ivar any_type: whether values of any type reach the dataclass.
    """

    description: str
    change: Change
    bounds: tuple[float, float] | None = None
    allowed: Allowed | None = None
    any_type: bool = False


def one_of(*choices: str) -> Allowed:
    """Allow only these values."""
    return Allowed('one of ' + ', '.join(choices), lambda value: value in choices)


def matching(pattern: str, expected: str) -> Allowed:
    """
    Allow only strings that match a regular expression.

    :param expected: the pattern in words.
    """
    return Allowed(expected, lambda value: re.fullmatch(pattern, value) is not None)


# Absolute names, such as /run_recorder=/grasp_outcome.
SUBSCRIBERS = Allowed('a list of NODE=TOPIC, absolute names', lambda pairs: all(
    re.fullmatch(r'/[^=]+=/[^=]+', pair) for pair in pairs))


def setting(default: T, description: str, *, low: float | None = None, high: float | None = None,
            allowed: Allowed | None = None, change: Change = Change.NEVER,
            any_type: bool = False) -> T:
    """
    Describe one parameter as the field of a dataclass.

    :param default: the default value; it sets the type of the parameter.
    :param description: one line for the user who sets it.
    :param low: lowest number allowed; only with ``high``.
    :param high: highest number allowed.
    :param allowed: from :func:`one_of` or :func:`matching`; ``None`` allows every value.
    :param change: when the parameter may change.
    :param any_type: accept values of any type; the dataclass then checks them.
    """
    bounds = None if low is None or high is None else (low, high)
    spec = Spec(description, change, bounds, allowed, any_type)
    # A type checker sees the value that an instance has, not the dataclass field.
    return cast(T, field(default=default, metadata={_SPEC: spec}))


def spec_of(item: 'Field[Any]') -> Spec:
    """Return the properties that :func:`setting` stored in a dataclass field."""
    return item.metadata[_SPEC]


def check(name: str, default: Any, spec: Spec, value: Any) -> None:
    """
    Check one value.

    :raises ConfigError: naming the parameter, its value and what was expected.
    """
    if spec.any_type:
        return
    expected = ''
    if not _is_of_type(value, default):
        expected = _TYPES[type(default)]
    elif spec.allowed is not None and not spec.allowed.accepts(value):
        expected = spec.allowed.expected
    elif spec.bounds is not None and not (
            math.isfinite(value) and spec.bounds[0] <= value <= spec.bounds[1]):
        expected = f'{spec.bounds[0]} to {spec.bounds[1]}'
    if expected:
        raise ConfigError(f'parameter {name}={value!r} is not allowed: expected {expected}')


def _is_of_type(value: Any, default: Any) -> bool:
    if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
        return False
    return type(value) is type(default)


def descriptor(item: 'Field[Any]') -> ParameterDescriptor:
    """Describe a parameter for ``ros2 param describe``."""
    spec = spec_of(item)
    expected = f'{spec.allowed.expected}; ' if spec.allowed else ''
    result = ParameterDescriptor(
        name=item.name, description=spec.description, dynamic_typing=spec.any_type,
        type=Parameter.Type.from_parameter_value(_to_ros(item.default)).value,
        read_only=spec.change is Change.NEVER,
        additional_constraints=f'{expected}{spec.change.value}')
    if spec.bounds is not None and isinstance(item.default, int):
        low, high = map(int, spec.bounds)
        result.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    elif spec.bounds is not None:
        low, high = map(float, spec.bounds)
        result.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return result


def changed(current: Settings, changes: Iterable[Parameter], configured: bool) -> Settings:
    """
    Return the settings with changes applied.

    :param changes: the argument of an rclpy callback; undeclared parameters are ignored.
    :param configured: whether the node has been configured.
    :raises ConfigError: if one of the changes is not allowed.
    """
    # A dataclass that is only known as a type variable.
    known: dict[str, Field[Any]] = {x.name: x for x in fields(cast(Any, current))}
    values: dict[str, Any] = {}
    for parameter in changes:
        if parameter.name not in known:
            continue
        item = known[parameter.name]
        spec = spec_of(item)
        if configured and spec.change is Change.UNCONFIGURED:
            raise ConfigError(
                f'parameter {item.name} {spec.change.value}: deactivate and clean up first')
        value = _from_ros(item.default, parameter.value)
        check(item.name, item.default, spec, value)
        values[item.name] = value
    settings = replace(cast(Any, current), **values)
    for name, value in values.items():
        # Of a parameter of any type, rclpy takes no value as the wish to delete the parameter.
        if value is None:
            raise ConfigError(f'parameter {name}=None is not allowed: expected a value, '
                              'because a node keeps its parameters')
    return settings


class NodeParameters(Generic[Settings]):
    """
    The parameters of one node.

    A batch of changes is validated as a whole. :attr:`values` changes only after rclpy has
    accepted the batch, so a batch that any callback rejects has no effect.

    :param kind: a dataclass whose fields are made by :func:`setting`.
    :param is_configured: returns whether the node has been configured.
    :param validate: raises ConfigError for settings that the node cannot use now.
    :param apply: called with the old and the new settings after a change.
    :param renamed: new names of parameters by their old ones, which are refused at the start.
    :ivar values: the current settings.
    :raises ConfigError: if a value or an old name given at the start is not allowed.
    """

    def __init__(self, node: Node, kind: type[Settings], *,
                 is_configured: Callable[[], bool] = lambda: False,
                 validate: Callable[[Settings], None] = lambda _: None,
                 apply: Callable[[Settings, Settings], None] = lambda *_: None,
                 renamed: Mapping[str, str] = MappingProxyType({})):
        self._is_configured, self._validate_more, self._apply_more = is_configured, validate, apply
        _refuse_old_names(node, renamed)
        self.values = kind(**{
            item.name: _declare(node, item) for item in fields(cast(Any, kind))})
        validate(self.values)
        node.add_on_set_parameters_callback(self._validate)
        node.add_post_set_parameters_callback(self._apply)

    def _validate(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            self._validate_more(changed(self.values, changes, self._is_configured()))
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, changes: list[Parameter]) -> None:
        before = self.values
        self.values = changed(before, changes, self._is_configured())
        if self.values != before:
            self._apply_more(before, self.values)


def read_settings(node: Node, kind: type[Settings]) -> Settings:
    """
    Declare the parameters of a node that reads them once, at its start.

    :param kind: a dataclass whose fields are made by :func:`setting`.
    :raises ConfigError: if a value given at the start is not allowed.
    """
    return NodeParameters(node, kind).values


def _refuse_old_names(node: Node, renamed: Mapping[str, str]) -> None:
    # rclpy ignores a start value that no parameter takes, and shows it only to a declaration.
    anything = ParameterDescriptor(dynamic_typing=True)
    for old, new in renamed.items():
        given = node.declare_parameter(old, None, anything)
        node.undeclare_parameter(old)
        if given.value is not None:
            raise ConfigError(f'parameter {old}={given.value!r} is not allowed: expected the '
                              f'parameter {new}, which replaces it')


def _declare(node: Node, item: 'Field[Any]') -> Any:
    # With its final descriptor, rclpy would reject a bad start value with its own message.
    anything = ParameterDescriptor(dynamic_typing=True)
    given = node.declare_parameter(item.name, _to_ros(item.default), anything).value
    value = _from_ros(item.default, given)
    check(item.name, item.default, spec_of(item), value)
    node.set_descriptor(item.name, descriptor(item), Parameter(
        item.name, value=_to_ros(value)).get_parameter_value())
    return value


def _to_ros(value: Any) -> Any:
    # rclpy cannot infer the type of an empty list: we use a list of one empty name instead.
    return list(value) or [''] if isinstance(value, tuple) else value


def _from_ros(default: object, value: Any) -> Any:
    if not isinstance(default, tuple):
        return value
    # [] on the command line arrives as None.
    items = () if value is None else value
    if isinstance(items, str) or not isinstance(items, Sequence):
        return value
    if not all(isinstance(item, str) for item in items):
        return tuple(items)
    return tuple('/' + name.strip('/') for name in items if name.strip('/'))
