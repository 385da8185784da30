"""``moss evaluate``: measure a checkpoint on recordings, or on scenes that it never saw."""

import argparse

from moss_perception.cli.common import UsageError
from moss_perception.cli.recording_topics import add_topics, TOPICS
from moss_perception.runtime.engine import ENGINES

# What only the one or the other is asked; argparse keeps values under these names.
_OF_BAGS = ('outcomes', *TOPICS, 'report', 'record', 'require', 'reference', 'threshold',
            'success_definition')
_OF_RECORDS = ('report', 'require', 'reference', 'threshold', 'success_definition')
_OF_SCENES = ('yardstick', 'require_auroc', 'out')


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
    both.add_argument('--sha256', default='', help='its digest; empty to read SHA256SUMS')
    both.add_argument('--engine', choices=ENGINES, default=ENGINES[0],
                      help='what runs the network (default: %(default)s); on scenes, torch also '
                           'compares the stream with the clip')
    both.add_argument('--threads', type=int, default=0,
                      help='0 leaves it to the engine, with several workers it is one each')
    both.add_argument('--workers', type=int, default=0, metavar='N',
                      help='processes that share the recordings, or make the scenes (1, and '
                           'one a core for --fresh)')
    both.add_argument('--domain', action='append', default=[], metavar='NAME[=BAG]',
                      help='a recording of this domain; of scenes, as for record')


def _add_bags(group) -> None:
    group.add_argument('bags', nargs='*', metavar='BAG',
                       help='folder of a rosbag2, .mcap or .db3 file; DOMAIN:BAG names its domain')
    group.add_argument('--outcomes', action='append', default=[], metavar='FILE.csv',
                       help='start, end and success of the attempts, where the recording does not '
                            'hold them; one for all recordings, or one each in their order, '
                            "'' for a recording's own")
    add_topics(group)
    group.add_argument('--report', metavar='DIR',
                       help='write report.html, report.json and attempts.csv there')
    group.add_argument('--record', metavar='FILE',
                       help='keep what was found, for bag_evaluator to report with its own')
    group.add_argument('--records', nargs='+', action='extend', default=[], metavar='FILE',
                       help='report what was found before, and kept with --record or by '
                            'bag_evaluator, of one checkpoint or of several; no recordings')
    group.add_argument('--require', nargs='+', action='extend', default=[], metavar='EXPRESSION',
                       help="such as 'auroc>=0.8': exit status 3 unless it holds")
    group.add_argument('--reference', metavar='DOMAIN',
                       help='the domain that others are compared with (sim)')
    group.add_argument('--threshold', metavar='SCORE',
                       help='scores from here on let a grasp pass, in [0, 1] (0.5)')
    group.add_argument('--success-definition', metavar='TEXT',
                       help='what counts as a success, in a sentence, for the report')


def _add_scenes(group) -> None:
    source = group.add_mutually_exclusive_group()
    source.add_argument('--scenes', metavar='DIR',
                        help='folder of scenes, made by record with seeds of their own')
    source.add_argument('--fresh', type=int, metavar='N',
                        help='make so many scenes now, and leave none behind; --cell, --domain, '
                             '--split, --motion, --seed and --workers say which, as for record')
    for name, default in (('cell', 'full'), ('split', ''), ('motion', '')):
        group.add_argument(f'--{name}', default=default, help=argparse.SUPPRESS)
    group.add_argument('--seed', type=int, default=5_000_000, help=argparse.SUPPRESS)
    group.add_argument('--out', help='write the JSON there as well')
    group.add_argument('--yardstick', action='store_true',
                       help='also measure what the candidates tell without any image')
    group.add_argument('--require-auroc', type=float, metavar='X',
                       help='fail unless the lower end of the 95 %% interval is above X')


def check(arguments: argparse.Namespace) -> None:
    """
    Refuse arguments that do not go together.

    :raises UsageError: if they don't.
    """
    of_scenes = arguments.scenes is not None or arguments.fresh is not None
    arguments.named_bags = [x for x in arguments.domain if '=' in x]
    of_bags = bool(arguments.bags or arguments.named_bags)
    if of_scenes + of_bags + bool(arguments.records) != 1:
        raise UsageError('expected recordings, or --records, or --scenes, or --fresh')
    if arguments.records:
        _refuse_beside_records(arguments)
        return
    wrong = [f'--{name.replace("_", "-")}' for name in (_OF_BAGS if of_scenes else _OF_SCENES)
             if getattr(arguments, name)]
    if wrong:
        raise UsageError(f'{", ".join(wrong)}: not for {"scenes" if of_scenes else "recordings"}')
    if of_scenes and max(len(arguments.model), len(arguments.domain)) > 1:
        raise UsageError('scenes take one --model and one --domain')
    if of_bags and len(arguments.domain) > len(arguments.named_bags):
        raise UsageError('--domain: expected NAME=BAG for a recording')


def _refuse_beside_records(arguments: argparse.Namespace) -> None:
    names = (*_OF_BAGS, *_OF_SCENES, 'model', 'sha256', 'threads', 'workers', 'domain')
    wrong = [f'--{name.replace("_", "-")}' for name in names
             if name not in _OF_RECORDS and getattr(arguments, name)]
    if wrong:
        raise UsageError(f'{", ".join(wrong)}: not for records, which tell what was found')


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
