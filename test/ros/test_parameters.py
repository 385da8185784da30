"""Which values grasp_predictor's parameters take, and when; and how a node applies changes."""

import array
from dataclasses import dataclass, fields
from importlib import import_module

from moss_perception.core.errors import ConfigError
from moss_perception.models.grasp_config import order_names
from moss_perception.ros.common.parameters import (
    Change,
    changed,
    descriptor,
    NodeParameters,
    setting,
    spec_of,
)
from moss_perception.ros.predictor.parameters import PredictorParameters
import pytest
from rcl_interfaces.msg import SetParametersResult
import rclpy
from rclpy.parameter import Parameter


def change(configured=False, **values):
    return changed(
        PredictorParameters(), [Parameter(n, value=v) for n, v in values.items()], configured)


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
    ('stride', True, 'an integer'),
    ('max_gap', 1, 'a number with a decimal point'),
    ('device', None, 'a string'),
    ('score_threshold', 1.5, '0.0 to 1.0'),
    ('latency_budget', 0.0, '0.001 to 10.0'),
    ('lead_time', -2.0, '-1.0 to 60.0'),
    ('lead_time', float('nan'), '-1.0 to 60.0'),
    ('lead_time', -0.5, "0 to 60.0, or -1 for the checkpoint's default"),
    ('budget', '2,3', "'auto'"),
    ('budget', [1, 3], "'auto'"),
    ('budget', 2, "'auto'"),
    ('budget', [], "'auto'"),
    ('budget', True, "'auto'"),
    ('budget', False, "'auto'"),
    ('budget', 1.5, "budget '1.5' is not allowed: expected 'auto'"),
    ('budget', 1.0, "budget '1.0' is not allowed: expected 'auto'"),
    ('budget', float('nan'), "'auto'"),
    ('budget', 0.0, "'auto'"),
    ('budget', array.array('d', [1.0, 2.0]), "budget '1.0,2.0' is not allowed: expected 'auto'"),
    ('budget', [True, True], "'auto'"),
    ('budget', [b'\x01'], "'auto'"),
    ('budget', None, "'auto'"),
])
def test_a_refusal_names_value_and_expectation(name, value, expected):
    with pytest.raises(ConfigError) as refusal:
        change(**{name: value})
    assert name in str(refusal.value) and expected in str(refusal.value)
    shown = repr(value) if name != 'budget' else ''
    assert shown in str(refusal.value)


@pytest.mark.parametrize(('value', 'highest'), [
    ('auto', None), ('1', 1), ('1,2', 2), ('[1, 2, 3]', 3), ([1, 2], 2), (1, 1),
    (array.array('q', [1, 2]), 2), (['1', '2'], 2)])
def test_the_budget_is_auto_or_a_prefix(value, highest):
    assert change(budget=value).level(order_names(4)) == highest


@pytest.mark.parametrize('value', ['auto', 'all', 'large'])
def test_a_name_is_a_level_only_with_the_model_that_has_it(value):
    found = change(budget=value)
    if value == 'large':
        with pytest.raises(ConfigError, match="budget 'large' .* expected 'auto', 'all'$"):
            found.level(('all',))
    else:
        assert found.level(('all',)) == (1 if value == 'all' else None)


def test_a_model_with_one_level_has_no_orders():
    with pytest.raises(ConfigError, match="budget '1' is not allowed: expected 'auto', 'all'$"):
        change(budget=[1]).level(('all',))


def test_levels_beyond_the_checkpoint_are_refused():
    assert change(budget='1,2,3').level(order_names(3)) == 3
    with pytest.raises(ConfigError, match="'1,2,3' is not allowed"):
        change(budget='1,2,3').level(order_names(2))


def test_levels_below_the_shortest_trained_prefix_are_refused():
    assert change(budget='auto').level(order_names(2), 2) is None
    assert change(budget='1,2').level(order_names(2), 2) == 2
    with pytest.raises(ConfigError, match="expected 'auto', '1,2'"):
        change(budget='1').level(order_names(2), 2)


@pytest.mark.parametrize('name', [
    'model_path', 'model_sha256', 'engine', 'device', 'threads', 'max_gap', 'image_transport',
    'qos_reliability', 'qos_depth', 'publish_features'])
def test_parameters_of_the_configure_phase_are_refused_once_configured(name):
    value = getattr(PredictorParameters(), name)
    assert change(**{name: value}) == PredictorParameters()
    with pytest.raises(ConfigError, match=f'{name} can be changed only while .* unconfigured'):
        change(configured=True, **{name: value})


@pytest.mark.parametrize(('name', 'value'), [
    ('score_threshold', 0.25), ('stride', 4), ('budget', '1'), ('latency_budget', 0.2)])
def test_running_parameters_change_at_any_time(name, value):
    assert getattr(change(configured=True, **{name: value}), name) == value


def test_parameters_of_others_are_left_alone():
    assert change(configured=True, use_sim_time=True) == PredictorParameters()


def test_each_parameter_describes_itself_and_its_range():
    for field in fields(PredictorParameters):
        found = descriptor(field)
        assert len(found.description) > 10, field.name
        bounded = found.integer_range or found.floating_point_range
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert bounded, field.name
        assert spec_of(field).change.value in found.additional_constraints


