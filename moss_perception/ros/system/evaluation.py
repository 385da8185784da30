"""
An evaluation over topics: the launch file and ``moss run eval`` start this description.

The evaluation is a list of consecutive runs, two for each source: the first runs the nodes and
records their topics with run_recorder, the second evaluates the recording with
``moss evaluate --scores recorded``. The last run writes the report.
"""

from collections.abc import Sequence
from dataclasses import replace
import json
from pathlib import Path
from typing import Any, TYPE_CHECKING

from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import share_directory
from moss_perception.evaluation.input_topics import (
    CALIBRATION,
    is_file,
    Names,
    OUTCOMES,
    parse_topics,
    read_topics,
    SETUP,
)
from moss_perception.evaluation.thresholds import parse, score_threshold
from moss_perception.ros.system.grasp import grasp_system
from moss_perception.ros.system.processes import (
    absolute,
    Argument,
    BOOLEAN,
    check_values,
    FASTEST,
    file_of,
    JOB,
    LOG_LEVEL,
    MODEL,
    PARAMS_FILE,
    Process,
    STARTER,
    whole_number,
)

if TYPE_CHECKING:
    from moss_perception.ros.system.latencies import Part

LIVE, NONE = 'live', 'none'
_SAMPLES = {'sim': 'samples/sim_20', 'real': 'samples/shifted_20'}
# The load of the machine must not change scores that a replay has to reproduce.
_LATENCY_BUDGET_S = 10.0

EVALUATION_ARGUMENTS = [
    Argument('sim_bag', '', 'recording of the simulation (rosbag2); empty: the shipped one; '
             'live: run sim_cell; none: skip this domain'),
    Argument('real_bag', '', 'recording of the robot (rosbag2), live or none, as for sim_bag; '
             'empty: the shipped recording of the shifted simulation'),
    Argument('closed_loop', 'false', 'run sim_cell for both domains, execute the grasps that '
             'the scores select, and report the success rate', BOOLEAN),
    Argument('latencies', '', 'with live: latencies of sim_cell in seconds, such as 0,0.06,0.12. '
             'Each is a run of its own, and for a checkpoint with time inputs three: lead times '
             'told, set by parameter, and not told; empty: as in the parameter files'),
    Argument('sim_domain', 'sim', 'name of the first domain; with live, the domain of sim_cell'),
    Argument('real_domain', '', 'name of the second domain; empty: as in the recorded outcomes, '
             'or shifted with live'),
    Argument('sim_outcomes', '', 'CSV file of outcomes (start, end, success) for sim_bag; '
             'empty: use those in the recording'),
    Argument('real_outcomes', '', 'CSV file of outcomes (start, end, success) for real_bag; '
             'empty: use those in the recording'),
    Argument('sim_topics', '', 'topics of sim_bag, such as image:=/camera/color/image_raw,'
             'candidates:=/planner/grasps,executed:=/planner/goal, and its camera, such as '
             'candidates_transform:=0 0 1 1 0 0 0, or a YAML file with those of sim_domain; '
             'empty: those of the interface'),
    Argument('real_topics', '', 'topics of real_bag, or a YAML file with those of real_domain, '
             'as for sim_topics'),
    Argument('lock_step', 'true', 'play recordings one image at a time, without losses; '
             'false: play them in real time, as on a robot', BOOLEAN),
    Argument('bag_rate', '1.0', 'playback speed without lock_step; 1.0: as recorded'),
    Argument('verify', 'true', 'with recordings: score the received frames again without '
             'topics, and compare the scores', BOOLEAN),
    Argument('attempts', '50', 'with live: grasp attempts per domain'),
    Argument('sim_cell', '', 'with live: full, belt, or the path of a cell file; empty: full'),
    Argument('sim_seed', '6000000', 'with live: seed of the first scene; refused if the '
             'checkpoint was trained on a scene; no training of this project uses the default'),
    Argument('strips', 'true', 'with live: record the images, for the film strips of the report',
             BOOLEAN),
    MODEL,
    PARAMS_FILE,
    Argument('out', 'out/sim_to_real', 'folder for the report, recordings and records'),
    Argument('require', '', "requirements, such as 'auroc>=0.8; brier@shifted<=0.25'; the exit "
             'status is 3 if one is not met'),
    Argument('threshold', '0.5', 'lowest score of an accepted grasp, in the report'),
    Argument('success_definition', '', 'definition of a success in one sentence, for the '
             'report; empty: the default definition'),
    LOG_LEVEL,
]
# Arguments of the grasp system that name the topics of a recording.
_PLAYED = ('image', 'camera_info', 'candidates', 'lead_times')


