"""Compare trained model variants on the same scenes: ``python -m study.compare``."""

import argparse
import json
import logging
import os
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.common import (
    cpu_name,
    read_text,
    run_command,
    set_up_logging,
    status_line,
    write_text,
)
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.evaluation.records import plain
from moss_perception.models.base import model_type
from moss_perception.models.manifest import read_header

from study.comparison import FORMAT, merge
from study.table import fill, render, tables

log = logging.getLogger('compare')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.compare',
        description='Compare trained model variants on the same scenes.', epilog=status_line())
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--runs', nargs='+', metavar='DIR',
                        help='folders to search for checkpoints of moss train --config')
    source.add_argument('--results', nargs='+', metavar='FILE',
                        help='print stored results; results of several files with the same scenes '
                             'are merged')
    parser.add_argument('--variants', nargs='+', metavar='VARIANT', default=[],
                        help='with --results: keep only these variants')
    parser.add_argument('--costs', nargs='+', metavar='DIR',
                        help='with --results: measure the cost of all variants again, in one run, '
                             'with the first checkpoint of each variant found in these folders')
    parser.add_argument('--scenes', nargs='+', default=[], metavar='NAME=DIR',
                        help='test sets that no variant was trained on; the loss of success is '
                             'measured from the first set')
    parser.add_argument('--out', metavar='FILE', help='write the results to this JSON file')
    parser.add_argument('--plots', metavar='DIR', help='write the plots to this folder, as PNG')
    parser.add_argument('--page', nargs='+', metavar='FILE', default=[],
                        help='write the tables into these Markdown pages, between '
                             '<!-- begin NAME | TABLE --> and <!-- end -->; NAME is the stem of '
                             'the results file')
    parser.add_argument('--reference', default='',
                        help='variant that is compared with all others (default: moss_123, or the '
                             'last variant)')
    parser.add_argument('--limit', type=int, metavar='N',
                        help='use at most N scenes of each set (default: all)')
    parser.add_argument('--monitored', type=int, default=300, metavar='N',
                        help='use at most N monitored grasps of each set for the early-prediction '
                             'curve; 0: draw no curve (%(default)s)')
    parser.add_argument('--device', default='cpu', help='torch device (%(default)s)')
    parser.add_argument('--threads', type=int, default=0,
                        help='number of threads; 0: torch chooses (%(default)s)')
    return parser


def compare(arguments: argparse.Namespace) -> int:
    """Measure the checkpoints or read stored results, and print the tables."""
    if arguments.results:
        stored = [_read(Path(name)) for name in arguments.results]
        whole = len(stored) == 1 and not arguments.variants
        result = stored[0] if whole else merge(stored, arguments.variants)
        if arguments.costs:
            result = result | {'costs': _measure_costs(arguments, result['costs'])}
    elif arguments.costs or arguments.variants:
        name = '--costs' if arguments.costs else '--variants'
        raise ConfigError(f'{name} needs --results: expected --results FILE')
    else:
        result = _measure_all(arguments)
    result = plain(result)
    if arguments.out:
        text = json.dumps(result, indent=1, allow_nan=False)
        write_text(Path(arguments.out), text + '\n')
    print(render(result, arguments.reference), end='')
    name = Path(arguments.out or (arguments.results or ['variants'])[0]).stem
    if arguments.plots:
        from study.plots import draw
        for path in draw(result, Path(arguments.plots), name):
            log.info('drew %s', path)
    for page in arguments.page:
        _write_page(Path(page), name, tables(result, arguments.reference))
    return 0


def _measure_costs(arguments: argparse.Namespace, stored: dict) -> dict:
    """Measure the cost of each variant with its first checkpoint."""
    from moss_perception.models.checkpoint import load_checkpoint
    import torch

    from study.cost import measure_in_turns
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    paths: dict[str, Path] = {}
    for path, notes in find_checkpoints(arguments.costs):
        paths.setdefault(notes['variant'], path)
    missing = sorted(set(stored) - set(paths))
    if missing:
        raise CheckpointError(f'no checkpoint of {missing[0]} is in {" ".join(arguments.costs)}: '
                              'expected one of each variant whose cost is stored')
    return measure_in_turns({variant: load_checkpoint(paths[variant]).to(arguments.device)
                             for variant in stored})


def _write_page(page: Path, name: str, texts: dict[str, str]) -> None:
    def block(result: str, what: str) -> str | None:
        if result != name:
            return None
        if what not in texts:
            raise ConfigError(f'{page} asks for the table {what!r}: expected one of {list(texts)}')
        return texts[what]

    write_text(page, fill(read_text(page), block))
    log.info('wrote the tables of %s into %s', name, page)


def _read(path: Path) -> dict:
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise ConfigError(f'{path} is not JSON: {error}') from error


