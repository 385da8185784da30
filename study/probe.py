"""Tell how much of the objects' motion networks' maps tell: ``ros2 run moss_perception probe``."""

import argparse
import json
import logging
import os
from pathlib import Path
import sys

from moss_perception.cli.common import cpu_name, run_command, set_up_logging, write_text
from moss_perception.core.tables import markdown

from study.compare import find_checkpoints, named_folders

log = logging.getLogger('probe')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='probe', description=__doc__)
    parser.add_argument('--runs', nargs='+', required=True, metavar='DIR',
                        help='folders with checkpoints that train --config wrote, at any depth')
    parser.add_argument('--fit', required=True, metavar='DIR',
                        help='scenes to fit the probes on; those of the training will do')
    parser.add_argument('--scenes', nargs='+', required=True, metavar='NAME=DIR',
                        help='sets of scenes to test them on')
    parser.add_argument('--limit', type=int, default=1000,
                        help='use at most so many scenes of each (1000)')
    parser.add_argument('--out', metavar='FILE', help='write everything there, as JSON')
    parser.add_argument('--threads', type=int, default=0, help='0 leaves it to torch')
    return parser


def probe(arguments: argparse.Namespace) -> int:
    """Probe each checkpoint, print a table, and store it."""
    from moss_perception.data.scenes import load_scenes
    from moss_perception.models.checkpoint import load_checkpoint
    import torch

    from study import motion_probe
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    fitted = load_scenes(arguments.fit, arguments.limit)
    sets = {name: load_scenes(folder, arguments.limit)
            for name, folder in named_folders(arguments.scenes).items()}
    runs = []
    for path, notes in find_checkpoints(arguments.runs):
        log.info('%s', path)
        network = load_checkpoint(path)
        runs.append({'arm': notes['variant'], 'seed': notes['recipe']['seed'],
                     'checkpoint': path.name, 'sha256': network.sha256,
                     'maps': motion_probe.probe(network, fitted, sets)})
    machine = f'{cpu_name()}, {os.cpu_count()} cores'
    print(f'Machine: {machine}; {len(fitted)} scenes to fit on. Share of the variance (R2) that a '
          "linear probe of a map finds, of the object's velocity and the belt's acceleration at "
          "the decision and of the object's way until the fingers close [95 % interval, scenes "
          'drawn with replacement].\n')
    print(_table(runs, list(sets)))
    if arguments.out:
        write_text(Path(arguments.out), json.dumps(
            {'machine': machine, 'fitted_on': len(fitted), 'runs': runs}, indent=1) + '\n')
    return 0


def _table(runs: list[dict], sets: list[str]) -> str:
    rows = [[run['arm'], str(run['seed']), name, what, *(_figure(found.get(one)) for one in sets)]
            for run in runs for name, kinds in run['maps'].items()
            for what, found in kinds.items()]
    return markdown(['arm', 'seed', 'map', 'of', *sets], rows)


def _figure(found: dict | None) -> str:
    return '-' if found is None else f'{found["r2"]:.2f} [{found["low"]:.2f}, {found["high"]:.2f}]'


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(probe, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
