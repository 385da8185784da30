"""The parameters of grasp_predictor: their ranges, when they may change, and their refusal."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
import math
import re
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.runtime.budget import parse_orders
from moss_perception.runtime.engine import ENGINES
from moss_perception.runtime.predictor import MAX_GAP_S
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.parameter import Parameter

TRANSPORTS = ('raw', 'compressed')
RELIABILITIES = ('match', 'best_effort', 'reliable')
HIGHEST_ORDER = 4


def _one_of(*choices: str) -> tuple[str, Callable[[str], bool]]:
    return 'one of ' + ', '.join(choices), lambda value: value in choices


def _matching(pattern: str, words: str) -> tuple[str, Callable[[str], bool]]:
    return words, lambda value: re.fullmatch(pattern, value) is not None


def _parameter(default: Any, description: str, *, configure: bool = True,
               bounds: tuple[float, float] | None = None, dynamic: bool = False,
               allowed: tuple[str, Callable[[Any], bool]] | None = None) -> Any:
    """Describe one parameter; the description lies in the field's metadata."""
    return field(default=default, metadata={
        'description': description, 'configure': configure, 'bounds': bounds,
        'dynamic': dynamic, 'allowed': allowed})


@dataclass(frozen=True)
class PredictorParameters:
    """All parameters of grasp_predictor; a field's metadata says range and phase."""

    model_path: str = _parameter(
        '', 'Checkpoint (safetensors); empty for the one that comes with the package.')
    model_sha256: str = _parameter(
        '', 'Expected SHA-256 of the checkpoint; empty to take it from SHA256SUMS beside it.',
        allowed=_matching('([0-9a-fA-F]{64})?', '64 hexadecimal digits, or nothing'))
    engine: str = _parameter(
        ENGINES[0], 'What runs the network; onnxruntime needs the exported graphs.',
        allowed=_one_of(*ENGINES))
    device: str = _parameter(
        'cpu', 'Where the engine computes.',
        allowed=_matching(r'cpu|(cuda|xpu)(:\d+)?|mps', 'cpu, cuda, cuda:<n>, xpu or mps'))
    threads: int = _parameter(
        2, 'Threads of the engine; 0 leaves it to the engine.', bounds=(0, 256))
    max_gap: float = _parameter(
        MAX_GAP_S, 'A gap between frames above this resets the window, seconds.',
        bounds=(0.01, 60.0))
    image_transport: str = _parameter(
        'raw', 'Whether to listen to image or to image/compressed.', allowed=_one_of(*TRANSPORTS))
    qos_reliability: str = _parameter(
        'match', 'Reliability of the subscriptions; match is reliable once every publisher is.',
        allowed=_one_of(*RELIABILITIES))
    qos_depth: int = _parameter(
        5, 'Images that wait in the middleware.', bounds=(1, 1000))
    publish_features: bool = _parameter(
        True, 'Publish the map of motion features, while someone subscribes.')
    score_threshold: float = _parameter(
        0.5, 'Scores from here on count as a good grasp in overlay and diagnostics.',
        configure=False, bounds=(0.0, 1.0))
    stride: int = _parameter(
        1, 'Publish every n-th sample.', configure=False, bounds=(1, 1000))
    orders: Any = _parameter(
        'auto', 'Self-similarity orders to run: auto, or a prefix such as [1, 2].',
        configure=False, dynamic=True)
    latency_budget: float = _parameter(
        0.05, 'Seconds that a step may take, with orders at auto.',
        configure=False, bounds=(0.001, 10.0))

    def highest_order(self, available: int = HIGHEST_ORDER, lowest: int = 1) -> int | None:
        """
        Read the parameter ``orders``.

        :param available: the checkpoint's highest order.
        :param lowest: orders 1 to this one are the shortest prefix that it was trained for.
        :returns: the highest order to run, or ``None`` to choose by the time it takes.
        :raises ConfigError: if ``orders`` is neither ``auto`` nor a prefix of the available.
        """
        text = self.orders
        if not isinstance(text, str):
            # Its type may change: ROS also sends single numbers, arrays of any type, and None.
            text = ','.join(map(str, text)) if isinstance(text, Sequence) else str(text)
        return parse_orders(text, available, lowest)


