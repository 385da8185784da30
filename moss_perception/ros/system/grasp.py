"""
The grasp system: ``launch/grasp.launch.py`` and ``moss run grasp`` start this description.

Where it plays a recording, the predictor subscribes to the images in the recording.
"""

import json
import os
from pathlib import Path
import re
import subprocess
from typing import Any

from moss_perception.core.cameras import RECTIFICATIONS
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.resources import executable, share_directory
from moss_perception.core.transforms import parse_transform
from moss_perception.ros.monitor.access import Access, LOOPBACK, PORT, TOKEN_VARIABLE
from moss_perception.ros.system.feeds import check_pace, player, sim_cell
from moss_perception.ros.system.processes import (
    absolute,
    Argument,
    BOOLEAN,
    check_topic,
    check_values,
    file_of,
    LOG_LEVEL,
    MODEL,
    not_allowed,
    PARAMS_FILE,
    Process,
    STARTER,
    WATCHER,
    whole_number,
)
from moss_perception.ros.system.robots import join_systems, ROBOT_ARGUMENTS, robots_of

_COMPRESSED = '/compressed'
_SETUP = ('rectified', 'candidates_frame', 'candidates_transform')
_NAMESPACE = re.compile(r'/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?', re.ASCII)

DEFAULT_IMAGE_TOPIC = 'image'
GRASP_ARGUMENTS = [
    Argument('image_topic', DEFAULT_IMAGE_TOPIC,
             'topic of the camera images, without /compressed'),
    Argument('image_transport', '',
             'transport of the images: raw, compressed, or a plugin that image_transport_py '
             'loads; empty: as in the parameter files'),
    Argument('camera_info_topic', 'camera_info', 'topic of the camera calibration'),
    Argument('candidates_topic', 'grasp_candidates', 'topic of the grasp candidates'),
    Argument('lead_times_topic', 'grasp_lead_times', 'topic of their lead times'),
    Argument('rectified', '', 'whether the images are rectified; auto: by the name of their '
             'topic; empty: as in the parameter files', ('', *RECTIFICATIONS)),
    Argument('candidates_frame', '', 'only frame to which candidates_transform applies, such as '
             'base_link; empty: as in the parameter files'),
    Argument('candidates_transform', '', "pose of the candidates' frame in the camera's, "
             '"x y z qx qy qz qw"; empty: as in the parameter files'),
    Argument('calibration', '', 'with bag: file with the calibration of the camera, as '
             'camera_calibration writes it; empty: the recorded one'),
    PARAMS_FILE,
    MODEL,
    Argument('namespace', '', 'namespace of the nodes and their relative topics'),
    *ROBOT_ARGUMENTS,
    Argument('use_sim_time', 'auto', 'use the time of /clock; auto: true with bag or sim',
             ('auto', *BOOLEAN)),
    Argument('bag', '', 'recording (rosbag2) to play; empty: use a live camera'),
    Argument('bag_rate', '1.0', 'playback speed of the bag; 1.0: as recorded'),
    Argument('lock_step', 'false',
             'with bag or sim: send each image after predictor and, with sim, gate have dealt '
             'with the last one; sim_cell then runs as fast as they can', BOOLEAN),
    Argument('sim', 'false', 'start sim_cell, a simulated camera and gripper', BOOLEAN),
    Argument('sim_attempts', '', 'grasp attempts of sim_cell before the system ends; 0: no '
             'limit; empty: as in the parameter files'),
    Argument('sim_cell', '', 'cell of sim_cell: full, belt, or the path of a cell file (.yaml); '
             'empty: as in the parameter files'),
    Argument('sim_domain', '', 'domain of the scenes of sim_cell, such as sim or shifted; '
             'empty: as in the parameter files'),
    Argument('sim_seed', '', 'seed of the first scene of sim_cell; empty: as in the parameter '
             'files'),
    Argument('gate', 'true', 'start grasp_gate, which selects a grasp', BOOLEAN),
    Argument('console', 'true', 'log a line when scores, attempts or the state change, at most '
             'one a second; quiet with log_level:=warn', BOOLEAN),
    Argument('web', 'false', 'serve a page that shows the system, see moss monitor', BOOLEAN),
    Argument('web_port', str(PORT), 'port of the page; 0: any free one'),
    Argument('web_host', LOOPBACK, 'address to serve the page on; others than loopback need a '
             'token, by the environment variable MOSS_MONITOR_TOKEN'),
    Argument('foxglove', 'false', 'serve Foxglove, see moss monitor --foxglove', BOOLEAN),
    Argument('rviz', 'false', 'start RViz with the layout of this package', BOOLEAN),
    Argument('autostart', 'true', 'configure and activate the predictor', BOOLEAN),
    Argument('respawn', 'false', 'start predictor and gate again if they end, and activate the '
             'predictor again', BOOLEAN),
    LOG_LEVEL,
]


