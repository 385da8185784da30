"""``moss evaluate``: measure a checkpoint on recordings, or on scenes that it never saw."""

import argparse
from typing import Any

from moss_perception.cli.common import UsageError
from moss_perception.cli.recording_topics import add_topics, TOPICS
from moss_perception.runtime.engine import ENGINES

REPLAY, RECORDED, RECORDS, SCENES, FRESH = (
    'recordings', '--scores recorded', '--records', '--scenes', '--fresh')
_REPORT = ('report', 'require', 'reference', 'threshold', 'success_definition')
_BAGS = (*_REPORT, *TOPICS, 'bags', 'domain', 'outcomes', 'record', 'scores', 'model', 'sha256',
         'check')
_SCENES = ('model', 'sha256', 'engine', 'threads', 'baseline', 'require_auroc', 'out')
_ALLOWED = {
    REPLAY: (*_BAGS, 'engine', 'threads', 'workers'),
    RECORDED: (*_BAGS, 'scores_topic', 'verify'),
    RECORDS: (*_REPORT, 'records'),
    SCENES: (*_SCENES, 'scenes'),
    FRESH: (*_SCENES, 'fresh', 'cell', 'domain', 'split', 'motion', 'seed', 'workers'),
}
"""Which options go with what is evaluated; argparse keeps values under these names."""

# None and an empty list mean that an option was not given: every other value counts.
_DEFAULTS: dict[str, Any] = {
    'scores': 'replay', 'engine': ENGINES[0], 'threads': 0, 'workers': 0, 'sha256': '',
    'cell': 'full', 'split': '', 'motion': '', 'seed': 5_000_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description += (
        ' Recordings (rosbag2) hold the outcomes; or the scenes of moss record, which the '
        'checkpoint never saw.')
    _add_bags(parser.add_argument_group('recordings'))
    _add_scenes(parser.add_argument_group('scenes'))
    both = parser.add_argument_group('both')
    both.add_argument('--model', nargs='+', action='extend', default=[], metavar='FILE',
                      help='checkpoints (recordings: several, the first is the main one); the '
                           'shipped one without')
    both.add_argument('--sha256', help='its digest; without, SHA256SUMS beside it has it')
    both.add_argument('--engine', choices=ENGINES,
                      help=f'what runs the network (default: {ENGINES[0]}); on scenes, torch also '
                           'compares the stream with the clip')
    both.add_argument('--threads', type=int,
                      help='0 leaves it to the engine, with several workers it is one each')
    both.add_argument('--workers', type=int, metavar='N',
                      help='processes that share the recordings, or make the scenes (1, and '
                           'one a core for --fresh)')
    both.add_argument('--domain', action='append', default=[], metavar='NAME[=BAG]',
                      help='a recording of this domain; of scenes, as for record')


def _add_bags(group) -> None:
    group.add_argument('bags', nargs='*', metavar='BAG',
                       help='folder of a rosbag2, .mcap or .db3 file; DOMAIN:BAG names its domain')
    group.add_argument('--scores', choices=('replay', 'recorded'),
                       help='replay: score the images anew (default); recorded: evaluate the '
                            'scores that grasp_predictor published and the recording holds')
    group.add_argument('--scores-topic', metavar='TOPIC',
                       help='of recorded scores; without: the only /…/grasp_scores')
    group.add_argument('--verify', action='store_true',
                       help='recorded scores: score exactly the images that the predictor '
                            'received once more, and compare')
    group.add_argument('--outcomes', action='append', default=[], metavar='FILE.csv',
                       help='start, end and success of the attempts, where the recording does not '
                            'hold them; one for all recordings, or one each in their order, '
                            "'' for a recording's own")
    add_topics(group)
    group.add_argument('--report', metavar='DIR',
                       help='write report.html, report.json and attempts.csv there')
    group.add_argument('--record', metavar='FILE',
                       help='keep what was found, to be reported later with --records')
    group.add_argument('--records', nargs='+', action='extend', default=[], metavar='FILE',
                       help='report what was found before and kept with --record, of one '
                            'checkpoint or of several; no recordings')
    group.add_argument('--require', nargs='+', action='extend', default=[], metavar='EXPRESSION',
                       help="such as 'auroc>=0.8': exit status 3 unless it holds")
    group.add_argument('--reference', metavar='DOMAIN',
                       help='the domain that others are compared with (sim)')
    group.add_argument('--threshold', metavar='SCORE',
                       help='scores from here on accept a grasp, in [0, 1] (0.5)')
    group.add_argument('--success-definition', metavar='TEXT',
                       help='what counts as a success, in a sentence, for the report')
    group.add_argument('--check', action='store_true',
                       help='only check that all of this can be evaluated')


def _add_scenes(group) -> None:
    source = group.add_mutually_exclusive_group()
    source.add_argument('--scenes', metavar='DIR',
                        help='folder of scenes, made by record with seeds of their own')
    source.add_argument('--fresh', type=int, metavar='N',
                        help='make so many scenes now, and leave none behind; --cell, --domain, '
                             '--split, --motion, --seed and --workers say which, as for record')
    for name in ('cell', 'split', 'motion'):
        group.add_argument(f'--{name}', help=argparse.SUPPRESS)
    group.add_argument('--seed', type=int, help=argparse.SUPPRESS)
    group.add_argument('--out', help='write the JSON there as well')
    group.add_argument('--baseline', action='store_true',
                       help='also measure a baseline that sees the candidates without images')
    group.add_argument('--require-auroc', type=float, metavar='X',
                       help='fail unless the lower end of the 95 %% interval is above X')


def check(arguments: argparse.Namespace) -> None:
    """
    Refuse options that do not go together, and give the others their defaults.

    :raises UsageError: if an option does not go with what is evaluated.
    """
    given = {name for name in set().union(*_ALLOWED.values())
             if (value := getattr(arguments, name)) is not None
             and value is not False and value != []}
    arguments.named_bags = [x for x in arguments.domain if '=' in x]
    of_bags = bool(arguments.bags or arguments.named_bags)
    kinds = [kind for kind, meant in (
        (RECORDED if arguments.scores == 'recorded' else REPLAY, of_bags),
        (RECORDS, 'records' in given), (SCENES, 'scenes' in given), (FRESH, 'fresh' in given),
    ) if meant]
    if len(kinds) != 1:
        raise UsageError('expected recordings, or --records, or --scenes, or --fresh')
    kind, = kinds
    if wrong := sorted(given - set(_ALLOWED[kind])):
        named = ', '.join(f'--{name.replace("_", "-")}' for name in wrong)
        raise UsageError(f'{named}: not for {kind}')
    if kind in (SCENES, FRESH) and max(len(arguments.model), len(arguments.domain)) > 1:
        raise UsageError('scenes take one --model and one --domain')
    if of_bags and len(arguments.domain) > len(arguments.named_bags):
        raise UsageError('--domain: expected NAME=BAG for a recording')
    for name, value in _DEFAULTS.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)


def run(arguments: argparse.Namespace) -> int:
    """
    Evaluate what the arguments name: recordings, records or scenes.

    :raises MossError: if arguments do not go together, or something can't be read or written.
    """
    check(arguments)
    if arguments.records:
        from moss_perception.cli.evaluate_records import evaluate_records
        return evaluate_records(arguments)
    if arguments.bags or arguments.named_bags:
        from moss_perception.cli.evaluate_bags import evaluate_bags
        return evaluate_bags(arguments)
    from moss_perception.cli.evaluate_scenes import evaluate_scenes
    return evaluate_scenes(arguments)