FIELDS = PredictorParameters.__dataclass_fields__


def descriptor(name: str) -> ParameterDescriptor:
    """
    Describe a parameter for ``ros2 param describe``.

    :param name: a field of :class:`PredictorParameters`.
    """
    meta = FIELDS[name].metadata
    result = ParameterDescriptor(
        name=name, description=meta['description'], dynamic_typing=meta['dynamic'])
    phase = 'only while unconfigured' if meta['configure'] else 'at any time'
    expected = f'{meta["allowed"][0]}; ' if meta['allowed'] else ''
    result.additional_constraints = f'{expected}can be changed {phase}'
    if meta['bounds'] and isinstance(FIELDS[name].default, int):
        low, high = meta['bounds']
        result.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    elif meta['bounds']:
        low, high = meta['bounds']
        result.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return result


def check(values: PredictorParameters, available_orders: int = HIGHEST_ORDER,
          lowest_order: int = 1) -> None:
    """
    Check values that came from outside.

    :param values: the parameters.
    :param available_orders: the checkpoint's highest order, if one is loaded.
    :param lowest_order: orders 1 to this one are the shortest prefix that it was trained for.
    :raises ConfigError: naming the parameter, its value and what was expected.
    """
    for name, spec in FIELDS.items():
        value = getattr(values, name)
        allowed, bounds = spec.metadata['allowed'], spec.metadata['bounds']
        if allowed and not allowed[1](value):
            raise ConfigError(f'{name}={value!r} is not allowed: expected {allowed[0]}')
        if bounds and not (math.isfinite(value) and bounds[0] <= value <= bounds[1]):
            raise ConfigError(
                f'{name}={value!r} is not allowed: expected {bounds[0]} to {bounds[1]}')
    values.highest_order(available_orders, lowest_order)


def declare(node: Any) -> PredictorParameters:
    """
    Declare all parameters on a node and read the values given at its start.

    :param node: an rclpy node.
    :raises ConfigError: naming the first parameter that has a wrong type or value.
    """
    values = {}
    for name, spec in FIELDS.items():
        try:
            values[name] = node.declare_parameter(name, spec.default, descriptor(name)).value
        except InvalidParameterTypeException as error:
            reason = str(error).rpartition(':')[0]
            raise ConfigError(f'{reason}, such as {spec.default!r}') from None
        except InvalidParameterValueException as error:
            raise ConfigError(str(error).partition('Reason: ')[2].rpartition(':')[0]) from None
    parameters = PredictorParameters(**values)
    check(parameters)
    return parameters


def update(current: PredictorParameters, changes: Iterable[Parameter], configured: bool,
           available_orders: int = HIGHEST_ORDER,
           lowest_order: int = 1) -> tuple[PredictorParameters, SetParametersResult]:
    """
    Apply changed parameters, or refuse them all.

    :param current: the values so far.
    :param changes: what an rclpy parameter callback is given; others' parameters are left alone.
    :param configured: whether the node has been configured.
    :param available_orders: the checkpoint's highest order, if one is loaded.
    :param lowest_order: orders 1 to this one are the shortest prefix that it was trained for.
    :returns: the new values and the answer; the old ones where the answer is a refusal.
    """
    changed = {p.name: p.value for p in changes if p.name in FIELDS}
    for name in changed:
        if configured and FIELDS[name].metadata['configure']:
            reason = (f'{name} can be changed only while the node is unconfigured: '
                      'deactivate and cleanup first')
            return current, SetParametersResult(successful=False, reason=reason)
    try:
        updated = replace(current, **changed)
        check(updated, available_orders, lowest_order)
    except ConfigError as error:
        return current, SetParametersResult(successful=False, reason=str(error))
    return updated, SetParametersResult(successful=True)
