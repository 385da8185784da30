"""What the commands on clips and on questions have in common: options, and what they write."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
import json
from pathlib import Path
from typing import Any

from moss_perception.cli.common import cpu_name, write_text
from moss_perception.core.errors import ConfigError
from moss_perception.core.memory import keep_freed_memory
from moss_perception.evaluation.intervals import require
from moss_perception.models.manifest import read_header
from moss_perception.runtime.torch_engine import usable_device
import torch

from study.kept import file_digest
from study.video.clips import Clip
from study.video.fitting import Budget
from study.video.models import COMPARED, INITIAL, initial_of

PRETRAINED_ON = 'pretrained_on'
"""Note of a checkpoint about the clips that it was pretrained on."""


def add_budget(parser: argparse.ArgumentParser, seeds: int, more: Sequence[str] = ()) -> None:
    """
    Add which variants are trained, how often and on how much.

    :param more: variants beside :data:`study.video.models.COMPARED`.
    """
    parser.add_argument('--variants', nargs='+', default=[*COMPARED, *more], metavar='NAME',
                        help='files of study/variants and study/video/variants to train (default: '
                             '%(default)s)')
    for name, default, meaning in (
            ('seeds', seeds, 'trainings of each variant, and fold if there are any'),
            ('clips', Budget().clips, 'clips that each training sees')):
        parser.add_argument(f'--{name}', type=int, default=default, metavar='N',
                            help=f'number of {meaning} (default: %(default)s)')
    parser.add_argument('--learning-rate', type=float, default=Budget().learning_rate,
                        metavar='X', help='highest of each training (default: %(default)s)')
    parser.add_argument('--initial', default=str(INITIAL), metavar='FILE',
                        help='checkpoint whose backbone all start from; a folder with a '
                             'checkpoint of each variant, to start from all of its weights; or '
                             "empty for random weights (default: the study's)")
    parser.add_argument('--collect', action='store_true',
                        help='train nothing: compare all that --out keeps of trainings with these '
                             'options, whatever its variants and seeds')
    parser.add_argument('--estimate', action='store_true',
                        help='say how long it takes if nothing is done yet, and end')
    parser.add_argument('--device', default='cpu', help='of torch (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=0, metavar='N',
                        help='number of threads; 0: torch chooses (default: %(default)s)')


def budget_of(arguments: argparse.Namespace) -> Budget:
    """
    Check these options, and set up the process for training.

    :raises ConfigError: naming the option that is out of range, or the device.
    """
    for name, least in (('seeds', 1), ('clips', 1), ('threads', 0)):
        if getattr(arguments, name) < least:
            raise ConfigError(f'--{name} {getattr(arguments, name)} is not allowed: expected '
                              f'{least} or more')
    require_rate(arguments.learning_rate)
    prepare(arguments.device, arguments.threads)
    return Budget(arguments.clips, learning_rate=arguments.learning_rate,
                  device=arguments.device)


def require_rate(learning_rate: float) -> None:
    """
    Check a learning rate.

    :raises ConfigError: if it is not above 0 and finite.
    """
    if not 0 < learning_rate < float('inf'):
        raise ConfigError(f'--learning-rate {learning_rate:g} is not allowed: expected a number '
                          'above 0')


def refuse_seen(arguments: argparse.Namespace, clips: Sequence[Clip]) -> None:
    """
    Refuse a start that was pretrained on clips which are asked about.

    :param arguments: with ``initial`` and ``variants``.
    :raises ConfigError: naming the checkpoint.
    """
    for path in sorted({initial_of(arguments.initial, name) for name in arguments.variants}):
        seen = set(read_header(path)[1].get(PRETRAINED_ON, {}).get('digests', ())) if path else ()
        both = [clip.name for clip in clips if clip.digest in seen]
        if both:
            raise ConfigError(f'{path} was pretrained on {len(both)} of these clips, such as '
                              f'{both[0]}: expected other clips, or another --initial')


def prepare(device: str, threads: int) -> None:
    """
    Set up the process for training, before anything is trained.

    :param device: of torch.
    :param threads: 0 for torch's choice.
    :raises ConfigError: if the device can't be used.
    :raises MossError: if SciPy is missing.
    """
    require()
    usable_device(device)
    if threads:
        torch.set_num_threads(threads)
    keep_freed_memory()


def conditions(budget: Budget, initial: str) -> dict[str, Any]:
    """
    Return what the trainings of a run had in common, for its results.

    :param initial: see :func:`study.video.models.initial_of`.
    """
    several = initial and Path(initial).is_dir()
    return {'clips_seen': budget.clips, 'learning_rate': budget.learning_rate,
            'initial': 'one of each variant' if several else file_digest(initial),
            'cpu': cpu_name(), 'device': budget.device, 'torch': torch.__version__}


def report(out: Path, result: Mapping[str, Any], found: Iterable[Mapping[str, Any]],
           tables: Callable[[Mapping[str, Any]], dict[str, str]]) -> None:
    """
    Write results.json after each seed, so that it can be read early, and print it at the end.

    :param result: what stays the same.
    :param found: what is known after each seed.
    :param tables: writes a result as titled tables.
    """
    for part in found:
        result = {**result, **part}
        write_text(out / 'results.json', json.dumps(result, indent=1) + '\n')
    print('\n\n'.join(tables(result).values()))
