"""Several robots in one system: each has its predictor and gate in a namespace of its own."""

from dataclasses import replace
import re

from moss_perception.ros.system.processes import (
    Argument,
    BOOLEAN,
    JOB,
    not_allowed,
    Process,
    SERVICE,
    STARTER,
    WATCHER,
)

ROBOT_ARGUMENTS = (
    Argument('robots', '', 'names of several robots or cameras, such as left,right: each has its '
             'nodes and relative topics in a namespace of this name; empty: one'),
    Argument('one_process', 'false', 'with robots: one process steps all predictors, which share '
             'the network', BOOLEAN))

_NAME = re.compile(r'[A-Za-z_]\w*', re.ASCII)
# What one machine has once: a clock, a view, a recording.
_ALONE = {'bag': '', 'sim': 'false', 'foxglove': 'false', 'rviz': 'false'}
_TOPICS = ('image_topic', 'camera_info_topic', 'candidates_topic', 'lead_times_topic')
_PREDICTOR = 'grasp_predictor'


def robots_of(given: dict[str, str]) -> list[dict[str, str]]:
    """
    Return the values of each robot's own system; empty without ``robots``.

    :param given: values of all arguments of the system.
    :raises ConfigError: if a name is wrong or comes twice, or another argument does not fit.
    """
    names = [name.strip() for name in given['robots'].split(',')] if given['robots'] else []
    if not names:
        if given['one_process'] == 'true':
            raise not_allowed('one_process', 'true', 'expected names in robots as well')
        return []
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1:
            raise not_allowed('robots', given['robots'],
                              'expected different names such as left,right')
    for name, default in _ALONE.items():
        if given[name] != default:
            raise not_allowed(name, given[name], f'expected {default!r} with robots; start it '
                              'beside the system, in the namespace of one robot')
    for name in _TOPICS:
        if given[name].startswith('/'):
            raise not_allowed(name, given[name], 'expected a relative name with robots, since '
                              'each has its topics in its namespace')
    space = given['namespace'].strip('/')
    return [{
        **given, 'robots': '', 'one_process': 'false',
        'namespace': f'{space}/{name}' if space else name,
        'web_port': _port(given['web_port'], number)} for number, name in enumerate(names)]


def _port(text: str, number: int) -> str:
    """Give each robot's page a port of its own; the system of the robot checks it."""
    return str(int(text) + number) if text.isdecimal() and int(text) else text


def join_systems(systems: list[list[Process]], one_process: bool) -> list[Process]:
    """
    Make one system of those of several robots, whose predictors have the same parameters.

    :param systems: processes of each.
    :param one_process: whether one process runs all predictors.
    :returns: services, then starters, then jobs, then watchers.
    """
    every = [process for system in systems for process in system]
    if one_process:
        predictors = [process for process in every if process.name == _PREDICTOR]
        spaces = tuple(process.namespace for process in predictors)
        together = replace(predictors[0], namespace='', namespaces=spaces)
        every = [together, *(process for process in every if process.name != _PREDICTOR)]
    roles = (SERVICE, STARTER, JOB, WATCHER)
    return sorted(every, key=lambda process: roles.index(process.role))
