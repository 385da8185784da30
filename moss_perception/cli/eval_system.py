"""
The one description of an evaluation over topics: runs one after another, the last one reports.

``launch/sim_to_real_eval.launch.py`` and ``moss run eval`` are both made from it.
"""

from dataclasses import replace
from pathlib import Path

from moss_perception.cli.topics import system_of
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import share_directory
from moss_perception.evaluation.thresholds import score_threshold
from moss_perception.ros.system import Argument, check_values, JOB, Process, STARTER

LIVE, NONE = 'live', 'none'
_BOOLEAN = ('true', 'false')
_SAMPLES = {'sim': 'samples/sim_20', 'real': 'samples/shifted_20'}
# The player's highest rate: in lock step the predictor sets the pace.
_FASTEST = '100.0'
# Scores that are to be found again must not depend on how busy the machine is.
_NO_HURRY_S = 10.0
# What another predictor said at the time of recording is not to be heard again.
_SAID_BEFORE = ['/diagnostics', *(f'/grasp_predictor/{name}' for name in (
    'grasp_scores', 'grasp_score', 'processed', 'motion_features', 'debug_image'))]


def evaluation_arguments() -> list[Argument]:
    """
    Describe what can be said when an evaluation is started.

    :returns: the arguments, in the order in which they should be shown.
    """
    return [
        Argument('sim_bag', '', 'recording of the simulation (rosbag2); empty: the shipped one; '
                 'live: sim_cell, in closed loop; none: left out'),
        Argument('real_bag', '', 'recording of the robot, likewise; empty: the shipped one of '
                 'the shifted simulation'),
        Argument('closed_loop', 'false', 'both live: grasps are selected by the scores and '
                 'executed, and the rate of success is reported', _BOOLEAN),
        Argument('sim_domain', 'sim', 'name of the first domain; live: what sim_cell shows'),
        Argument('real_domain', '', 'of the second; empty: as its outcomes say, live: shifted'),
        Argument('sim_outcomes', '', 'CSV file of outcomes (start, end, success); empty: those '
                 'of the recording'),
        Argument('real_outcomes', '', 'likewise'),
        Argument('real_image_topic', 'image', 'images of the second recording, if it has several'),
        Argument('real_camera_info_topic', 'camera_info', 'its calibration'),
        Argument('real_candidates_topic', 'grasp_candidates', 'its grasp candidates'),
        Argument('lock_step', 'true', 'recordings are played an image at a time, nothing is lost; '
                 'false: in time, as a robot would see them', _BOOLEAN),
        Argument('bag_rate', '1.0', 'how fast they are played otherwise, 1.0 is as recorded'),
        Argument('verify', 'true', 'score exactly the frames that arrived once more, without '
                 'topics, and compare', _BOOLEAN),
        Argument('attempts', '50', 'live: grasps attempted in each domain'),
        Argument('sim_cell', '', 'live: what scenes are drawn from: full or belt; empty: full'),
        Argument('sim_seed', '2000000', 'live: of the first scene; the default is none that the '
                 'shipped model was trained on'),
        Argument('strips', 'true', 'live: keep small pictures of attempts, for the film strips',
                 _BOOLEAN),
        Argument('model', '', 'checkpoint (.safetensors); empty: the shipped one'),
        Argument('params_file', '', 'YAML file of parameters that override config/grasp.yaml'),
        Argument('out', 'out/sim_to_real', 'folder for the report, and for what it was made of'),
        Argument('require', '', "what must hold, such as 'auroc>=0.8; brier@shifted<=0.25'; "
                 'else the status is 3'),
        Argument('threshold', '0.5', 'scores from here on let a grasp pass, in the report'),
        Argument('success_definition', '', 'what counts as a success, in a sentence, for the '
                 'report; empty: the usual one'),
        Argument('log_level', 'info', 'lowest level that is logged',
                 ('debug', 'info', 'warn', 'error', 'fatal')),
    ]


_DEFAULTS = {argument.name: argument.default for argument in evaluation_arguments()}


def evaluation_runs(values: dict[str, str]) -> list[list[Process]]:
    """
    Describe the runs of an evaluation, each a system of its own.

    A recording meets a predictor of its own, so that nothing of the last one is left in it.

    :param values: what was said, by argument name; arguments left out take their defaults.
    :returns: the processes of each, as :func:`moss_perception.ros.system.grasp_system` lists them.
    :raises MossError: if a name is unknown, a value not allowed, or a recording not usable.
    """
    said = check_values(evaluation_arguments(), values)
    sources = {which: _source(said, which) for which in ('sim', 'real')}
    chosen = {which: source for which, source in sources.items() if source != NONE}
    if not chosen:
        raise ConfigError("arguments 'sim_bag' and 'real_bag' are 'none': expected one of them "
                          'to be something')
    folder = Path(said['out']).expanduser().absolute()
    runs, records = [], []
    for number, (which, source) in enumerate(chosen.items(), start=1):
        record = folder / 'records' / f'{number}_{which}.json'
        evaluator = {'record': str(record), 'start_delay': 120.0}
        if number == len(chosen):
            evaluator |= {'others': records, 'report': str(folder / 'report'),
                          'reference': said['sim_domain'], 'require': said['require'],
                          'threshold': score_threshold(said['threshold']),
                          'success_definition': said['success_definition']}
        runs.append(_run(said, which, source, evaluator))
        records = [*records, str(record)]
    return runs


