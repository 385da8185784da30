"""The layouts for RViz, Foxglove and PlotJuggler, and the analyzers, against the interface."""

import json
import re
import signal
import subprocess
import xml.etree.ElementTree as ElementTree

from diagnostic_msgs.msg import DiagnosticArray
from moss_perception.core.resources import share_directory
from moss_perception.ros.common.subscriptions import message_class
from moss_perception.ros.monitor.interface import SERVICES, TOPICS
from moss_perception.ros.predictor.monitor import configuration, Monitor
import pytest
import yaml

SHARE = share_directory()
KNOWN = {f'/{name.lstrip("/")}': kind for name, kind in TOPICS.items()}
CLASSES = {'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
           'rviz_default_plugins/MarkerArray': 'visualization_msgs/msg/MarkerArray',
           'rviz_default_plugins/PoseArray': 'geometry_msgs/msg/PoseArray',
           'rviz_default_plugins/Pose': 'geometry_msgs/msg/PoseStamped'}


def shown_by_rviz():
    """Return the topics of the RViz file, by the class of their display."""
    described = yaml.safe_load((SHARE / 'rviz' / 'grasp.rviz').read_text())
    return {one['Class']: one['Topic']['Value']
            for one in described['Visualization Manager']['Displays'] if 'Topic' in one}


def test_rviz_shows_topics_of_the_interface():
    shown = shown_by_rviz()
    assert len(shown) >= 4
    for kind, topic in shown.items():
        assert KNOWN[topic] == CLASSES[kind]


def texts(value):
    """Yield all texts of a JSON document, keys included."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


def named_by_foxglove(layout):
    """List topics, topics with a path of fields after a dot, and services."""
    return [text for text in texts(layout) if re.match(r'/[a-z_]', text)]


def test_foxglove_shows_topics_fields_and_services_of_the_interface():
    layout = json.loads((SHARE / 'foxglove' / 'grasp.json').read_text())
    services = {f'/{name}' for name in SERVICES}
    named = named_by_foxglove(layout)
    assert len(named) > 8
    for text in named:
        topic, _, field = text.partition('.')
        assert topic in KNOWN or topic in services, text
        if field:
            assert_field(KNOWN[topic], field)
    panels = set(layout['configById'])
    assert {name for name in texts(layout['layout']) if '!' in name} == panels


def assert_field(kind, path):
    """Follow a path of fields through the message classes."""
    message = message_class(kind)()
    for name in re.sub(r'\[[^]]*\]|\{[^}]*\}', '', path).split('.'):
        name = name.lstrip('@')
        assert name in message.get_fields_and_field_types(), (kind, path)
        message = getattr(message, name)
        if isinstance(message, (list, tuple)):
            return


def plotted():
    """Return the curves and the topics of PlotJuggler's layout."""
    tree = ElementTree.parse(SHARE / 'config' / 'views' / 'plotjuggler.xml')
    return ([one.get('name') for one in tree.iter('curve')],
            [one.get('name') for one in tree.iter('topic')])


def test_plotjuggler_plots_series_of_the_interface():
    curves, topics = plotted()
    assert len(curves) > 5 and len(topics) >= 2
    assert set(topics) <= set(KNOWN)
    keys = diagnostics_keys()
    for curve in curves:
        topic = next((name for name in topics if curve.startswith(f'{name}/')), None)
        assert topic is not None, curve
        if topic == '/diagnostics':
            # The plugin names a value by status and key.
            node, key = curve.removeprefix('/diagnostics/').split('/', 1)
            assert node == 'grasp_predictor' and key in keys, curve
        else:
            assert_field(KNOWN[topic], curve.removeprefix(f'{topic}/').replace('/', '.'))


def diagnostics_keys():
    from types import SimpleNamespace as Simple

    from moss_perception.runtime.predictor import Counters
    predictor = Simple(
        counters=Counters(), fill=0, config=Simple(
            window_frames=16, model='m', time_inputs=False, gripper_half_width_m=0.04),
        engine=Simple(name='e', costs=[0.1], sha256=''), levels=['1'], level=1, target_level=1)
    settings = Simple(threads=1, device='cpu', max_gap=0.5, score_threshold=0.5,
                      setup=Simple(values={}))
    monitor = Monitor()
    _, _, values = monitor.report(predictor, '/image', True, '', 0.5)
    return {*values, *configuration(predictor, settings), 'score', 'ood_score', 'good_grasps'}