def grasp_system(values: dict[str, str]) -> list[Process]:
    """
    Describe the processes that make up the grasp system.

    :param values: values by argument name; missing arguments take their defaults.
    :returns: services, then starters, then jobs, then watchers.
    :raises ConfigError: if a name is unknown or a value is not allowed.
    :raises BagError: if the recording can't be read, or holds no such images.
    """
    given = check_values(GRASP_ARGUMENTS, values)
    if robots := robots_of(given):
        return join_systems([grasp_system(one) for one in robots], given['one_process'] == 'true')
    _check_names(given)
    _check_paths(given)
    parse_transform(given['candidates_transform'])
    recorded, rate = '', check_pace(given)
    if given['bag']:
        recorded, compressed = _find_images(
            given['bag'], given['image_topic'], given['image_transport'], given['namespace'])
        given['image_topic'] = recorded.removesuffix(_COMPRESSED) if compressed else recorded
        given['image_transport'] = _kind(compressed)
        _check_names(given)
    with_sim = given['sim'] == 'true'
    simulated = given['use_sim_time'] == 'true' or (
        given['use_sim_time'] == 'auto' and (with_sim or bool(given['bag'])))
    if with_sim and not given['image_transport']:
        # As in recordings, since the model was trained on JPEG artefacts.
        given['image_transport'] = 'compressed'
    namespace = given['namespace'].strip('/')
    common: dict[str, Any] = {'namespace': f'/{namespace}' if namespace else '',
                              'log_level': given['log_level']}
    of_node = {**common, 'parameter_files': _parameter_files(given)}
    respawn = given['respawn'] == 'true'
    processes = [_predictor(given, recorded, simulated, {**of_node, 'respawn': respawn})]
    if given['gate'] == 'true':
        processes.append(Process(
            'grasp_gate', 'grasp_gate', parameters={'use_sim_time': simulated},
            remappings=(('grasp_scores', 'grasp_predictor/grasp_scores'),), respawn=respawn,
            **of_node))
    if given['autostart'] == 'true':
        processes.append(Process(
            'moss', 'lifecycle_starter', STARTER, arguments=('activate', 'grasp_predictor'),
            **common))
    if recorded:
        processes.append(player(given, recorded, rate, simulated, of_node))
    if with_sim:
        processes.append(sim_cell(given, simulated, _camera_topics(given), of_node))
    return processes + _watchers(given, of_node)


def _watchers(given: dict[str, str], of_node: dict[str, Any]) -> list[Process]:
    """Describe what shows the system; one process serves the page and logs."""
    words = []
    if given['web'] == 'true':
        port = whole_number('web_port', given['web_port'])
        # Refused here, where the launch can still be refused.
        access = Access(given['web_host'], port, os.environ.get(TOKEN_VARIABLE, ''))
        words += ['--web', '--host', access.host, '--port', str(port)]
    if given['console'] == 'true':
        words.append('--lines')
    views = {'grasp_monitor': words, **{
        f'grasp_{name}': [f'--{name}'] for name in ('foxglove', 'rviz') if given[name] == 'true'}}
    return [Process('moss', name, WATCHER, arguments=('monitor', *options), **of_node)
            for name, options in views.items() if options]


def _predictor(given: dict[str, str], recorded: str, simulated: bool,
               of_node: dict[str, Any]) -> Process:
    parameters: dict[str, Any] = {'use_sim_time': simulated}
    if given['image_transport']:
        parameters['image_transport'] = given['image_transport']
    if given['model']:
        parameters['model_path'] = absolute(given['model'])
    parameters |= {name: given[name] for name in _SETUP if given[name]}
    remappings = _camera_topics(given)
    if given['image_transport'] == 'compressed' and given['image_topic'] == recorded:
        # The predictor subscribes to the image topic's name plus /compressed.
        remappings = (*remappings, (recorded + _COMPRESSED, recorded))
    return Process('grasp_predictor', 'grasp_predictor', lifecycle=True, parameters=parameters,
                   remappings=remappings, **of_node)