def _source(said: dict[str, str], which: str) -> str:
    text = said[f'{which}_bag']
    if said['closed_loop'] == 'true' and text != NONE:
        if text not in ('', LIVE):
            raise ConfigError(f"arguments 'closed_loop' is 'true' and '{which}_bag' is '{text}': "
                              'expected one of them, nothing can be grasped in a recording')
        return LIVE
    return text or str(share_directory() / _SAMPLES[which])


def _run(said: dict[str, str], which: str, source: str, evaluator: dict) -> list[Process]:
    live = source == LIVE
    # Its outcomes say which domain they are of, if the one who starts it does not.
    domain = said[f'{which}_domain'] or ('shifted' if live else '')
    common = {name: said[name] for name in ('model', 'params_file', 'log_level')}
    if live:
        values = {**common, 'sim': 'true', 'sim_attempts': said['attempts'], 'sim_domain': domain,
                  'sim_cell': said['sim_cell'], 'sim_seed': said['sim_seed']}
        evaluator |= {'domain': domain, 'closed_loop': True, 'attempts': _positive(said),
                      'strips': said['strips'] == 'true'}
    else:
        values = {**common, 'bag': source, 'gate': 'false', **_playing(said),
                  **_topics(said, which)}
        evaluator |= {'bag': str(Path(source).expanduser().resolve()), 'domain': domain,
                      'outcomes': _file(said, f'{which}_outcomes')}
    processes = system_of(values)
    if not live:
        evaluator |= _pace(said, evaluator['record']) | {
            f'{name}_topic': f'/{said[f"real_{name}_topic"].strip("/")}'
            for name in ('camera_info', 'candidates') if which == 'real' and said[
                f'real_{name}_topic'] != _DEFAULTS[f'real_{name}_topic']}
    predictor = next(x for x in processes if x.executable == 'grasp_predictor')
    parameters = {name: value for name, value in evaluator.items() if value not in ('', [])}
    if said['model']:
        parameters['model'] = predictor.parameters['model_path']
    images = tuple(x for x in predictor.remappings if x[0] == 'image' or '/' in x[0])
    heard = Process(
        'bag_evaluator', 'bag_evaluator', JOB, early=True, parameters=parameters,
        parameter_files=predictor.parameter_files, remappings=images, log_level=said['log_level'])
    return [heard, *(_fitted(x, said, live, evaluator['record']) for x in processes)]


def _fitted(process: Process, said: dict[str, str], live: bool, record: str) -> Process:
    """Give a process of the grasp system what an evaluation needs."""
    more: dict = {}
    if process.role == STARTER:
        return replace(process, arguments=(*process.arguments, '--heard', 'grasp_outcome'))
    if process.executable == 'bag_player':
        more = {'exclude_topics': _SAID_BEFORE, 'start_delay': 60.0}
        if said['lock_step'] == 'false':
            more['timing_log'] = _timing_log(record)
    if process.executable == 'grasp_predictor' and not live:
        more = {'publish_features': False}
        if 'true' in (said['lock_step'], said['verify']):
            more['latency_budget'] = _NO_HURRY_S
        if said['lock_step'] == 'true':
            more['qos_reliability'] = 'reliable'
    return replace(process, parameters={**process.parameters, **more})


def _playing(said: dict[str, str]) -> dict[str, str]:
    return {'lock_step': said['lock_step'],
            'bag_rate': _FASTEST if said['lock_step'] == 'true' else said['bag_rate']}


def _topics(said: dict[str, str], which: str) -> dict[str, str]:
    if which == 'sim':
        return {}
    return {name: said[f'real_{name}'] for name in (
        'image_topic', 'camera_info_topic', 'candidates_topic')}


def _pace(said: dict[str, str], record: str) -> dict:
    pace = {'verify': said['verify'] == 'true'}
    if said['lock_step'] == 'true':
        return pace | {'pace': 'lock step'}
    return pace | {'pace': f'{float(said["bag_rate"]):g}x', 'timing_log': _timing_log(record)}


def _timing_log(record: str) -> str:
    return record.removesuffix('.json') + '_timing.csv'


def _file(said: dict[str, str], name: str) -> str:
    if said[name] and not Path(said[name]).expanduser().is_file():
        raise ConfigError(f"argument '{name}' is '{said[name]}': there is no such file")
    return str(Path(said[name]).expanduser().resolve()) if said[name] else ''


def _positive(said: dict[str, str]) -> int:
    text = said['attempts']
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise ConfigError(f"argument 'attempts' is '{text}': expected a whole number from 1")
    return int(text)
