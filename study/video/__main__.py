"""Compare variants on a folder of clips: ``python -m study.video``."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
import json
import logging
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.common import (
    read_text,
    run_command,
    set_up_logging,
    status_line,
    write_text,
)
from moss_perception.training.pace import Pace

from study.kept import digest_of, file_digest
from study.video.clips import Clip, load_clips, read_table
from study.video.fitting import Budget
from study.video.models import common_size
from study.video.options import add_budget, budget_of, conditions, report
from study.video.pace import by_variant, tell
from study.video.results import BLIND, FORMAT, summarise, tables
from study.video.tasks import (
    asked,
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
    parser.add_argument('--tasks', nargs='+', choices=list(TASKS), default=list(TASKS),
                        metavar='TASK', help=f'of {", ".join(TASKS)} (default: all)')
    parser.add_argument('--folds', type=int, default=5, metavar='N',
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
    tasks = [asked(name, clips) for name in arguments.tasks]
    log.info('%d clips of %d groups; %d left out', len(clips),
             len({clip.group for clip in clips}), sum(map(len, skipped.values())))
    result = {
        'format': FORMAT, 'clips': len(clips), 'groups': len({clip.group for clip in clips}),
        'left_out': {why: len(names) for why, names in sorted(skipped.items())},
        'folds': arguments.folds, **conditions(arguments.clips, arguments.device)}
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
    """Answer all tasks by all variants and folds; yield the summaries by task of each seed."""
    folds = folds_of(clips, arguments.folds)
    # Whose answers can be used again: those to the very same questions.
    data = [[(clip.name, clip.group, clip.verb, clip.digest) for clip in clips],
            arguments.folds, budget, file_digest(arguments.initial)]
    kept = arguments.out / 'answers' / digest_of([repr(data).encode()])

    def path_of(task: str, variant: str, seed: int, fold: int) -> Path:
        return kept / f'{task}_{variant}_seed_{seed}_fold_{fold}.json'

    pace = Pace(sum(not path_of(*one).exists() for one in product(
        arguments.tasks, arguments.variants, range(arguments.seeds), range(len(folds)))))
    shares = {task.name: [questions(task, fold) for fold in folds] for task in tasks}
    answers: dict[str, dict[str, list[list[int]]]] = {task.name: {BLIND: [[
        most_frequent(task, known) for known, test in shares[task.name] for _ in test]]}
        for task in tasks}
    for seed in range(arguments.seeds):
        for task, variant in ((task, one) for task in tasks for one in arguments.variants):
            mine: list[int] = []
            for number, (known, test) in enumerate(shares[task.name]):
                path = path_of(task.name, variant, seed, number)
                if not path.exists():
                    model = train(variant, task, clips, known, seed, budget, arguments.initial,
                                  path.with_suffix('.safetensors'))
                    write_text(path, json.dumps(ask(model, clips, test, budget)))
                    pace.count(1)
                    log.info('%s, %s, seed %d, fold %d; %s', task.name, variant, seed, number,
                             pace.left() or 'that was the last')
                mine += json.loads(read_text(path))
            answers[task.name].setdefault(variant, []).append(mine)
        yield {task.name: _summary(task, answers[task.name], shares[task.name], clips)
               for task in tasks}


def _summary(task: Task, answers: dict[str, list[list[int]]],
             shares: Sequence[tuple[Sequence[Item], Sequence[Item]]],
             clips: Sequence[Clip]) -> dict[str, Any]:
    items = [item for _, test in shares for item in test]
    found = summarise(answers, [item.label for item in items],
                      [clips[item.clip].group for item in items], task.classes)
    return found | {'too_short': sum(not long_enough(clip, task.name) for clip in clips)}


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(compare, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