def _camera_topics(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    pairs = [(name, given[f'{name.removeprefix("grasp_")}_topic'])
             for name in ('image', 'camera_info', 'grasp_candidates', 'grasp_lead_times')]
    return tuple((name, topic) for name, topic in pairs if name != topic)


def _check_names(given: dict[str, str]) -> None:
    for name in ('image_topic', 'camera_info_topic', 'candidates_topic', 'lead_times_topic'):
        check_topic(name, given[name])
    if not re.fullmatch(r'([A-Za-z]\w*)?', given['image_transport']):
        raise not_allowed('image_transport', given['image_transport'],
                          'expected raw, compressed, or the name of a plugin such as theora')
    if given['sim'] == 'true' and given['image_transport'] not in ('', 'raw', 'compressed'):
        raise not_allowed('image_transport', given['image_transport'],
                          'expected raw or compressed with sim')
    if not _NAMESPACE.fullmatch(given['namespace']):
        raise not_allowed('namespace', given['namespace'],
                          'expected a namespace such as robot_1')


def _check_paths(given: dict[str, str]) -> None:
    for name in ('params_file', 'model', 'calibration'):
        file_of(name, given[name])
    if given['calibration'] and not given['bag']:
        raise not_allowed('calibration', given['calibration'],
                          'expected bag as well, since a camera publishes its own calibration')
    if given['bag'] and given['sim'] == 'true':
        raise ConfigError(f"arguments 'bag' is '{given['bag']}' and 'sim' is 'true': expected one "
                          'of them, since both publish the camera images')
    if given['bag'] and not Path(given['bag']).expanduser().exists():
        raise not_allowed('bag', given['bag'], 'there is no such file or folder')


def _parameter_files(given: dict[str, str]) -> tuple[str, ...]:
    own = (absolute(given['params_file']),) if given['params_file'] else ()
    return (str(share_directory() / 'config' / 'grasp.yaml'), *own)


def find_images(bag: str, name: str, transport: str, namespace: str) -> tuple[str, bool]:
    """
    Find the images in a recording.

    :param bag: path of the recording.
    :param name: name of the topic, without ``/compressed``; the default finds the only one.
    :param transport: ``raw``, ``compressed``, or empty for either.
    :param namespace: namespace of the nodes, for a relative name.
    :returns: the topic as recorded, and whether its images are compressed.
    :raises BagError: if the recording can't be read, or holds no such images.
    """
    # Imported here, since the interpreter of the launch file may lack rosbags.
    from moss_perception.data.bags.reader import Recording
    resolved = name if name.startswith('/') else f'/{namespace.strip("/")}/{name}'.replace(
        '//', '/')
    with Recording(Path(bag).expanduser(), salvage=True) as recording:
        images = {x.name: x.type.endswith('CompressedImage') for x in recording.image_topics()}
        for topic in (resolved, resolved + _COMPRESSED):
            if topic in images and transport in ('', _kind(images[topic])):
                return topic, images[topic]
        found = recording.image_topic(None if name == DEFAULT_IMAGE_TOPIC else resolved).name
    kind = _kind(images[found])
    if transport not in ('', kind):
        raise BagError(f'{bag}: the images on {found} are {kind}: expected {transport} images, '
                       'the value of image_transport')
    return found, images[found]


def _kind(compressed: bool) -> str:
    return 'compressed' if compressed else 'raw'


def _find_images(bag: str, name: str, transport: str, namespace: str) -> tuple[str, bool]:
    """Find the images; without rosbags by ``moss topics``, whose interpreter has it."""
    try:
        import moss_perception.data.bags.reader  # noqa: F401
    except ImportError:
        pass
    else:
        return find_images(bag, name, transport, namespace)
    done = subprocess.run(
        [executable('moss'), 'topics', bag, '--image-topic', name, '--transport', transport,
         '--namespace', namespace], capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    if 'topic' not in answer:
        reason = answer.get('error') or (done.stderr.strip().splitlines() or ['no answer'])[-1]
        raise BagError(reason)
    return answer['topic'], answer['compressed']