def evaluation_runs(values: dict[str, str]) -> list[list[Process]]:
    """
    Describe the runs of an evaluation; each is a separate system.

    Each recording gets a new predictor, which has no state from the recording before.

    :param values: values by argument name; missing arguments take their defaults.
    :returns: the processes of each run; see
        :func:`moss_perception.ros.system.grasp.grasp_system`.
    :raises MossError: if a name is unknown, a value not allowed, or a recording not usable.
    """
    given = check_values(EVALUATION_ARGUMENTS, values)
    for requirement in _requirements(given):
        parse(requirement)
    score_threshold(given['threshold'])
    sources = {which: source for which in ('sim', 'real')
               if (source := _source(given, which)) != NONE}
    if not sources:
        raise ConfigError("arguments 'sim_bag' and 'real_bag' are 'none': expected a source "
                          'for at least one of them')
    if LIVE in sources.values():
        # Help and other commands do not need what this imports.
        from moss_perception.ros.system.latencies import refuse_seeds
        refuse_seeds(given)
    runs, records = [], []
    for number, (which, source) in enumerate(sources.items(), start=1):
        for part in _parts(given, which, source):
            run = _Run(given, which, source, f'{number}_{which}', part)
            if not run.is_done():
                runs += [run.nodes(), [run.evaluation()]]
            records.append(str(run.record))
    return [*runs, [_report(given, records)]]


def _parts(given: dict[str, str], which: str, source: str) -> 'Sequence[Part | None]':
    if not given['latencies']:
        return [None]
    if source != LIVE:
        raise ConfigError(f"arguments 'latencies' is '{given['latencies']}' and '{which}_bag' is "
                          f"'{given[f'{which}_bag']}': expected closed_loop:=true, live or none, "
                          'since a recording has no latency to set')
    # Help and other commands do not need what this imports.
    from moss_perception.ros.system.latencies import parts_of
    return parts_of(given)


def _source(given: dict[str, str], which: str) -> str:
    text = given[f'{which}_bag']
    if given['closed_loop'] == 'true' and text != NONE:
        if text not in ('', LIVE):
            raise ConfigError(f"arguments 'closed_loop' is 'true' and '{which}_bag' is '{text}': "
                              'expected live, since no grasp can be executed in a recording')
        return LIVE
    return text or str(share_directory() / _SAMPLES[which])


def _requirements(given: dict[str, str]) -> list[str]:
    return [word.strip() for word in given['require'].split(';') if word.strip()]


def _topics(given: dict[str, str], which: str) -> Names:
    """Read the topics of a recording, by the keys of evaluation.input_topics."""
    name = f'{which}_topics'
    text = given[name]
    if not is_file(text):
        return parse_topics(text, f'argument {name!r}')
    domain = given[f'{which}_domain'] or which
    named = read_topics(Path(text).expanduser())
    if domain not in named:
        raise ConfigError(f'argument {name!r} is {text!r}, which has no topics of {domain!r}: '
                          f'expected one of {", ".join(named)}')
    return named[domain]


def _folder(given: dict[str, str]) -> Path:
    return Path(given['out']).expanduser().absolute()


def _report(given: dict[str, str], records: list[str]) -> Process:
    """Write one report of all runs and check the requirements."""
    folder = _folder(given)
    words = ['--records', *records, '--report', str(folder / 'report'),
             '--reference', given['sim_domain'], '--threshold', given['threshold']]
    if given['latencies']:
        words += ['--latencies', str(folder / 'latencies.json')]
    if given['success_definition']:
        words += ['--success-definition', given['success_definition']]
    if requirements := _requirements(given):
        words += ['--require', *requirements]
    return _evaluate('report', words)


def _evaluate(name: str, words: list[str], role: str = JOB) -> Process:
    return Process('moss', name, role, arguments=('evaluate', *words), plain=True)


