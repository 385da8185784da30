"""
The description of an evaluation over topics, for the launch file and for ``moss run eval``.

The evaluation is a list of consecutive runs, two for each source: the first runs the nodes and
records their topics with attempt_recorder, the second evaluates the recording with
``moss evaluate --scores recorded``. The last run writes the report.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from moss_perception.cli.topics import system_of
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import share_directory
from moss_perception.evaluation.thresholds import parse, score_threshold
from moss_perception.ros.system import Argument, check_values, JOB, Process, STARTER

LIVE, NONE = 'live', 'none'
_BOOLEAN = ('true', 'false')
_SAMPLES = {'sim': 'samples/sim_20', 'real': 'samples/shifted_20'}
# The player's highest rate: in lock step the predictor's speed sets the pace.
_FASTEST = '100.0'
# The load of the machine must not change scores that a replay has to reproduce.
_NO_HURRY_S = 10.0
# Topics of the predictor that was running during the recording.
_PREDICTOR_TOPICS = ['/diagnostics', *(f'/grasp_predictor/{name}' for name in (
    'grasp_scores', 'grasp_score', 'processed', 'motion_features', 'debug_image'))]


def evaluation_arguments() -> list[Argument]:
    """
    Describe the arguments of an evaluation.

    :returns: the arguments, in the order of the help text.
    """
    return [
        Argument('sim_bag', '', 'recording of the simulation (rosbag2); empty: the shipped one; '
                 'live: run sim_cell; none: skip this domain'),
        Argument('real_bag', '', 'recording of the robot (rosbag2), live or none, as for sim_bag; '
                 'empty: the shipped recording of the shifted simulation'),
        Argument('closed_loop', 'false', 'run sim_cell for both domains, execute the grasps that '
                 'the scores select, and report the success rate', _BOOLEAN),
        Argument('sim_domain', 'sim', 'name of the first domain; with live, the domain of '
                                      'sim_cell'),
        Argument('real_domain', '', 'name of the second domain; empty: as in the recorded '
                                    'outcomes, '
                 'or shifted with live'),
        Argument('sim_outcomes', '', 'CSV file of outcomes (start, end, success) for sim_bag; '
                                     'empty: '
                 'use those in the recording'),
        Argument('real_outcomes', '', 'CSV file of outcomes (start, end, success) for real_bag; '
                 'empty: use those in the recording'),
        Argument('real_image_topic', 'image', 'topic of the images in real_bag, if it has '
                 'several'),
        Argument('real_camera_info_topic', 'camera_info', 'topic of the camera calibration '
                 'in real_bag'),
        Argument('real_candidates_topic', 'grasp_candidates', 'topic of the grasp candidates '
                 'in real_bag'),
        Argument('lock_step', 'true', 'play recordings one image at a time, without losses; '
                 'false: play them in real time, as on a robot', _BOOLEAN),
        Argument('bag_rate', '1.0', 'playback speed without lock_step; 1.0: as recorded'),
        Argument('verify', 'true', 'with recordings: score the received frames again without '
                 'topics, and compare the scores', _BOOLEAN),
        Argument('attempts', '50', 'with live: grasp attempts per domain'),
        Argument('sim_cell', '', 'with live: distribution of the scenes, full or belt; empty: '
                                 'full'),
        Argument('sim_seed', '2000000', 'with live: seed of the first scene; the shipped model '
                                        'was not '
                 'trained on the default'),
        Argument('strips', 'true', 'with live: record the images, for the film strips of the '
                                   'report', _BOOLEAN),
        Argument('model', '', 'checkpoint (.safetensors); empty: the shipped one'),
        Argument('params_file', '', 'YAML file of parameters that override config/grasp.yaml'),
        Argument('out', 'out/sim_to_real', 'folder for the report, recordings and records'),
        Argument('require', '', "requirements, such as 'auroc>=0.8; brier@shifted<=0.25'; the "
                 'exit status is 3 if one is not met'),
        Argument('threshold', '0.5', 'lowest score of an accepted grasp, in the report'),
        Argument('success_definition', '', 'definition of a success in one sentence, for the '
                 'report; empty: the default definition'),
        Argument('log_level', 'info', 'lowest level that is logged',
                 ('debug', 'info', 'warn', 'error', 'fatal')),
    ]


_DEFAULTS = {argument.name: argument.default for argument in evaluation_arguments()}


def evaluation_runs(values: dict[str, str]) -> list[list[Process]]:
    """
    Describe the runs of an evaluation; each is a separate system.

    Each recording gets a new predictor, which has no state from the recording before.

    :param values: values by argument name; missing arguments take their defaults.
    :returns: the processes of each run; see :func:`moss_perception.ros.system.grasp_system`.
    :raises MossError: if a name is unknown, a value not allowed, or a recording not usable.
    """
    said = check_values(evaluation_arguments(), values)
    for requirement in _requirements(said):
        parse(requirement)
    score_threshold(said['threshold'])
    sources = {which: _source(said, which) for which in ('sim', 'real')}
    chosen = {which: source for which, source in sources.items() if source != NONE}
    if not chosen:
        raise ConfigError("arguments 'sim_bag' and 'real_bag' are 'none': expected a source "
                          'for at least one of them')
    runs, records = [], []
    for number, (which, source) in enumerate(chosen.items(), start=1):
        run = _Run(said, which, source, f'{number}_{which}')
        runs += [run.nodes(), [run.evaluation()]]
        records.append(str(run.record))
    return [*runs, [_report(said, records)]]


def _requirements(said: dict[str, str]) -> list[str]:
    return [word.strip() for word in said['require'].split(';') if word.strip()]


def _folder(said: dict[str, str]) -> Path:
    return Path(said['out']).expanduser().absolute()


def _report(said: dict[str, str], records: list[str]) -> Process:
    """Write one report of all runs and check the requirements."""
    words = ['--records', *records, '--report', str(_folder(said) / 'report'),
             '--reference', said['sim_domain'], '--threshold', said['threshold']]
    if said['success_definition']:
        words += ['--success-definition', said['success_definition']]
    if requirements := _requirements(said):
        words += ['--require', *requirements]
    return _evaluate('report', words, JOB)


def _evaluate(name: str, words: list[str], role: str) -> Process:
    return Process('moss', name, role, arguments=('evaluate', *words), plain=True)


def _source(said: dict[str, str], which: str) -> str:
    text = said[f'{which}_bag']
    if said['closed_loop'] == 'true' and text != NONE:
        if text not in ('', LIVE):
            raise ConfigError(f"arguments 'closed_loop' is 'true' and '{which}_bag' is '{text}': "
                              'expected live, since no grasp can be executed in a recording')
        return LIVE
    return text or str(share_directory() / _SAMPLES[which])


class _Run:
    """
    One source: the nodes that are recorded, and the evaluation of the recording.

    :param name: name of the output files.
    :ivar record: JSON file for the results of the evaluation.
    """

    def __init__(self, said: dict[str, str], which: str, source: str, name: str):
        self._said, self._which, self._source = said, which, source
        self._live = source == LIVE
        self._lock_step = said['lock_step'] == 'true'
        # Without an argument, the outcomes name their domain.
        self._domain = said[f'{which}_domain'] or ('shifted' if self._live else '')
        folder = _folder(said)
        self.record = folder / 'records' / f'{name}.json'
        self._recording = folder / 'recordings' / name
        self._timing_log = '' if self._live or self._lock_step else str(
            folder / 'recordings' / f'{name}_timing.csv')

    def nodes(self) -> list[Process]:
        """Describe the nodes, with the recorder first."""
        processes = [self._fitted(x) for x in system_of(self._values())]
        predictor = next(x for x in processes if x.executable == 'grasp_predictor')
        self._model = predictor.parameters.get('model_path', '')
        for player in processes:
            if player.executable == 'bag_player':
                self._image_topic, = player.parameters['wait_for_subscribers']
        images = tuple(x for x in predictor.remappings if x[0] == 'image' or '/' in x[0])
        recorder = Process(
            'attempt_recorder', 'attempt_recorder', JOB, early=True,
            parameters={name: x for name, x in self._recorder().items() if x != ''},
            parameter_files=predictor.parameter_files, remappings=images,
            log_level=self._said['log_level'])
        # Find recordings that can't be evaluated before any of them is played.
        checks = [] if self._live else [_evaluate(
            'check', [self._played, *self._inputs(), *self._checkpoint(), '--check'], STARTER)]
        return [recorder, *processes, *checks]

    def evaluation(self) -> Process:
        """Describe the evaluation of the recording; :meth:`nodes` comes first."""
        words = [str(self._recording), '--scores', 'recorded', '--record', str(self.record),
                 *self._inputs(), *self._checkpoint()]
        if self._domain:
            words[0] = f'{self._domain}:{words[0]}'
        if not self._live and self._said['verify'] == 'true':
            words.append('--verify')
        return _evaluate('evaluate', words, JOB)

    @property
    def _played(self) -> str:
        return '' if self._live else str(Path(self._source).expanduser().resolve())

    def _values(self) -> dict[str, str]:
        """Return the arguments of the grasp system."""
        said = self._said
        common = {name: said[name] for name in ('model', 'params_file', 'log_level')}
        if self._live:
            return {**common, 'sim': 'true', 'sim_attempts': said['attempts'],
                    'sim_domain': self._domain, 'sim_cell': said['sim_cell'],
                    'sim_seed': said['sim_seed']}
        return {**common, 'bag': self._source, 'gate': 'false', **_playing(said),
                **_topics(said, self._which)}

    def _recorder(self) -> dict:
        said = self._said
        found = {'out': str(self._recording), 'overwrite': True, 'qos_reliability': 'reliable',
                 'inputs': self._live, 'images': self._live and said['strips'] == 'true'}
        if self._live:
            return found | {'attempts': _positive(said), 'closed_loop': True, 'simulated': True}
        pace = 'lock step' if self._lock_step else f'{float(said["bag_rate"]):g}x'
        return found | {'pace': pace, 'played': self._played, 'timing_log': self._timing_log}

    def _inputs(self) -> list[str]:
        """Name the topics and outcomes of the inputs, as ``evaluate`` takes them."""
        said = self._said
        if self._live:
            return []
        words = ['--image-topic', self._image_topic]
        if table := _file(said, f'{self._which}_outcomes'):
            words += ['--outcomes', table]
        for name in ('camera_info', 'candidates') if self._which == 'real' else ():
            if said[f'real_{name}_topic'] != _DEFAULTS[f'real_{name}_topic']:
                words += [f'--{name.replace("_", "-")}-topic',
                          f'/{said[f"real_{name}_topic"].strip("/")}']
        return words

    def _checkpoint(self) -> list[str]:
        return ['--model', self._model] if self._model else []

    def _fitted(self, process: Process) -> Process:
        """Change the parameters of a process of the grasp system for an evaluation."""
        more: dict = {}
        if process.executable == 'sim_cell':
            more = _after_subscriptions('/image/compressed')
        if process.executable == 'bag_player':
            images, = process.parameters['wait_for_subscribers']
            more = {'exclude_topics': _PREDICTOR_TOPICS, **_after_subscriptions(images)}
            if self._timing_log:
                more['timing_log'] = self._timing_log
        if process.executable == 'grasp_predictor' and not self._live:
            more = {'publish_features': False}
            if self._lock_step or self._said['verify'] == 'true':
                more['latency_budget'] = _NO_HURRY_S
            if self._lock_step:
                more['qos_reliability'] = 'reliable'
        return replace(process, parameters={**process.parameters, **more})


def _after_subscriptions(images: str) -> dict[str, Any]:
    """Publish nothing before the predictor and the recorder receive everything."""
    # Each node creates this subscription last.
    return {'start_delay': 60.0, 'wait_for_nodes': [
        f'/grasp_predictor={images}', '/attempt_recorder=/grasp_outcome']}


def _playing(said: dict[str, str]) -> dict[str, str]:
    return {'lock_step': said['lock_step'],
            'bag_rate': _FASTEST if said['lock_step'] == 'true' else said['bag_rate']}


def _topics(said: dict[str, str], which: str) -> dict[str, str]:
    if which == 'sim':
        return {}
    return {name: said[f'real_{name}'] for name in (
        'image_topic', 'camera_info_topic', 'candidates_topic')}


def _file(said: dict[str, str], name: str) -> str:
    if said[name] and not Path(said[name]).expanduser().is_file():
        raise ConfigError(f"argument '{name}' is '{said[name]}': there is no such file")
    return str(Path(said[name]).expanduser().resolve()) if said[name] else ''


def _positive(said: dict[str, str]) -> int:
    text = said['attempts']
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise ConfigError(f"argument 'attempts' is '{text}': expected a whole number from 1")
    return int(text)
