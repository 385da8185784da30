"""Compare variants on a folder of clips: ``python -m study.video``."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
import logging
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.common import run_command, set_up_logging, status_line
from moss_perception.core.errors import ConfigError
from moss_perception.training.pace import Pace

from study.video.answers import KeptAnswers
from study.video.clips import Clip, load_clips, read_table
from study.video.fitting import Budget
from study.video.goals import GOAL_VARIANT
from study.video.models import common_size
from study.video.options import add_budget, budget_of, conditions, refuse_seen, report
from study.video.pace import by_variant, tell
from study.video.results import BLIND, FORMAT, summarise, tables
from study.video.tasks import (
    asked,
    CLAIMED,
    folds_of,
    frames_needed,
    Item,
    long_enough,
    questions_a_clip,
    Task,
    TASKS,
)
from study.video.training import ask, most_frequent, questions, train

log = logging.getLogger('video')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.video',
        description='Train variants of the study to tell the arrow of time, the speed of playback '
                    'and the verb of real clips, and compare them by grouped cross-validation on '
                    'an equal budget. What is trained is not trained again: start the same '
                    'command to continue.',
        epilog='Example: python -m study.video my_clips/ --table my_clips/clips.tsv --out '
               'runs/video. ' + status_line())
    parser.add_argument('folder', type=Path, metavar='FOLDER', help='folder of the clips')
    parser.add_argument('--table', type=Path, required=True, metavar='FILE',
                        help='table with a row for each clip: columns clip and group, for verb '
                             'also verb; a column split is checked for groups on both sides')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of small frames, answers and results.json')
    parser.add_argument('--tasks', nargs='+', choices=list(TASKS), default=list(CLAIMED),
                        metavar='TASK', help=f'of {", ".join(TASKS)} (default: %(default)s)')
    parser.add_argument('--folds', type=int, default=3, metavar='N',
                        help='number of parts of the groups, each tested once '
                             '(default: %(default)s)')
    add_budget(parser, seeds=5)
    return parser


def compare(arguments: argparse.Namespace) -> int:
    """
    Train what is not trained yet, and write and print the comparison.

    :raises ConfigError: if an option, the table or the clips can't be used.
    """
    budget = budget_of(arguments)
    size = common_size(arguments.variants)
    if arguments.estimate:
        tell(log, estimate(arguments, len(read_table(arguments.table))), arguments.device)
        return 0
    # The same clips, and so the same folds, whatever is asked about them.
    clips, skipped = load_clips(arguments.folder, read_table(arguments.table),
                                arguments.out / 'frames', size, lambda rate_hz: min(
                                    frames_needed(task, rate_hz) for task in TASKS))
    refuse_seen(arguments, clips)
    tasks = [asked(name, clips) for name in arguments.tasks]
    log.info('%d clips of %d groups; %d left out', len(clips),
             len({clip.group for clip in clips}), sum(map(len, skipped.values())))
    result = {
        'format': FORMAT, 'clips': len(clips), 'groups': len({clip.group for clip in clips}),
        'left_out': {why: len(names) for why, names in sorted(skipped.items())},
        'folds': arguments.folds, 'goal_variant': GOAL_VARIANT,
        **conditions(budget, arguments.initial)}
    report(arguments.out, result,
           ({'tasks': found} for found in run(arguments, budget, clips, tasks)), tables)
    return 0


def estimate(arguments: argparse.Namespace, clips: int) -> dict[str, float]:
    """
    Estimate how long each variant takes, seconds.

    :param clips: number of rows of the table.
    """
    trainings = len(arguments.tasks) * arguments.folds
    asked_once = clips * sum(map(questions_a_clip, arguments.tasks))
    return by_variant(arguments.variants, arguments.seeds * trainings * arguments.clips,
                      arguments.seeds * asked_once, arguments.device)


def run(arguments: argparse.Namespace, budget: Budget, clips: Sequence[Clip],
        tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
    """
    Train what is missing, one seed of all variants after the other, unless it is only collected.

    After each seed, yield the summaries by task of all answers that are kept.

    :raises ConfigError: if nothing is kept that could be collected.
    """
    folds = folds_of(clips, arguments.folds)
    shares = {task.name: [questions(task, fold) for fold in folds] for task in tasks}
    kept = KeptAnswers(arguments.out / 'answers', clips, tasks, len(folds), budget,
                       arguments.initial)

    def summaries() -> dict[str, Any]:
        return {task.name: _summary(task, kept, shares[task.name], clips) for task in tasks}

    if arguments.collect:
        if not any(kept.whole(task.name) for task in tasks):
            raise ConfigError(f'{arguments.out} keeps no answers to these questions, of this '
                              'budget and start: expected the options of the trainings')
        yield summaries()
        return

    variants: Sequence[str] = arguments.variants

    def missing(seed: int) -> Iterator[tuple[Task, str, int]]:
        for task, variant, fold in product(tasks, variants, range(len(folds))):
            if not kept.path(task.name, variant, seed, fold).exists():
                yield task, variant, fold

    pace = Pace(sum(len(list(missing(seed))) for seed in range(arguments.seeds)))
    for seed in range(arguments.seeds):
        for task, variant, fold in missing(seed):
            known, test = shares[task.name][fold]
            path = kept.path(task.name, variant, seed, fold)
            model = train(variant, task, clips, known, seed, budget, arguments.initial,
                          path.with_suffix('.safetensors'))
            kept.write(task.name, variant, seed, fold, ask(model, clips, test, budget))
            pace.count(1)
            log.info('%s, %s, seed %d, fold %d; %s', task.name, variant, seed, fold,
                     pace.left() or 'that was the last')
        yield summaries()


def _summary(task: Task, kept: KeptAnswers,
             shares: Sequence[tuple[Sequence[Item], Sequence[Item]]],
             clips: Sequence[Clip]) -> dict[str, Any]:
    items = [item for _, test in shares for item in test]
    blind = [most_frequent(task, known) for known, test in shares for _ in test]
    found = summarise({BLIND: {0: blind}, **kept.whole(task.name)},
                      [item.label for item in items], [clips[item.clip].group for item in items],
                      task.classes)
    return found | {'too_short': sum(not long_enough(clip, task.name) for clip in clips)}


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(compare, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
