"""``moss evaluate``: measure a checkpoint on recordings or on unseen scenes."""

import argparse
from typing import Any

from moss_perception.cli.common import (
    add_executor,
    add_sha256,
    given_options,
    refuse_others,
    set_defaults,
    UsageError,
)
from moss_perception.cli.topic_options import (
    add_camera_options,
    add_topic_options,
    add_topics_by_recording,
    CAMERA_OPTIONS,
    TOPICS,
)
from moss_perception.core.parallel import PROCESSES
from moss_perception.data.remote import DEFAULT_SIZE
from moss_perception.runtime.engine import ENGINES

REPLAY, RECORDED, RECORDS, MERGE, SCENES, FRESH = (
    'recordings', '--scores recorded', '--records', '--merge', '--scenes', '--fresh')
_REPORT = ('report', 'require', 'reference', 'threshold', 'success_definition')
_BAGS = (*_REPORT, *TOPICS, *CAMERA_OPTIONS, 'topics', 'bags', 'domain', 'outcomes', 'record',
         'scores', 'model', 'sha256', 'check')
_FLEET = ('store', 'shard', 'executor', 'cache_size')
_SCENES = ('model', 'sha256', 'engine', 'threads', 'baseline', 'require', 'out')
_ALLOWED = {
    REPLAY: (*_BAGS, 'engine', 'threads', 'workers', 'lead_time', *_FLEET),
    RECORDED: (*_BAGS, 'scores_topic', 'verify', 'conditions'),
    RECORDS: (*_REPORT, 'records', 'latencies'),
    MERGE: (*_REPORT, 'merge', 'all_runs', 'model', 'sha256', 'record'),
    SCENES: (*_SCENES, 'scenes'),
    FRESH: (*_SCENES, 'fresh', 'cell', 'domain', 'split', 'motion', 'seed', 'workers',
            'executor'),
}
"""Options allowed for each kind of input, by the names under which argparse stores them."""