@dataclass(frozen=True)
class Three:
    """Parameters of a node of the test's own."""

    count: int = setting(1, 'How many.', low=0, high=9, change=Change.ANY_TIME)
    share: float = setting(0.5, 'How much.', low=0.0, high=1.0, change=Change.ANY_TIME)
    names: tuple[str, ...] = setting((), 'Topics.')


@pytest.fixture
def make_node(ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(*overrides):
        nodes.append(rclpy.create_node(
            'configured', context=context, parameter_overrides=list(overrides)))
        return nodes[-1]
    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_batch_is_applied_as_a_whole_after_it_was_accepted(make_node):
    node, seen = make_node(), []
    parameters = NodeParameters(node, Three, apply=lambda *change: seen.append(change))
    result = node.set_parameters_atomically([Parameter('count', value=3),
                                             Parameter('share', value=0.25)])
    assert result.successful and parameters.values == Three(3, 0.25)
    assert seen == [(Three(), Three(3, 0.25))]


def test_a_batch_with_a_bad_value_changes_nothing(make_node):
    node, seen = make_node(), []
    parameters = NodeParameters(node, Three, apply=lambda *change: seen.append(change))
    assert not node.set_parameters_atomically(
        [Parameter('count', value=3), Parameter('share', value=2.0)]).successful
    assert (parameters.values, node.get_parameter('count').value, seen) == (Three(), 1, [])


def test_a_batch_that_another_callback_refuses_changes_nothing(make_node):
    node, seen = make_node(), []
    # rclpy asks the callback that was added first as the last.
    node.add_on_set_parameters_callback(lambda changes: SetParametersResult(
        successful=all(x.value != 3 for x in changes), reason='no three'))
    parameters = NodeParameters(node, Three, apply=lambda *change: seen.append(change))
    result = node.set_parameters_atomically([Parameter('count', value=3)])
    assert (result.successful, result.reason) == (False, 'no three')
    assert (parameters.values, seen) == (Three(), [])


def test_what_the_node_cannot_use_at_present_is_refused(make_node):
    def validate(settings):
        if settings.count > 5:
            raise ConfigError('too many')
    node = make_node()
    parameters = NodeParameters(node, Three, validate=validate)
    result = node.set_parameters_atomically([Parameter('count', value=6)])
    assert (result.successful, result.reason, parameters.values) == (False, 'too many', Three())


def test_what_is_read_once_cannot_be_set(make_node):
    node = make_node(Parameter('names', value=['a', '/b/', '']))
    parameters = NodeParameters(node, Three)
    assert parameters.values.names == ('/a', '/b')
    assert not node.set_parameters_atomically([Parameter('names', value=['c'])]).successful


@pytest.mark.parametrize(('name', 'value', 'words'), [
    ('count', 10, 'parameter count=10 is not allowed: expected 0 to 9'),
    ('count', 'ten', "parameter count='ten' is not allowed: expected an integer"),
    ('share', float('nan'), 'parameter share=nan is not allowed: expected 0.0 to 1.0'),
    ('names', 'a', "parameter names='a' is not allowed: expected a list of strings"),
    ('names', [1, 2], 'parameter names=.1, 2. is not allowed: expected a list of strings')])
def test_a_bad_start_value_is_named_with_what_was_expected(make_node, name, value, words):
    with pytest.raises(ConfigError, match=words):
        NodeParameters(make_node(Parameter(name, value=value)), Three)


def test_an_empty_list_and_none_are_no_names(make_node):
    assert NodeParameters(make_node(Parameter('names')), Three).values.names == ()
    assert NodeParameters(make_node(), Three).values.names == ()


VALUES = (True, 1, 10**18, 1.5, float('nan'), 'x', None, [True], [1, 2], [1.5], ['a'], [b'\x01'])


@pytest.mark.parametrize('name', [
    'predictor.parameters:PredictorParameters', 'gate:GateSettings', 'cell.node:CellSettings',
    'recorder.settings:RecorderSettings', 'run_recorder:RecorderSettings',
    'player.settings:PlayerSettings'])
def test_a_value_of_another_type_is_refused_with_a_reason_by_every_node(make_node, name):
    module, kind = name.split(':')
    # The recorder needs a folder at its start, and the player a recording.
    node = make_node(Parameter('out', value='attempts'), Parameter('bag', value='bag'))
    NodeParameters(node, getattr(import_module(f'moss_perception.ros.{module}'), kind))
    for parameter in sorted(node._parameters):
        kept = node.get_parameter(parameter).value
        for value in VALUES:
            result = node.set_parameters([Parameter(parameter, value=value)])[0]
            assert result.successful or result.reason, (parameter, value)
            if not result.successful:
                assert node.get_parameter(parameter).value == kept, (parameter, value)
            kept = node.get_parameter(parameter).value


def test_an_old_name_is_refused_at_the_start_and_names_the_new_one(make_node):
    node = make_node(Parameter('amount', value=[1, 2]))
    with pytest.raises(ConfigError, match='parameter amount=.* is not allowed: expected the '
                                          'parameter count, which replaces it'):
        NodeParameters(node, Three, renamed={'amount': 'count'})


def test_an_old_name_that_is_not_given_is_no_parameter(make_node):
    node = make_node()
    assert NodeParameters(node, Three, renamed={'amount': 'count'}).values == Three()
    assert not node.has_parameter('amount')
