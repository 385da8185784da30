"""``moss train``: train a grasp network on recorded scenes."""

import argparse
from dataclasses import replace
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moss_perception.training.fit import Plan

log = logging.getLogger('train')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description += (
        ' Several processes: torchrun --nproc-per-node N -m moss_perception train ..., with '
        '--folder in place of --run, which torchrun takes for its own.')
    parser.add_argument('--data', required=True, help='folder of scenes, made by record --scenes')
    parser.add_argument('--config', metavar='FILE',
                        help='YAML of a model variant, such as study/variants/moss_123.yaml; '
                             'options given here take precedence')
    parser.add_argument('--out', help="checkpoint to write (the variant's name, or grasp, in the "
                                      "run's folder); never in the folder of shipped models")
    # torchrun takes --run for an option of its own.
    parser.add_argument('--run', '--folder', help='folder of log and resumable state (runs/train; '
                                                  'with --config runs/variants/NAME_seed_SEED)')
    parser.add_argument('--scenes', type=int, help='use at most so many scenes')
    parser.add_argument('--epochs', type=int, help='passes over the scenes (8)')
    parser.add_argument('--batch', type=int, help='clips a step (8)')
    parser.add_argument('--seed', type=int, help='of everything drawn (0)')
    parser.add_argument('--model', metavar='TYPE',
                        help='type of the model, such as recurrent_grasp (moss_grasp)')
    parser.add_argument('--orders', type=int,
                        help='highest self-similarity order of a model with MOSS (3)')
    parser.add_argument('--image-size', type=int, help='side of the square input (128)')
    parser.add_argument('--initial', metavar='FILE', default='',
                        help='begin with the backbone and the head of this checkpoint, such as '
                             'one of the variant last_frame, which trains in a tenth of the time')
    parser.add_argument('--cache', metavar='FOLDER', type=Path,
                        help="store the features of the backbone's frozen stages here, for all "
                             'trainings of the same seed, which saves each a third of its time; '
                             'about 16 KB a frame; needs frozen_stages: 2')
    parser.add_argument('--only-cache', action='store_true',
                        help='compute the features of all epochs, and end')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=0, help='0 leaves it to torch')
    parser.add_argument('--workers', type=int, default=0,
                        help='processes that prepare clips, for a device that would wait for '
                             'them; 0: this one (0)')
    parser.add_argument('--graphs', action=argparse.BooleanOptionalAction, default=None,
                        help='export graphs for ONNX Runtime (yes; with --config no)')


def read_arguments(arguments: argparse.Namespace) -> 'Plan':
    """
    Combine the configuration file with the command line, which takes precedence.

    :raises ConfigError: if the file or a value is not allowed.
    """
    from moss_perception.training.fit import Plan
    from moss_perception.training.settings import read_settings, Settings
    settings = read_settings(arguments.config) if arguments.config else Settings()
    if arguments.model:
        settings = replace(settings, model=arguments.model)
    given = {name: getattr(arguments, name) for name in (
        'orders', 'image_size', 'epochs', 'batch', 'seed')}
    settings = settings.changed(**{k: v for k, v in given.items() if v is not None})
    run = Path(arguments.run or (
        f'runs/variants/{settings.name}_seed_{settings.recipe().seed}' if arguments.config
        else 'runs/train'))
    return Plan(
        settings, run, Path(arguments.out or run / f'{settings.name or "grasp"}.safetensors'),
        arguments.initial, arguments.cache, arguments.only_cache, arguments.device,
        arguments.threads, arguments.workers,
        arguments.graphs if arguments.graphs is not None else not arguments.config)


def run(arguments: argparse.Namespace) -> int:
    """Train on a folder of scenes, and write the checkpoint and its graphs."""
    from moss_perception.data.scenes import load_scenes
    from moss_perception.training.fit import fit
    fit(read_arguments(arguments), load_scenes(arguments.data, arguments.scenes))
    return 0
