"""
Recording on a robot: ``launch/record_attempts.launch.py`` and ``moss run record`` start this.

It is the grasp system with a camera or the simulated cell, and attempt_recorder beside it.
"""

from dataclasses import replace
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.ros.system.grasp import GRASP_ARGUMENTS, grasp_system
from moss_perception.ros.system.processes import (
    absolute,
    Argument,
    BOOLEAN,
    check_topic,
    check_values,
    JOB,
    not_allowed,
    Process,
    SERVICE,
    whole_number,
)
from moss_perception.ros.system.robots import ROBOT_ARGUMENTS

# A recording has its attempts already.
_OF_BAGS = ('bag', 'bag_rate', 'lock_step', 'calibration')
_TRANSPORT = Argument(
    'image_transport', '', 'transport of the images, raw or compressed: a plugin such as ffmpeg '
    'is not recorded, so convert its images with ros2 run image_transport republish; empty: as '
    'in the parameter files', ('', 'raw', 'compressed'))
_FROM_GRASP = [_TRANSPORT if x.name == _TRANSPORT.name else x for x in GRASP_ARGUMENTS
               if x.name not in (*_OF_BAGS, 'gate', *(
                   argument.name for argument in ROBOT_ARGUMENTS))]
_LABELS = ('object', 'day', 'operator')

RECORD_ARGUMENTS = [
    Argument('out', '', 'folder of the attempts; a folder with attempts is continued'),
    Argument('attempts', '', 'number of attempts to record before the system ends; empty: no '
             'limit'),
    Argument('outcomes', '', 'operator: attempts by services, commands or moss attempts; topic: '
             "by the robot's own outcomes on grasp_outcome; empty: topic with sim, else as in the "
             'parameter files', ('', 'operator', 'topic')),
    Argument('executed_topic', 'selected_grasp', 'topic of the executed grasp'),
    Argument('gripper_topic', '', 'topic of the gripper, which measures the lead time; empty: as '
             'in the parameter files'),
    Argument('gripper_closed', '', 'value between open and closed fingers; empty: as in the '
             'parameter files'),
    *(Argument(name, '', f'group label: the {name}; empty: as in the parameter files')
      for name in _LABELS),
    Argument('predictor', 'true', 'start the predictor, whose scores are recorded too', BOOLEAN),
    Argument('gate', '', 'start grasp_gate, whose selection the robot executes; empty: with sim',
             ('', *BOOLEAN)),
    *_FROM_GRASP,
]


def record_system(values: dict[str, str]) -> list[Process]:
    """
    Describe the processes that record attempts.

    :param values: values by argument name; missing arguments take their defaults.
    :returns: the processes, with the recorder first; see
        :func:`moss_perception.ros.system.grasp.grasp_system`.
    :raises ConfigError: if a name is unknown or a value is not allowed.
    """
    given = check_values(RECORD_ARGUMENTS, values)
    if not given['out']:
        raise not_allowed('out', '', 'expected the folder of the attempts')
    check_topic('executed_topic', given['executed_topic'])
    simulated = given['sim'] == 'true'
    if given['predictor'] == 'false' and simulated:
        raise ConfigError("arguments 'predictor' is 'false' and 'sim' is 'true': expected a "
                          'predictor, whose scores select the grasps of the simulated cell')
    if simulated:
        given['sim_attempts'] = given['attempts'] = given['attempts'] or given['sim_attempts']
    given['gate'] = given['gate'] or str(simulated).lower()
    processes = grasp_system({name: given[name] for name in ('gate', *(
        x.name for x in _FROM_GRASP))})
    recorder = _recorder(given, processes[0], simulated)
    if given['predictor'] == 'false':
        return [recorder]
    return [recorder, *(_adapted(x, given, recorder) for x in processes)]


def _adapted(process: Process, given: dict[str, str], recorder: Process) -> Process:
    """Rename the executed grasp, and let the simulated cell wait for the recorder."""
    if process.executable not in ('grasp_gate', 'sim_cell'):
        return process
    parameters, remappings = process.parameters, process.remappings + _executed(given)
    if process.executable == 'sim_cell':
        space = process.namespace
        # The recorder creates this subscription after those of its inputs.
        parameters = {**parameters, 'start_delay': 60.0, 'wait_for_nodes': [
            f'{space}/{recorder.name}={space}/grasp_outcome']}
    return replace(process, parameters=parameters, remappings=remappings)


def _executed(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    topic = given['executed_topic']
    return () if topic == 'selected_grasp' else (('selected_grasp', topic),)


def _recorder(given: dict[str, str], predictor: Process, simulated: bool) -> Process:
    parameters: dict[str, Any] = {'use_sim_time': predictor.parameters['use_sim_time'],
                                  'out': absolute(given['out'])}
    if 'image_transport' in predictor.parameters:
        parameters['image_transport'] = predictor.parameters['image_transport']
    attempts = whole_number('attempts', given['attempts'] or '0')
    if attempts:
        parameters['attempts'] = attempts
    if outcomes := given['outcomes'] or ('topic' if simulated else ''):
        parameters['outcomes'] = outcomes
    for name in ('gripper_topic', *_LABELS):
        if given[name]:
            parameters[name] = given[name]
    if given['gripper_closed']:
        parameters['gripper_closed'] = _number('gripper_closed', given['gripper_closed'])
    # With a number of attempts it is what the system waits for.
    return Process(
        'attempt_recorder', 'attempt_recorder', JOB if attempts else SERVICE, early=True,
        namespace=predictor.namespace,
        parameter_files=predictor.parameter_files,
        parameters=parameters, remappings=predictor.remappings + _executed(given),
        log_level=given['log_level'])


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise not_allowed(name, text, 'expected a number') from error
