"""
Images by plugins of image_transport.

image_transport_py is not on PyPI, so a stand-in with the interface of its README takes its place:
these tests hold our side of it, not the library.
"""

import sys
import threading
import types

from moss_perception.core.errors import ConfigError
from moss_perception.ros.common import image_transport
from moss_perception.ros.common.image_transport import PluginSubscription, TRANSPORTS
from moss_perception.ros.predictor.parameters import PredictorParameters
from moss_perception.ros.predictor.topics import Inputs
from node_bench import Bench
import pytest
from sensor_msgs.msg import CameraInfo, Image


class StandIn:
    """Calls from a thread of its own, as the library does."""

    made = []

    def __init__(self, node_name, image_transport='', launch_params_filepath=''):
        if not isinstance(node_name, str):
            raise TypeError('incompatible constructor arguments')
        if image_transport == 'missing':
            raise RuntimeError('plugin image_transport/missing_sub is not installed')
        self.name, self.transport, self.ended = node_name, image_transport, False
        StandIn.made.append(self)

    def subscribe(self, base_topic, queue_size, callback):
        self.topic, self.depth, self.callback = base_topic, queue_size, callback
        return self

    def shutdown(self):
        self.ended = True

    def send(self, *images):
        thread = threading.Thread(target=lambda: [self.callback(x) for x in images])
        thread.start()
        thread.join()


class NewStandIn(StandIn):
    """The interface since 2025: the node comes first."""

    def __init__(self, node, node_name, image_transport='', launch_params_filepath=''):
        self.node = node
        super().__init__(node_name, image_transport)

    def subscribe(self, node, base_topic, queue_size, callback):
        return super().subscribe(base_topic, queue_size, callback)


@pytest.fixture(params=[StandIn, NewStandIn], ids=['2024', '2025'])
def library(request, monkeypatch):
    module = types.ModuleType('image_transport_py')
    module.__spec__ = types.SimpleNamespace(name='image_transport_py')
    module.ImageTransport = request.param
    monkeypatch.setitem(sys.modules, 'image_transport_py', module)
    StandIn.made.clear()
    return StandIn.made


def test_images_of_a_plugin_reach_the_predictor_in_the_executors_thread(node, library):
    seen = []
    ignored = [lambda _: None] * 3
    inputs = Inputs(node, PredictorParameters(image_transport='theora', qos_depth=2), *ignored,
                    lambda x: seen.append((x.width, threading.current_thread())))
    one, = library
    assert (one.topic, one.depth, one.transport) == ('/image', 2, 'theora')
    assert one.name == 'tested_images'
    assert inputs.rows()[0][:2] == ('in', '/image/theora')
    # The graph may still know the node of the test before.
    assert not [x for x in inputs.check() if 'several nodes have the name' not in x]
    one.send(*(Image(width=n) for n in (1, 2, 3)))
    assert not seen
    node.spin(5)
    # Two wait at most, and the newest do.
    assert seen == [(2, threading.main_thread()), (3, threading.main_thread())]
    inputs.destroy()
    assert one.ended


def test_the_topic_without_the_plugins_name_says_whether_images_are_rectified(
        library, tiny_checkpoint, ros_domain):
    bench = Bench(tiny_checkpoint, ['image:=/camera/image_rect'], image_transport='theora')
    try:
        bench.activate(hears_planner=False)
        bench.node._on_camera_info(CameraInfo(
            width=32, height=32, d=[0.5] * 5, k=[9.0, 0.0, 15.5, 0.0, 9.0, 15.5, 0.0, 0.0, 1.0],
            p=[20.0, 0.0, 15.5, 0.0, 0.0, 20.0, 15.5, 0.0, 0.0, 0.0, 1.0, 0.0],
            distortion_model='plumb_bob'))
        assert library[0].topic == '/camera/image_rect'
        camera = bench.node.predictor.camera
        assert camera.matrix[0, 0] == 20 and not len(camera.distortion)
    finally:
        bench.close()


def test_a_plugin_that_is_not_installed_is_named(node, library):
    with pytest.raises(ConfigError, match=r"image_transport 'missing' can't be used: plugin "
                       r'image_transport/missing_sub is not installed: expected one of raw, '):
        PluginSubscription(node, '/image', 'missing', print, 5)
    assert not library


def test_without_the_library_only_the_transports_of_our_own_are_allowed(monkeypatch):
    monkeypatch.setattr(image_transport, 'find_spec', lambda name: None)
    assert [TRANSPORTS.accepts(x) for x in ('raw', 'compressed', 'theora', '')] == [
        True, True, False, False]
    assert 'image-transport-py' in TRANSPORTS.expected
