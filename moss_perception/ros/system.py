"""
The description of the grasp system: its executables, parameters and remappings.

``launch/grasp.launch.py`` and ``moss run grasp`` both start this description.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches
import json
from pathlib import Path
import re
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import share_directory

SERVICE = 'service'
"""Role of a process that runs until the shutdown: if it ends earlier, the system has failed."""
STARTER = 'starter'
"""Role of a process that prepares the services: jobs start after its exit status 0."""
JOB = 'job'
"""Role of a process with a task: the system ends when it ends, with its exit status."""

_BOOLEAN = ('true', 'false')
_NAMESPACE = re.compile(r'/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?', re.ASCII)
_TOPIC = re.compile(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)


@dataclass(frozen=True)
class Argument:
    """
    One argument of the system, given as ``name:=value``.

    :ivar name: name of the argument.
    :ivar default: default value.
    :ivar description: one line for the help text.
    :ivar choices: the allowed values; empty if they can't be listed.
    """

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Process:
    """
    One process of the system: a node of this package.

    :ivar executable: name of the executable, as for ``ros2 run moss_perception``.
    :ivar name: the node's name.
    :ivar role: ``service``, ``starter`` or ``job``.
    :ivar namespace: the node's namespace, absolute, or empty for none.
    :ivar arguments: arguments before ``--ros-args``.
    :ivar parameter_files: paths of YAML files; a later file overrides an earlier one.
    :ivar parameters: booleans, numbers, strings or lists of strings; they override the files.
    :ivar remappings: pairs (from, to).
    :ivar log_level: level of the process's loggers.
    :ivar lifecycle: whether it is a lifecycle node.
    :ivar early: whether a job starts with the services, so that it misses none of their messages.
    :ivar plain: whether it is a command and not a node, so that it takes no ROS arguments.
    """

    executable: str
    name: str
    role: str = SERVICE
    namespace: str = ''
    arguments: tuple[str, ...] = ()
    parameter_files: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    log_level: str = 'info'
    lifecycle: bool = False
    early: bool = False
    plain: bool = False

    @property
    def starts_with(self) -> str:
        """The role whose processes start at the same time."""
        return SERVICE if self.early else self.role

    def command_arguments(self) -> list[str]:
        """
        Return the command-line arguments of the executable.

        :returns: ``arguments``, then ``--ros-args`` and the arguments for ROS.
        """
        if self.plain:
            return list(self.arguments)
        words = [*self.arguments, '--ros-args', '-r', f'__node:={self.name}']
        if self.namespace:
            words += ['-r', f'__ns:={self.namespace}']
        for source, target in self.remappings:
            words += ['-r', f'{source}:={target}']
        for path in self.parameter_files:
            words += ['--params-file', path]
        for key, value in self.parameters.items():
            # JSON is YAML: a path that looks like a number stays a string.
            words += ['-p', f'{key}:={json.dumps(value, ensure_ascii=False)}']
        return words + ['--log-level', self.log_level]


def grasp_arguments() -> list[Argument]:
    """
    Describe the arguments of the grasp system.

    :returns: the arguments, in the order of the help text.
    """
    return [
        Argument('image_topic', 'image', 'topic of the camera images, without /compressed'),
        Argument('image_transport', '', 'transport of the images; empty: as in the parameter '
                                        'files',
                 ('', 'raw', 'compressed')),
        Argument('camera_info_topic', 'camera_info', 'topic of the camera calibration'),
        Argument('candidates_topic', 'grasp_candidates', 'topic of the grasp candidates'),
        Argument('params_file', '', 'YAML file of parameters that override config/grasp.yaml'),
        Argument('model', '', 'checkpoint (.safetensors); empty: the shipped one'),
        Argument('namespace', '', 'namespace of the nodes and their relative topics'),
        Argument('use_sim_time', 'auto', 'use the time of /clock; auto: true with bag or sim',
                 ('auto', *_BOOLEAN)),
        Argument('bag', '', 'recording (rosbag2) to play; empty: use a live camera'),
        Argument('bag_rate', '1.0', 'playback speed of the bag; 1.0: as recorded'),
        Argument('lock_step', 'false', 'play each image after the predictor has processed the '
                                       'last one',
                 _BOOLEAN),
        Argument('sim', 'false', 'start sim_cell, a simulated camera and gripper', _BOOLEAN),
        Argument('sim_attempts', '', 'grasp attempts of sim_cell before the system ends; 0: no '
                                     'limit; '
                 'empty: as in the parameter files'),
        Argument('sim_cell', '', 'distribution of the scenes of sim_cell: full or belt; empty: as '
                 'in the parameter files'),
        Argument('sim_domain', '', 'look of the scenes of sim_cell, such as sim or shifted; '
                                   'empty: '
                 'as in the parameter files'),
        Argument('sim_seed', '', 'seed of the first scene of sim_cell; empty: as in the parameter '
                 'files'),
        Argument('gate', 'true', 'start grasp_gate, which selects a grasp', _BOOLEAN),
        Argument('autostart', 'true', 'configure and activate the predictor', _BOOLEAN),
        Argument('log_level', 'info', 'lowest level that is logged',
                 ('debug', 'info', 'warn', 'error', 'fatal')),
    ]


def grasp_system(values: dict[str, str]) -> list[Process]:
    """
    Describe the processes that make up the grasp system.

    :param values: values by argument name; missing arguments take their defaults.
    :returns: services, then starters, then jobs.
    :raises ConfigError: if a name is unknown or a value is not allowed.
    """
    said = check_values(grasp_arguments(), values)
    _check_names(said)
    _check_paths(said)
    with_sim = said['sim'] == 'true'
    simulated = said['use_sim_time'] == 'true' or (
        said['use_sim_time'] == 'auto' and (with_sim or bool(said['bag'])))
    if with_sim and not said['image_transport']:
        # As in recordings, since the model was trained on JPEG artefacts.
        said['image_transport'] = 'compressed'
    namespace = '/' + said['namespace'].strip('/') if said['namespace'].strip('/') else ''
    common: dict[str, Any] = {'namespace': namespace, 'log_level': said['log_level']}
    processes = [_predictor(said, simulated, common)]
    if said['gate'] == 'true':
        processes.append(_gate(said, simulated, common))
    if said['autostart'] == 'true':
        processes.append(Process(
            'moss', 'lifecycle_starter', STARTER, arguments=('activate', 'grasp_predictor'),
            **common))
    if said['bag']:
        processes.append(_player(said, simulated, common))
    if with_sim:
        processes.append(_sim_cell(said, simulated, common))
    return processes


def _predictor(said: dict[str, str], simulated: bool, common: dict[str, Any]) -> Process:
    parameters: dict[str, Any] = {'use_sim_time': simulated}
    if said['image_transport']:
        parameters['image_transport'] = said['image_transport']
    if said['model']:
        parameters['model_path'] = _absolute(said['model'])
    return Process(
        'grasp_predictor', 'grasp_predictor', lifecycle=True, parameters=parameters,
        parameter_files=_parameter_files(said), remappings=_camera_topics(said), **common)


def _camera_topics(said: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return _changed(('image', said['image_topic']), ('camera_info', said['camera_info_topic']),
                    ('grasp_candidates', said['candidates_topic']))


def _gate(said: dict[str, str], simulated: bool, common: dict[str, Any]) -> Process:
    return Process(
        'grasp_gate', 'grasp_gate', parameters={'use_sim_time': simulated},
        parameter_files=_parameter_files(said), remappings=(
            ('grasp_scores', 'grasp_predictor/grasp_scores'),), **common)


def _player(said: dict[str, str], simulated: bool, common: dict[str, Any]) -> Process:
    parameters = {
        'bag': _absolute(said['bag']),
        'rate': _positive('bag_rate', said['bag_rate']),
        'lock_step': said['lock_step'] == 'true',
        'publish_clock': simulated,
        'processed_topic': f'{common["namespace"]}/grasp_predictor/processed',
    }
    if said['gate'] == 'true':
        # The gate of this run publishes selections; recorded ones would contradict them.
        parameters['exclude_topics'] = [f'{common["namespace"]}/selected_grasp']
    return Process('bag_player', 'bag_player', JOB, parameters=parameters,
                   parameter_files=_parameter_files(said), **common)


def _sim_cell(said: dict[str, str], simulated: bool, common: dict[str, Any]) -> Process:
    parameters: dict[str, Any] = {
        'publish_clock': simulated, 'compressed': said['image_transport'] == 'compressed'}
    parameters |= {name: said[f'sim_{name}'] for name in ('cell', 'domain')
                   if said[f'sim_{name}']}
    parameters |= {name: _whole(f'sim_{name}', said[f'sim_{name}'])
                   for name in ('attempts', 'seed') if said[f'sim_{name}']}
    return Process('sim_cell', 'sim_cell', JOB, parameters=parameters,
                   parameter_files=_parameter_files(said), remappings=_camera_topics(said),
                   **common)


def check_values(arguments: list[Argument], values: dict[str, str]) -> dict[str, str]:
    """
    Check the given arguments, and add the defaults of the missing ones.

    :raises ConfigError: if a name is unknown, or a value is not one of its choices.
    """
    known = {argument.name: argument for argument in arguments}
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.5)
            raise ConfigError(f"unknown argument '{name}': expected "
                              + (' or '.join(near) if near else 'one of ' + ', '.join(known)))
    said = {name: str(values.get(name, known[name].default)) for name in known}
    for name, argument in known.items():
        if argument.choices and said[name] not in argument.choices:
            choices = ', '.join(choice or "''" for choice in argument.choices)
            raise ConfigError(f"argument '{name}' is '{said[name]}': expected one of {choices}")
    return said


def _check_names(said: dict[str, str]) -> None:
    for name in ('image_topic', 'camera_info_topic', 'candidates_topic'):
        if not _TOPIC.fullmatch(said[name]):
            raise ConfigError(f"argument '{name}' is '{said[name]}': expected a topic name")
    if not _NAMESPACE.fullmatch(said['namespace']):
        raise ConfigError(f"argument 'namespace' is '{said['namespace']}': expected a namespace "
                          'such as robot_1')


def _check_paths(said: dict[str, str]) -> None:
    for name in ('params_file', 'model'):
        if said[name] and not Path(said[name]).expanduser().is_file():
            raise ConfigError(f"argument '{name}' is '{said[name]}': there is no such file")
    if said['bag'] and said['sim'] == 'true':
        raise ConfigError(f"arguments 'bag' is '{said['bag']}' and 'sim' is 'true': expected one "
                          'of them, since both publish the camera images')
    if said['bag'] and not Path(said['bag']).expanduser().exists():
        raise ConfigError(f"argument 'bag' is '{said['bag']}': there is no such file or folder")


def _positive(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 100:
        raise ConfigError(f"argument '{name}' is '{text}': expected a number above 0, at most 100")
    return value


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**31):
        raise ConfigError(f"argument '{name}' is '{text}': expected a whole number from 0")
    return int(text)


def _changed(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in pairs if pair[0] != pair[1])


def _parameter_files(said: dict[str, str]) -> tuple[str, ...]:
    files = [str(share_directory() / 'config' / 'grasp.yaml')]
    if said['params_file']:
        files.append(_absolute(said['params_file']))
    return tuple(files)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())