class _Run:
    """
    One source: the nodes that are recorded, and the evaluation of the recording.

    :param name: name of the output files.
    :param part: latency of the cell, and what the predictor learns of it; ``None`` for neither.
    :ivar record: JSON file for the results of the evaluation.
    """

    def __init__(self, given: dict[str, str], which: str, source: str, name: str,
                 part: 'Part | None' = None):
        self._given, self._which, self._part = given, which, part
        name = f'{name}_{part.name}' if part else name
        self._live, self._source = source == LIVE, source
        self._lock_step = given['lock_step'] == 'true'
        # Without an argument, the outcomes name their domain.
        self._domain = given[f'{which}_domain'] or ('shifted' if self._live else '')
        self._topics = {} if self._live else _topics(given, which)
        folder = _folder(given)
        self.record = folder / 'records' / f'{name}.json'
        self._recording = folder / 'recordings' / name
        self._timing_log = '' if self._live or self._lock_step else str(
            folder / 'recordings' / f'{name}_timing.csv')

    def is_done(self) -> bool:
        """Tell whether an earlier evaluation into this folder has completed this part."""
        from moss_perception.ros.system.latencies import is_done
        return self._part is not None and is_done(self.record, self._conditions())

    def _conditions(self) -> dict[str, Any]:
        assert self._part is not None  # only parts have conditions
        return self._part.conditions(self._given, self._domain)

    def nodes(self) -> list[Process]:
        """Describe the nodes, with the recorder first."""
        processes = [self._adapted(x) for x in grasp_system(self._values())]
        predictor = processes[0]
        self._inputs = [] if self._live else self._describe_inputs(next(
            x for x in processes if x.executable == 'bag_player'))
        if 'model_path' in predictor.parameters:
            self._inputs += ['--model', predictor.parameters['model_path']]
        images = tuple(x for x in predictor.remappings if x[0] == 'image' or '/' in x[0])
        recorder = Process(
            'run_recorder', 'run_recorder', JOB, early=True,
            parameters=self._recorder(), parameter_files=predictor.parameter_files,
            remappings=images, log_level=self._given['log_level'])
        # Find recordings that can't be evaluated before any of them is played.
        checks = [] if self._live else [
            _evaluate('check', [absolute(self._source), *self._inputs, '--check'], STARTER)]
        return [recorder, *processes, *checks]

    def evaluation(self) -> Process:
        """Describe the evaluation of the recording; :meth:`nodes` comes first."""
        domain = '_'.join(filter(None, [self._domain, self._part.name if self._part else '']))
        recording = f'{domain}:{self._recording}' if domain else str(self._recording)
        verify = not self._live and self._given['verify'] == 'true'
        return _evaluate('evaluate', [
            recording, '--scores', 'recorded', '--record', str(self.record), *self._inputs,
            *(['--verify'] if verify else []),
            *(['--conditions', json.dumps(self._conditions())] if self._part else [])])

    def _values(self) -> dict[str, str]:
        """Return the arguments of the grasp system."""
        given = self._given
        values = {name: given[name] for name in ('model', 'params_file', 'log_level')}
        # A watcher would take time from what is measured.
        values['console'] = 'false'
        if self._live:
            return values | {
                'sim': 'true', 'lock_step': given['lock_step'],
                'sim_attempts': given['attempts'], 'sim_domain': self._domain,
                'sim_cell': given['sim_cell'], 'sim_seed': given['sim_seed']}
        values |= {f'{key}_topic': self._topics[key] for key in _PLAYED if key in self._topics}
        values |= {key: self._topics[key] for key in SETUP if key in self._topics}
        rate = str(FASTEST) if self._lock_step else given['bag_rate']
        return values | {'bag': self._source, 'gate': 'false', 'lock_step': given['lock_step'],
                         'bag_rate': rate}

    def _recorder(self) -> dict[str, Any]:
        given = self._given
        found = {'out': str(self._recording), 'overwrite': True, 'qos_reliability': 'reliable',
                 'inputs': self._live, 'images': (
                     self._live and given['strips'] == 'true' and self._part is None)}
        if self._live:
            return found | {'attempts': whole_number('attempts', given['attempts'], 1),
                            'closed_loop': True, 'simulated': True}
        pace = 'lock step' if self._lock_step else f'{float(given["bag_rate"]):g}x'
        found |= {'pace': pace, 'played': absolute(self._source)}
        return found | ({'timing_log': self._timing_log} if self._timing_log else {})

    def _describe_inputs(self, player: Process) -> list[str]:
        """Name the topics and outcomes of the inputs, as ``evaluate`` takes them."""
        words = ['--image-topic', *player.parameters['wait_for_subscribers']]
        name = f'{self._which}_outcomes'
        if table := file_of(name, self._given[name] or self._topics.get(OUTCOMES, '')):
            words += ['--outcomes', table]
        for key, topic in self._topics.items():
            if key in SETUP:
                # The transform's option takes seven words.
                words += [f'--{key.replace("_", "-")}',
                          *([absolute(topic)] if key == CALIBRATION else topic.split())]
            elif key not in ('image', OUTCOMES):
                words += [f'--{key.replace("_", "-")}-topic', f'/{topic.strip("/")}']
        return words

    def _adapted(self, process: Process) -> Process:
        """Change the parameters of a process of the grasp system for an evaluation."""
        more: dict[str, Any] = {}
        if process.executable == 'sim_cell':
            more = _after_subscriptions('/image/compressed') | (
                self._part.of_cell if self._part else {})
        if process.executable == 'bag_player':
            images, = process.parameters['wait_for_subscribers']
            more = _after_subscriptions(images)
            if self._timing_log:
                more['timing_log'] = self._timing_log
        if process.executable == 'grasp_predictor':
            more = self._part.of_predictor if self._part else {}
            if not self._live:
                more = {'publish_features': False}
            if self._lock_step or (self._given['verify'] == 'true' and not self._live):
                more['latency_budget'] = _LATENCY_BUDGET_S
            if self._lock_step:
                more['qos_reliability'] = 'reliable'
        return replace(process, parameters={**process.parameters, **more})


def _after_subscriptions(images: str) -> dict[str, Any]:
    """Publish nothing before the predictor and the recorder receive everything."""
    # Each node creates this subscription last.
    return {'start_delay': 300.0, 'wait_for_nodes': [
        f'/grasp_predictor={images}', '/run_recorder=/grasp_outcome']}
