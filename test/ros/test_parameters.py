"""Which values grasp_predictor's parameters take, and when."""

import array
from dataclasses import fields

from moss_perception.core.errors import ConfigError
from moss_perception.ros.predictor import parameters
from moss_perception.ros.predictor.parameters import PredictorParameters
import pytest
from rclpy.parameter import Parameter


def change(configured=False, available_orders=4, current=None, lowest_order=1, **values):
    return parameters.update(
        current or PredictorParameters(), [Parameter(n, value=v) for n, v in values.items()],
        configured, available_orders, lowest_order)


def test_the_defaults_are_allowed():
    parameters.check(PredictorParameters())


@pytest.mark.parametrize(('name', 'value', 'expected'), [
    ('engine', 'foo', 'one of onnxruntime, torch'),
    ('device', 'gpu', 'cuda'),
    ('image_transport', 'theora', 'one of raw, compressed'),
    ('qos_reliability', 'best', 'one of match, best_effort, reliable'),
    ('model_sha256', '123', '64 hexadecimal digits'),
    ('max_gap', 0.0, '0.01 to 60.0'),
    ('max_gap', float('nan'), '0.01 to 60.0'),
    ('threads', -1, '0 to 256'),
    ('qos_depth', 0, '1 to 1000'),
    ('stride', 0, '1 to 1000'),
    ('score_threshold', 1.5, '0.0 to 1.0'),
    ('latency_budget', 0.0, '0.001 to 10.0'),
    ('orders', '2,3', "'auto'"),
    ('orders', [1, 3], "'auto'"),
    ('orders', 2, "'auto'"),
    ('orders', [], "'auto'"),
    ('orders', True, "'auto'"),
    ('orders', False, "'auto'"),
    ('orders', 1.5, "orders '1.5' is not allowed: expected 'auto'"),
    ('orders', 1.0, "orders '1.0' is not allowed: expected 'auto'"),
    ('orders', float('nan'), "'auto'"),
    ('orders', 0.0, "'auto'"),
    ('orders', array.array('d', [1.0, 2.0]), "orders '1.0,2.0' is not allowed: expected 'auto'"),
    ('orders', [True, True], "'auto'"),
    ('orders', [b'\x01'], "'auto'"),
    ('orders', None, "'auto'"),
])
def test_a_refusal_names_value_and_expectation(name, value, expected):
    before = PredictorParameters()
    after, result = change(current=before, **{name: value})
    assert after is before and not result.successful
    assert name in result.reason and expected in result.reason
    shown = repr(value) if name != 'orders' else ''
    assert shown in result.reason


@pytest.mark.parametrize(('value', 'highest'), [
    ('auto', None), ('1', 1), ('1,2', 2), ('[1, 2, 3]', 3), ([1, 2], 2), (1, 1),
    (array.array('q', [1, 2]), 2), (['1', '2'], 2)])
def test_orders_are_auto_or_a_prefix(value, highest):
    after, result = change(orders=value)
    assert result.successful and after.highest_order() == highest


def test_orders_beyond_the_checkpoint_are_refused():
    assert change(orders='1,2,3', available_orders=3)[1].successful
    assert not change(orders='1,2,3', available_orders=2)[1].successful


def test_orders_that_the_checkpoint_was_not_trained_to_do_with_are_refused():
    assert change(orders='auto', available_orders=2, lowest_order=2)[1].successful
    assert change(orders='1,2', available_orders=2, lowest_order=2)[1].successful
    result = change(orders='1', available_orders=2, lowest_order=2)[1]
    assert not result.successful and "expected 'auto', '1,2'" in result.reason


@pytest.mark.parametrize('name', [
    'model_path', 'model_sha256', 'engine', 'device', 'threads', 'max_gap', 'image_transport',
    'qos_reliability', 'qos_depth', 'publish_features'])
def test_parameters_of_the_configure_phase_are_refused_once_configured(name):
    value = getattr(PredictorParameters(), name)
    assert change(**{name: value})[1].successful
    _, result = change(configured=True, **{name: value})
    assert not result.successful
    assert name in result.reason and 'unconfigured' in result.reason


@pytest.mark.parametrize(('name', 'value'), [
    ('score_threshold', 0.25), ('stride', 4), ('orders', '1'), ('latency_budget', 0.2)])
def test_running_parameters_change_at_any_time(name, value):
    after, result = change(configured=True, **{name: value})
    assert result.successful and getattr(after, name) == value


def test_one_bad_value_refuses_all_of_a_set():
    before = PredictorParameters()
    after, result = change(current=before, stride=2, score_threshold=2.0)
    assert after is before and not result.successful


def test_parameters_of_others_are_left_alone():
    before = PredictorParameters()
    assert change(current=before, configured=True, use_sim_time=True)[0] == before


def test_each_parameter_describes_itself_and_its_range():
    for field in fields(PredictorParameters):
        descriptor = parameters.descriptor(field.name)
        assert len(descriptor.description) > 10, field.name
        bounded = descriptor.integer_range or descriptor.floating_point_range
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert bounded, field.name


def test_a_value_that_is_not_allowed_raises_a_known_error():
    with pytest.raises(ConfigError, match='stride=0'):
        parameters.check(PredictorParameters(stride=0))
