"""Compare trained arms on the same scenes: ``ros2 run moss_perception compare``."""

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
    write_text,
)
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.evaluation.plain import plain
from moss_perception.models.manifest import lowest_prefix, read_header

from study.merging import merge
from study.pages import fill
from study.table import FORMAT, render, tables

log = logging.getLogger('compare')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='compare', description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--runs', nargs='+', metavar='DIR',
                        help='folders with checkpoints that train --config wrote, at any depth')
    source.add_argument('--results', nargs='+', metavar='FILE',
                        help='print what was stored before; of several files with the same scenes '
                             'all runs together')
    parser.add_argument('--arms', nargs='+', metavar='ARM', default=[],
                        help='with --results: keep the runs of these only')
    parser.add_argument('--costs', nargs='+', metavar='DIR',
                        help='with --results: measure what their arms cost anew, in one run, from '
                             'the first checkpoint of each in these folders')
    parser.add_argument('--scenes', nargs='+', default=[], metavar='NAME=DIR',
                        help='sets of scenes that no arm was trained on; losses count from the '
                             'first')
    parser.add_argument('--out', metavar='FILE', help='write everything there, as JSON')
    parser.add_argument('--plots', metavar='DIR', help='draw pictures of it there, as PNG')
    parser.add_argument('--page', metavar='FILE',
                        help='write the tables into this Markdown page too, where it has '
                             '<!-- begin NAME | TABLE --> and <!-- end -->; NAME is that of the '
                             'results file')
    parser.add_argument('--reference', default='',
                        help='the arm that the table tests the others against (moss_123)')
    parser.add_argument('--limit', type=int, help='use at most so many scenes of each set')
    parser.add_argument('--watched', type=int, default=300,
                        help='watched grasps of each set that the early-prediction curve is '
                             'measured on, at most; 0 for none (300)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=0, help='0 leaves it to torch')
    return parser


def compare(arguments: argparse.Namespace) -> int:
    """Measure and store, or read; and print the tables."""
    if arguments.results:
        stored = [_read(Path(name)) for name in arguments.results]
        whole = len(stored) == 1 and not arguments.arms
        result = stored[0] if whole else merge(stored, arguments.arms)
        if arguments.costs:
            result = result | {'costs': _measure_costs(arguments, result['costs'])}
    elif arguments.costs or arguments.arms:
        name = '--costs' if arguments.costs else '--arms'
        raise ConfigError(f'{name} goes with --results: expected --results FILE')
    else:
        result = _measure_all(arguments)
    result = plain(result)
    if arguments.out:
        text = json.dumps(result, indent=1, allow_nan=False)
        write_text(Path(arguments.out), text + '\n')
    print(render(result, arguments.reference), end='')
    if arguments.plots:
        from study.plots import draw
        for path in draw(result, Path(arguments.plots)):
            log.info('drew %s', path)
    if arguments.page:
        name = arguments.out or (arguments.results or ['arms'])[0]
        _write_page(Path(arguments.page), Path(name).stem, tables(result, arguments.reference))
    return 0


def _measure_costs(arguments: argparse.Namespace, stored: dict) -> dict:
    """Measure what each arm costs, by its first checkpoint."""
    from moss_perception.models.checkpoint import load_checkpoint
    import torch

    from study.cost import measure_in_turns
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    paths: dict[str, Path] = {}
    for path, notes in find_checkpoints(arguments.costs):
        paths.setdefault(notes['variant'], path)
    lacking = sorted(set(stored) - set(paths))
    if lacking:
        raise CheckpointError(f'no checkpoint of {lacking[0]} is in {" ".join(arguments.costs)}: '
                              'expected one of each arm whose cost is stored')
    return measure_in_turns({arm: load_checkpoint(paths[arm]).to(arguments.device)
                             for arm in stored})


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
    Find the checkpoints of runs.

    :returns: each file with its notes, ordered by variant as first found, then seed.
    :raises CheckpointError: if a folder has none, or one does not name its model variant.
    """
    found = []
    for folder in folders:
        paths = sorted(path for path in Path(folder).rglob('*.safetensors')
                       if path.name != 'state.safetensors')
        if not paths:
            raise CheckpointError(f'there is no checkpoint in {folder}: expected .safetensors '
                                  'files of train --config')
        for path in paths:
            notes = read_header(path)[1]
            # Checkpoints of before call it arm.
            variant = notes.get('variant') or notes.get('arm')
            if not variant or 'recipe' not in notes:
                raise CheckpointError(f'checkpoint {path} does not name its model variant: '
                                      'expected one of train --config')
            found.append((path, {**notes, 'variant': variant}))
    return found


def _measure_all(arguments: argparse.Namespace) -> dict:
    from moss_perception.cli.evaluate_scenes import refuse_training_scenes
    from moss_perception.data.scenes import load_scenes
    from moss_perception.evaluation.intervals import require
    import torch

    from study.comparison import Attempts, compare_pairs, summarise
    from study.monitoring import Watched
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
    watched = {name: Watched(some, arguments.watched) for name, some in scenes.items()}
    scorer = Scorer({**scenes, **{(name,): some.clips for name, some in watched.items()}},
                    arguments.device)
    runs, costs, members = _measure_runs(checkpoints, scorer, attempts, watched)
    machine = f'{cpu_name()}, {os.cpu_count()} cores'
    return {'format': FORMAT, 'machine': machine, 'device': arguments.device, 'costs': costs,
            'sets': sets, 'arms': summarise(runs, sets), 'pairs': compare_pairs(runs, sets),
            'uncertainty': summarise_uncertainty(members, attempts), 'runs': runs}


def named_folders(words: list[str]) -> dict[str, str]:
    """
    Read what ``--scenes`` says: ``NAME=DIR``, each name once.

    :raises ConfigError: if a word is of another form, a name comes twice, or there is none.
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
                  watched: dict) -> tuple[list[dict], dict, dict]:
    """Score every set with every checkpoint, and with each prefix of its orders."""
    from moss_perception.models.checkpoint import load_checkpoint

    from study.comparison import measure
    from study.cost import measure_cost
    from study.monitoring import measure_monitoring
    runs, costs, kept = [], {}, {}
    for path, notes in checkpoints:
        network = load_checkpoint(path)
        log.info('%s', path)
        costs.setdefault(notes['variant'], measure_cost(network))
        network.to(scorer.device)
        config = network.config
        prefixes = range(lowest_prefix(config, notes), config.orders) if config.steps else ()
        for used in (*prefixes, None):
            arm = notes['variant']
            if used:
                arm += ' used ' + ','.join(map(str, range(1, used + 1)))
            sets = {}
            for name, some in attempts.items():
                members = scorer.score(network, name, used)
                kept.setdefault(arm, {}).setdefault(name, []).append(members)
                sets[name] = measure(members.mean(axis=1), some)
                if len(watched[name].held):
                    sets[name]['monitoring'] = measure_monitoring(
                        scorer.score(network, (name,), used).mean(axis=1), watched[name])
            runs.append({'arm': arm, 'seed': notes['recipe']['seed'], 'checkpoint': path.name,
                         'sha256': network.sha256, 'sets': sets})
    return runs, costs, kept


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(compare, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
