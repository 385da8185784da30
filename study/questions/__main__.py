"""Ask variants in words about the motion in scenes: ``python -m study.questions``."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
import logging
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.common import run_command, set_up_logging, status_line
from moss_perception.core.errors import ConfigError
from moss_perception.training.pace import Pace

from study.kept import digest_of
from study.questions.asking import balanced, Draw, Footage, Item, items_of
from study.questions.kept import Answers, KeptNetworks
from study.questions.model import TEXT_ONLY
from study.questions.real import load_real, real_items
from study.questions.results import FORMAT, summarise_set, tables
from study.questions.scenes import load, refuse_leaks, SceneSet
from study.questions.training import ask, train
from study.questions.wording import KINDS
from study.video.clips import read_table
from study.video.fitting import Budget
from study.video.goals import GOAL_VARIANT
from study.video.models import common_size
from study.video.options import add_budget, budget_of, conditions, refuse_seen, report
from study.video.pace import by_variant, tell

log = logging.getLogger('questions')


@dataclass(frozen=True)
class Test:
    """The questions of a test, and what they are about."""

    items: Sequence[Item]
    footage: Sequence[Footage]
    about: dict[str, Any]


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.questions',
        description='Train variants of the study to answer questions in words about the motion '
                    'in simulated scenes, and compare them on other scenes, with phrasings that '
                    'no training had. What is trained is not trained again: start the same '
                    'command to continue.',
        epilog='Example: python -m study.questions --scenes runs/data/train_sim --test '
               'runs/data/test runs/data/held_out --out runs/questions. ' + status_line())
    parser.add_argument('--scenes', nargs='+', type=Path, required=True, metavar='DIR',
                        help='training: folders of moss record --cell full')
    parser.add_argument('--test', nargs='+', type=Path, required=True, metavar='DIR',
                        help='test sets, each called by the name of its folder')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of networks, answers and results.json')
    parser.add_argument('--video', type=Path, metavar='FOLDER',
                        help='ask about the direction and speed of these real clips too')
    parser.add_argument('--table', type=Path, metavar='FILE',
                        help='of --video, as for python -m study.video')
    parser.add_argument('--limit', type=int, metavar='N',
                        help='highest number of scenes of each folder (default: all)')
    parser.add_argument('--questions', type=int, default=200, metavar='N',
                        help='highest number of each kind and test set (default: %(default)s)')
    add_budget(parser, seeds=3, more=['last_frame'])
    return parser


def compare(arguments: argparse.Namespace) -> int:
    """
    Train what is not trained yet, and write and print the comparison.

    :raises ConfigError: if an option, the scenes or the clips can't be used.
    """
    budget = budget_of(arguments)
    size = common_size(arguments.variants)
    _check(arguments)
    if arguments.estimate:
        tell(log, estimate(arguments), arguments.device)
        return 0
    known = load(arguments.scenes, arguments.limit)
    tests = {path.name: _test(path, known, arguments) for path in arguments.test}
    if arguments.video:
        clips, left_out = load_real(arguments.video, arguments.table, arguments.out / 'frames',
                                    size)
        refuse_seen(arguments, [one.clip for one in clips])
        tests['video'] = Test(real_items(clips), clips,
                              {'scenes': len(clips), 'left_out': left_out})
    result = {
        'format': FORMAT, 'goal_variant': GOAL_VARIANT,
        **conditions(budget, arguments.initial),
        'training': {**_described(known), 'folders': [path.name for path in arguments.scenes]}}
    report(arguments.out, result, (
        {'sets': {name: {**test.about, 'questions': len(test.items),
                         **summarise_set(test.items, test.footage, answers[name])}
                  for name, test in tests.items()}}
        for answers in run(arguments, budget, size, known, tests)), tables)
    return 0


def estimate(arguments: argparse.Namespace) -> dict[str, float]:
    """Estimate how long each variant takes, seconds; the text encoder takes next to nothing."""
    asked = len(arguments.test) * len(KINDS) * arguments.questions
    if arguments.video:
        asked += 4 * len(read_table(arguments.table))
    return by_variant(arguments.variants, arguments.seeds * arguments.clips,
                      arguments.seeds * asked, arguments.device)


def _check(arguments: argparse.Namespace) -> None:
    for name, least in (('limit', 2), ('questions', 3)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ConfigError(f'--{name} {value} is not allowed: expected {least} or more')
    if (arguments.video is None) != (arguments.table is None):
        raise ConfigError('--video and --table belong together: expected both or neither')
    names = [path.name for path in arguments.test]
    if len({*names, 'video'}) <= len(names):
        raise ConfigError(f'--test has folders of the names {names}: expected different ones, and '
                          "none called 'video'")


def _test(path: Path, known: SceneSet, arguments: argparse.Namespace) -> Test:
    found = load([path], arguments.limit)
    refuse_leaks(known, found, str(path))
    items = balanced(items_of(found.scenes), lambda item: found.scenes[item.parts[0][0]].group,
                     arguments.questions)
    missing = sorted(set(KINDS) - {item.kind for item in items})
    if missing:
        log.warning('%s has no scenes for both answers to: %s', path, ', '.join(missing))
    if not items:
        raise ConfigError(f'{path} has no scenes for both answers to any question')
    return Test(items, found.scenes, _described(found))


def _described(found: SceneSet) -> dict[str, Any]:
    return {'scenes': len(found.scenes), 'families': sorted(found.families),
            'left_out': dict(sorted(found.left_out.items()))}


def run(arguments: argparse.Namespace, budget: Budget, size: int, known: SceneSet,
        tests: dict[str, Test]) -> Iterator[dict[str, Answers]]:
    """
    Train and ask what is missing, one seed of all variants after the other.

    After each seed that brought an answer, and after the last, yield all answers that are kept, by
    set and variant. With ``--collect`` nothing is trained.

    :raises ConfigError: if nothing is kept that could be collected.
    """
    draw = Draw(items_of(known.scenes))
    kept = KeptNetworks(
        arguments.out / 'trained', _key([draw.items, KINDS, budget], known.scenes),
        {name: _key(test.items, test.footage) for name, test in tests.items()},
        arguments.initial)
    if arguments.collect:
        found = kept.whole()
        if not found:
            raise ConfigError(f'{arguments.out} keeps no answers to these questions, of this '
                              'budget and start: expected the options of the trainings')
        yield found
        return
    variants = list(dict.fromkeys([*arguments.variants, TEXT_ONLY]))
    pace = Pace(sum(not kept.network(variant, seed).exists()
                    for variant in arguments.variants for seed in range(arguments.seeds)))
    new = False
    for seed, variant in product(range(arguments.seeds), variants):
        path = kept.network(variant, seed)
        if not kept.complete(variant, seed):
            new = True
            there = path.exists()
            model = train(variant, known.scenes, draw, size, seed, budget, arguments.initial,
                          path)
            for name, test in tests.items():
                kept.write(variant, seed, name, ask(model, test.items, test.footage, size,
                                                    budget))
            if variant != TEXT_ONLY and not there:
                pace.count(1)
            log.info('%s, seed %d; %s', variant, seed, pace.left() or 'that was the last')
        if variant == variants[-1] and (new or seed == arguments.seeds - 1):
            yield kept.whole()
            new = False


def _key(what: Any, footage: Sequence[Footage]) -> str:
    """Tell whether what is kept answers the same questions about the same footage."""
    return digest_of([repr([what, [one.digest for one in footage]]).encode()])


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(compare, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
