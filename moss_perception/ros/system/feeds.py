"""What gives a system its images in place of a camera: a recording, or the simulated cell."""

from typing import Any

from moss_perception.ros.system.processes import absolute, JOB, not_allowed, Process, whole_number

_OF_PREDICTOR = ('grasp_scores', 'grasp_score', 'motion_features', 'debug_image', 'grasp_markers',
                 'processed', 'heartbeat', 'transition_event')
_OF_GATE = ('selected_grasp', 'grasp_gate/state', 'grasp_gate/processed')


def own_topics(namespace: str, gate: bool) -> list[str]:
    """
    Return the topics on which a system's own nodes publish.

    What such nodes said during a recording would contradict them, so it is not played.

    :param namespace: namespace of the nodes, absolute, or empty for none.
    :param gate: whether the system has a gate.
    :returns: absolute names.
    """
    return ['/diagnostics', *(f'{namespace}/grasp_predictor/{name}' for name in _OF_PREDICTOR),
            *(f'{namespace}/{name}' for name in _OF_GATE if gate)]


def check_pace(given: dict[str, str]) -> float:
    """
    Return the playback speed, and refuse a pace that nothing in the system would keep.

    :param given: values of all arguments of the system.
    :raises ConfigError: if ``bag_rate`` is no speed, or there is nothing to pace.
    """
    rate = _rate(given['bag_rate'])
    if rate != 1 and not given['bag']:
        raise not_allowed('bag_rate', given['bag_rate'],
                          'expected 1.0 without a recording in bag, which it is the speed of')
    if given['lock_step'] == 'true' and not given['bag'] and given['sim'] != 'true':
        raise not_allowed('lock_step', 'true',
                          'expected bag or sim:=true as well, since a camera does not wait')
    return rate


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 100:
        raise not_allowed('bag_rate', text, 'expected a number above 0, at most 100')
    return value


def player(given: dict[str, str], recorded: str, rate: float, simulated: bool,
           of_node: dict[str, Any]) -> Process:
    """
    Describe the process that plays the recording.

    :param recorded: topic of its images.
    :param simulated: whether the nodes take the time of ``/clock``.
    :param of_node: further fields of the process.
    """
    namespace = of_node['namespace']
    more = {'calibration': absolute(given['calibration'])} if given['calibration'] else {}
    topic = given['camera_info_topic']
    # Parameter files may name a calibration, too.
    remappings = (('camera_info', topic),) if topic != 'camera_info' else ()
    return Process('bag_player', 'bag_player', JOB, remappings=remappings, parameters={
        'bag': absolute(given['bag']),
        'rate': rate,
        'lock_step': given['lock_step'] == 'true',
        'publish_clock': simulated,
        'processed_topic': _processed(namespace),
        'wait_for_subscribers': [recorded],
        'exclude_topics': own_topics(namespace, given['gate'] == 'true'), **more}, **of_node)


def sim_cell(given: dict[str, str], simulated: bool, remappings: tuple[tuple[str, str], ...],
             of_node: dict[str, Any]) -> Process:
    """
    Describe the process of the simulated cell.

    :param simulated: whether the nodes take the time of ``/clock``.
    :param remappings: those of the camera's topics.
    :param of_node: further fields of the process.
    """
    namespace = of_node['namespace']
    # Lock step may also be set in the parameter files, which do not know namespace and gate.
    parameters: dict[str, Any] = {
        'publish_clock': simulated, 'compressed': given['image_transport'] == 'compressed',
        'processed_topic': _processed(namespace),
        'decided_topic': f'{namespace}/grasp_gate/processed' if given['gate'] == 'true' else ''}
    if given['lock_step'] == 'true':
        parameters |= {'lock_step': True, 'real_time': False}
    for name in ('cell', 'domain', 'attempts', 'seed'):
        if text := given[f'sim_{name}']:
            parameters[name] = (text if name in ('cell', 'domain')
                                else whole_number(f'sim_{name}', text))
    return Process('sim_cell', 'sim_cell', JOB, parameters=parameters, remappings=remappings,
                   **of_node)


def _processed(namespace: str) -> str:
    return f'{namespace}/grasp_predictor/processed'