_DEFAULTS: dict[str, Any] = {
    'scores': 'replay', 'engine': ENGINES[0], 'threads': 0, 'workers': 0, 'sha256': '',
    'cell': 'full', 'split': '', 'motion': '', 'seed': 5_000_000,
    'executor': PROCESSES, 'cache_size': DEFAULT_SIZE}


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss evaluate``."""
    parser.set_defaults(handler=evaluate)
    parser.description = (parser.description or '') + (
        ' The inputs are recordings (rosbag2) with outcomes, or scenes from moss record that the '
        'checkpoint was not trained on.')
    _add_bags(parser.add_argument_group('recordings'))
    _add_fleet(parser.add_argument_group(
        'a fleet of recordings', 'such as moss evaluate --store out/store bags/*/ --shard 1/4 on '
        'each of four machines, then moss evaluate --merge out/store --report out/fleet'))
    _add_scenes(parser.add_argument_group('scenes'))
    both = parser.add_argument_group('recordings and scenes')
    both.add_argument('--model', nargs='+', action='extend', default=[], metavar='FILE',
                      help='checkpoint (default: the shipped one); recordings can be evaluated '
                           'with several, of which the first is the main one')
    add_sha256(both, default=None)
    both.add_argument('--engine', choices=ENGINES,
                      help=f'library that runs the network (default: {ENGINES[0]}); with scenes, '
                           'torch also compares streaming with whole clips')
    both.add_argument('--threads', type=int, metavar='N',
                      help='number of threads (default: the engine chooses, or one per worker '
                           'with several workers)')
    both.add_argument('--workers', type=int, metavar='N',
                      help='processes that evaluate the recordings or generate the scenes '
                           '(default: 1, or one per core with --fresh)')
    both.add_argument('--require', nargs='+', action='extend', default=[], metavar='EXPRESSION',
                      help="requirement, such as 'auroc>=0.8' or 'executed_share@real>=0.95'; the "
                           'exit status is 3 if it is not met')
    both.add_argument('--domain', action='append', default=[], metavar='NAME[=BAG]',
                      help='NAME=BAG: a recording and its domain; NAME: domain of the scenes of '
                           '--fresh, as for moss record')


def _add_bags(group) -> None:
    group.add_argument('bags', nargs='*', metavar='BAG',
                       help='rosbag2 folder, .mcap or .db3 file; DOMAIN:BAG sets its domain')
    group.add_argument('--scores', choices=('replay', 'recorded'),
                       help='replay: score the recorded images; recorded: evaluate the scores of '
                            'grasp_predictor in the recording (default: replay)')
    group.add_argument('--scores-topic', metavar='TOPIC',
                       help='topic of the recorded scores (default: the only one with a name that '
                            'ends in /grasp_scores)')
    group.add_argument('--verify', action='store_true',
                       help='with recorded scores: score the images that the predictor received '
                            'again, and compare the scores')
    group.add_argument('--outcomes', action='append', default=[], metavar='FILE',
                       help='table of the attempts, CSV or XLSX, see moss label (default: the '
                            'outcomes in the recording); give one file for all recordings, or one '
                            "for each in order, where '' stands for those in the recording")
    add_topic_options(group)
    add_topics_by_recording(group)
    add_camera_options(group)
    group.add_argument('--lead-time', type=float, metavar='S',
                       help='time from the newest image until the fingers close, in seconds, of '
                            'candidates without a recorded one; needs a checkpoint with time '
                            "inputs (default: the checkpoint's)")
    group.add_argument('--report', metavar='DIR',
                       help='write report.html, report.json and attempts.csv to this folder')
    group.add_argument('--record', metavar='FILE',
                       help='save the results of one checkpoint, for a later report with '
                            '--records')
    group.add_argument('--records', nargs='+', action='extend', default=[], metavar='FILE',
                       help='report results saved with --record, of one or several checkpoints, '
                            'instead of evaluating recordings')
    group.add_argument('--conditions', metavar='JSON',
                       help='with recorded scores: object that --record saves with the results, '
                            'such as the latency of the run')
    group.add_argument('--latencies', metavar='FILE',
                       help='with the records of moss run eval latencies:=…: write the success by '
                            'latency, and what knowing it is worth, as JSON')
    group.add_argument('--reference', metavar='DOMAIN',
                       help='domain to compare the others with (default: sim)')
    group.add_argument('--threshold', metavar='SCORE',
                       help='lowest score of an accepted grasp, in [0, 1] (default: 0.5)')
    group.add_argument('--success-definition', metavar='TEXT',
                       help='definition of a success in one sentence, for the report')
    group.add_argument('--check', action='store_true',
                       help='only check that the recordings can be evaluated')


def _add_fleet(group) -> None:
    group.add_argument('--store', metavar='DIR',
                       help='keep a record of each recording and checkpoint in this folder, and '
                            'do not evaluate again what has one')
    group.add_argument('--shard', metavar='K/N',
                       help='with --store: evaluate only the K-th of N shares of the recordings')
    group.add_argument('--merge', nargs='+', action='extend', default=[], metavar='DIR',
                       help='report the newest run of each checkpoint in these stores, from all '
                            'its shards, instead of evaluating recordings; --model chooses and '
                            'orders the checkpoints')
    group.add_argument('--all-runs', action='store_true',
                       help='with --merge: report all runs of each checkpoint together, such as '
                            'one of each month; a recording counts as its newest run has it')
    add_executor(group)
    group.add_argument('--cache-size', metavar='SIZE',
                       help='room for copies of recordings at addresses such as s3://bucket/bag '
                            f'(default: {DEFAULT_SIZE})')


def _add_scenes(group) -> None:
    source = group.add_mutually_exclusive_group()
    source.add_argument('--scenes', metavar='DIR',
                        help='folder of scenes, written by moss record --out, with seeds that '
                             'training did not use')
    source.add_argument('--fresh', type=int, metavar='N',
                        help='generate N new scenes for this evaluation, such as moss evaluate '
                             '--fresh 200 --domain shifted --seed 6000000')
    group.add_argument('--seed', type=int, metavar='N',
                       help='with --fresh: seed of the first scene; training must not have used '
                            f'any of the N that follow (default: {_DEFAULTS["seed"]})')
    group.add_argument('--cell', metavar='NAME',
                       help='with --fresh: cell of the scenes: belt, full, or the path of a cell '
                            f'file (default: {_DEFAULTS["cell"]})')
    group.add_argument('--split', metavar='NAME',
                       help='with --fresh: held_out: only the objects that are never used in '
                            'training (default: only the training objects)')
    group.add_argument('--motion', metavar='NAME',
                       help='with --fresh: only this kind of motion (default: all kinds)')
    group.add_argument('--out', metavar='FILE', help='also write the JSON to this file')
    group.add_argument('--baseline', action='store_true',
                       help='also measure a baseline that uses the candidates without images')


def check(arguments: argparse.Namespace) -> None:
    """
    Check that the options fit the kind of input, and set the defaults.

    :raises UsageError: if an option is not allowed for this kind of input.
    """
    given = given_options(arguments, set().union(*_ALLOWED.values()))
    arguments.named_bags = [x for x in arguments.domain if '=' in x]
    of_bags = bool(arguments.bags or arguments.named_bags)
    kinds = [kind for kind, meant in (
        (RECORDED if arguments.scores == 'recorded' else REPLAY, of_bags),
        (RECORDS, 'records' in given), (MERGE, 'merge' in given), (SCENES, 'scenes' in given),
        (FRESH, 'fresh' in given),
    ) if meant]
    if len(kinds) != 1:
        raise UsageError('expected recordings, or --records, or --merge, or --scenes, or --fresh')
    kind, = kinds
    refuse_others(given, _ALLOWED[kind], kind)
    if 'shard' in given:
        _check_shard(given)
    if kind in (SCENES, FRESH) and max(len(arguments.model), len(arguments.domain)) > 1:
        raise UsageError('scenes take one --model and one --domain')
    if of_bags and len(arguments.domain) > len(arguments.named_bags):
        raise UsageError('--domain: expected NAME=BAG for a recording')
    set_defaults(arguments, _DEFAULTS)


def _check_shard(given: set[str]) -> None:
    if 'store' not in given:
        raise UsageError('--shard: expected --store, too')
    if wrong := sorted(given & {'report', 'require', 'record'}):
        raise UsageError(f'--{wrong[0]}: not allowed with --shard: expected it with --merge, '
                         'which reports all shards')


def evaluate(arguments: argparse.Namespace) -> int:
    """
    Evaluate recordings, records or scenes, depending on the arguments.

    :raises MossError: if the arguments contradict one another, or a file can't be read or written.
    """
    check(arguments)
    if arguments.records:
        from moss_perception.cli.evaluate_results import evaluate_records
        return evaluate_records(arguments)
    if arguments.merge:
        from moss_perception.cli.evaluate_results import evaluate_merged
        return evaluate_merged(arguments)
    if arguments.bags or arguments.named_bags:
        from moss_perception.cli.evaluate_recordings import evaluate_recordings
        return evaluate_recordings(arguments)
    from moss_perception.cli.evaluate_scenes import evaluate_scenes
    return evaluate_scenes(arguments)
