"""What happens when a transition fails, the order of topics, and the end of a node."""

import time

from geometry_msgs.msg import PoseArray
from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.lifecycle import ManagedNode
from moss_perception.ros.predictor.parameters import PredictorParameters
from moss_perception.ros.predictor.topics import Inputs
import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn

pytestmark = pytest.mark.timeout(60)


class Fragile(ManagedNode):
    """Fails in the transition, and with the error, that it is told."""

    def __init__(self, context, transition='', error=None):
        super().__init__('fragile', context=context)
        self.transition, self.error, self.calls = transition, error, []

    def _do(self, name):
        self.calls.append(name)
        if name == self.transition:
            raise self.error

    def configure(self):
        self._do('configure')

    def activate(self):
        self._do('activate')

    def deactivate(self):
        self._do('deactivate')

    def free(self):
        self._do('free')


@pytest.fixture
def context(ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def test_a_known_error_fails_the_transition_and_frees_what_there_is(context):
    node = Fragile(context, 'configure', ConfigError('no such thing'))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.state_label == 'unconfigured'
    assert node.failure == 'configure failed: no such thing [MOSS012]'
    assert node.calls == ['configure', 'free']
    node.transition = ''
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert (node.state_label, node.failure) == ('inactive', '')


def test_an_unknown_error_leads_back_to_unconfigured(context):
    node = Fragile(context, 'configure', ZeroDivisionError('by zero'))
    assert node.trigger_configure() == TransitionCallbackReturn.ERROR
    assert node.state_label == 'unconfigured'
    assert node.failure == 'configure failed: ZeroDivisionError: by zero [MOSS012]'


def test_a_failed_activation_is_undone(context):
    node = Fragile(context, 'activate', ConfigError('not now'))
    node.trigger_configure()
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert node.state_label == 'inactive'
    assert node.calls[-2:] == ['activate', 'deactivate']


@pytest.mark.parametrize(('kind', 'state'), [
    (ConfigError, 'inactive'), (ZeroDivisionError, 'unconfigured')])
def test_a_failed_activation_disables_the_publishers(context, kind, state):
    # An error of the module's own would keep the node by its traceback.
    node = Fragile(context, 'activate', kind('not now'))
    publisher = node.create_lifecycle_publisher(PoseArray, 'poses', 1)
    node.trigger_configure()
    node.trigger_activate()
    assert (node.state_label, publisher.is_activated) == (state, False)
    assert 'not now' in node.failure


def test_a_failed_activation_that_cannot_be_undone_keeps_its_reason(context):
    node = Fragile(context, 'activate', ConfigError('not now'))

    def deactivate():
        raise ZeroDivisionError('by zero')
    node.deactivate = deactivate
    publisher = node.create_lifecycle_publisher(PoseArray, 'poses', 1)
    node.trigger_configure()
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert not publisher.is_activated
    assert node.failure == 'activate failed: not now [MOSS012]'


def test_images_stay_the_last_that_are_served(context, harness):
    node = rclpy.create_node('listener', context=context)
    inputs = Inputs(node, PredictorParameters(), print, print, print, print)
    node.create_publisher(PoseArray, 'grasp_candidates', 10)

    def order():
        return [subscription.topic_name for subscription in node.subscriptions]
    assert order()[-1] == '/image'

    def matched():
        inputs.check()
        return inputs.candidates.reliability == 'reliable'
    harness.wait_for(matched, 10, 'a reliable subscription to candidates')
    assert order()[-1] == '/image'

    def alone():
        inputs.check()
        assert order()[-1] == '/image'
        return [t for t in order() if t.startswith(('/image', '/grasp', '/camera'))] == [
            '/grasp_lead_times', '/camera_info', '/grasp_candidates', '/image']
    harness.wait_for(alone, 10, 'the end of those of before')
    inputs.destroy()
    assert '/image' not in order()


def test_a_node_that_was_never_configured_is_destroyed_without_releasing_anything(context):
    """From Kilted on, a context also destroys nodes whose own constructor failed."""
    node = Fragile.__new__(Fragile)
    # As far as the constructor came.
    ManagedNode.__init__(node, 'fragile', context=context)
    node.destroy_node()
    assert not hasattr(node, 'calls')


def test_a_node_that_was_configured_releases_what_it_has(context):
    node = Fragile(context)
    node.trigger_configure()
    node.destroy_node()
    assert node.calls == ['configure', 'free']


def test_a_destroyed_node_leaves_the_graph_while_something_holds_it(context):
    other = rclpy.create_node('other', context=context)
    node = ManagedNode('leaving', context=context)
    until = time.monotonic() + 20

    def is_there():
        return 'leaving' in other.get_node_names()
    while not is_there():
        assert time.monotonic() < until
    node.destroy_node()
    while is_there():
        assert time.monotonic() < until
    other.destroy_node()