def find_checkpoints(folders: list[str]) -> list[tuple[Path, dict]]:
    """
    Find the checkpoints of training runs.

    :returns: each file with its notes, in the order of the folders and of the paths in each.
    :raises CheckpointError: if a folder has no checkpoint, or one does not name its variant.
    """
    import study.models  # noqa: F401, registers the variants
    found = []
    for folder in folders:
        paths = sorted(path for path in Path(folder).rglob('*.safetensors')
                       if path.name != 'state.safetensors')
        if not paths:
            raise CheckpointError(f'there is no checkpoint in {folder}: expected .safetensors '
                                  'files of moss train --config')
        for path in paths:
            notes = read_header(path)[1]
            # Older checkpoints call the variant an arm.
            variant = notes.get('variant') or notes.get('arm')
            if not variant or 'recipe' not in notes:
                raise CheckpointError(f'checkpoint {path} does not name its model variant: '
                                      'expected one of moss train --config')
            found.append((path, {**notes, 'variant': variant}))
    return found


def _measure_all(arguments: argparse.Namespace) -> dict:
    from moss_perception.cli.evaluate_scenes import refuse_training_scenes
    from moss_perception.data.scenes import load_scenes
    from moss_perception.evaluation.intervals import require
    import torch

    from study.comparison import Attempts, compare_pairs, summarise
    from study.monitoring import MonitoredGrasps
    from study.scoring import Scorer
    from study.uncertainty import summarise_uncertainty
    require()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    checkpoints = find_checkpoints(arguments.runs)
    scenes = {}
    for name, folder in named_folders(arguments.scenes).items():
        scenes[name] = load_scenes(folder, arguments.limit)
        if not scenes[name]:
            raise ConfigError(f'{folder} has no scene whose candidates are all in view')
        for _, notes in checkpoints:
            refuse_training_scenes(scenes[name], notes)
    attempts = {name: Attempts.of(some) for name, some in scenes.items()}
    sets = {name: some.describe() for name, some in attempts.items()}
    monitored = {name: MonitoredGrasps(some, arguments.monitored)
                 for name, some in scenes.items()}
    scorer = Scorer({**scenes, **{(name,): some.clips for name, some in monitored.items()}},
                    arguments.device)
    runs, costs, members = _measure_runs(checkpoints, scorer, attempts, monitored)
    machine = f'{cpu_name()}, {os.cpu_count()} cores'
    return {'format': FORMAT, 'machine': machine, 'device': arguments.device, 'costs': costs,
            'sets': sets, 'variants': summarise(runs, sets), 'pairs': compare_pairs(runs, sets),
            'uncertainty': summarise_uncertainty(members, attempts), 'runs': runs}


def named_folders(words: list[str]) -> dict[str, str]:
    """
    Parse the words of ``--scenes``: ``NAME=DIR``, each name once.

    :raises ConfigError: if a word has another form, a name comes twice, or there is no word.
    """
    folders = {}
    for word in words:
        name, _, folder = word.partition('=')
        if not name or not folder or name in folders:
            raise ConfigError(f'--scenes {word} is not allowed: expected NAME=DIR, each name once')
        folders[name] = folder
    if not folders:
        raise ConfigError('--runs needs scenes: expected --scenes NAME=DIR')
    return folders


def _measure_runs(checkpoints: list[tuple[Path, dict]], scorer: Any, attempts: dict,
                  monitored: dict) -> tuple[list[dict], dict, dict]:
    """Score every set with every checkpoint, and with each prefix of its orders."""
    from moss_perception.models.checkpoint import load_checkpoint

    from study.comparison import measure
    from study.cost import measure_cost
    from study.monitoring import measure_monitoring
    runs, costs, members = [], {}, {}
    for path, notes in checkpoints:
        network = load_checkpoint(path)
        log.info('%s', path)
        costs.setdefault(notes['variant'], measure_cost(network))
        network.to(scorer.device)
        config = network.config
        levels = config.levels if model_type(config.model).streams else ('all',)
        for active in (*range(config.lowest_level(notes), len(levels)), None):
            variant = notes['variant']
            if active:
                variant += f' orders {levels[active - 1]}'
            sets = {}
            for name, some in attempts.items():
                scores = scorer.score(network, name, active)
                members.setdefault(variant, {}).setdefault(name, []).append(scores)
                sets[name] = measure(scores.mean(axis=1), some)
                if len(monitored[name].success):
                    sets[name]['monitoring'] = measure_monitoring(
                        scorer.score(network, (name,), active).mean(axis=1), monitored[name])
            runs.append({'variant': variant, 'seed': notes['recipe']['seed'],
                         'checkpoint': path.name, 'sha256': network.sha256, 'sets': sets})
    return runs, costs, members


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(compare, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