def test_the_analyzers_find_the_status_of_each_node():
    described = yaml.safe_load((SHARE / 'config' / 'views' / 'analyzers.yaml').read_text())
    parameters = described['/**']['ros__parameters']
    groups = parameters['analyzers']
    found = [name for one in groups.values() for name in one['contains']]
    assert set(found) == {'grasp_predictor', 'sim_cell'}
    assert all(one['type'].startswith('diagnostic_aggregator/') for one in groups.values())


@pytest.mark.parametrize('name', TOPICS)
def test_the_interface_names_messages_that_there_are(name):
    if name in ('/tf', '/tf_static'):
        return
    assert message_class(TOPICS[name]) is not None


def test_the_interface_is_that_of_the_sources():
    import sys
    sys.path.insert(0, str(SHARE / 'docs' / 'generate'))
    try:
        import topics
    finally:
        sys.path.pop(0)
    found = {}
    for node, known in topics.found().items():
        for name, kind in {**topics._IMAGES, **known}.items():
            found[name.replace('~', node)] = kind.replace('/', '/msg/', 1)
    for name, kind in TOPICS.items():
        if not name.startswith('/tf'):
            assert found[name] == kind, name
    for name, kind in SERVICES.items():
        assert found[name] == kind.replace('/srv/', '/msg/'), name


@pytest.fixture(scope='module')
def running(harness, programs, tmp_path_factory):
    """Return a peer of a system that plays a recording, with a gate and a recorder of attempts."""
    folder = tmp_path_factory.mktemp('system')
    variables = programs.with_executables(
        folder, 'grasp_predictor', 'grasp_gate', 'moss', 'bag_player')
    with (folder / 'log').open('w') as log:
        system = subprocess.Popen(
            [*programs.command('moss'), 'run', 'grasp', f'bag:={SHARE / "samples" / "sim_20"}',
             'bag_rate:=0.2'], cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT)
    recorder = harness.NodeProcess(folder, 'attempt_recorder', ros_args=(
        '-p', f'out:={folder / "attempts"}'))
    peer = harness.Peer('viewer')
    peer.listen(DiagnosticArray, '/diagnostics')
    yield peer
    peer.close()
    assert recorder.stop() == 0, recorder.output()
    still = system.poll()
    system.send_signal(signal.SIGINT)
    system.wait(30)
    assert still is None, (folder / 'log').read_text()


def published():
    """List what the views show: pairs of topic and type."""
    layout = json.loads((SHARE / 'foxglove' / 'grasp.json').read_text())
    named = {*shown_by_rviz().values(), *plotted()[1],
             *(text.partition('.')[0] for text in named_by_foxglove(layout))}
    return sorted((name, KNOWN[name]) for name in named if name in KNOWN)


@pytest.mark.parametrize('topic, kind', published())
def test_what_the_views_show_is_published_by_a_running_system(running, harness, topic, kind):
    def there():
        return kind in dict(running.node.get_topic_names_and_types()).get(
            topic, ()) and running.node.count_publishers(topic)
    harness.wait_for(there, 60, f'{topic} of type {kind}')


@pytest.mark.parametrize('service', SERVICES)
def test_what_the_buttons_call_is_served_by_a_running_system(running, harness, service):
    harness.wait_for(lambda: SERVICES[service] in dict(
        running.node.get_service_names_and_types()).get(f'/{service}', ()), 60, service)


def test_the_plotted_values_are_in_the_diagnostics_of_a_running_system(running, harness):
    wanted = {curve.rpartition('/')[2] for curve in plotted()[0]
              if curve.startswith('/diagnostics/grasp_predictor/')}
    assert len(wanted) > 5

    def missing():
        seen = {value.key for message in tuple(running.heard['/diagnostics'])
                for status in message.status if status.name == 'grasp_predictor'
                for value in status.values}
        return wanted - seen
    harness.wait_for(lambda: not missing(), 90, 'all plotted values')
