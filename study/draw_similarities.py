"""Draw what MOSS compares at an object: ``ros2 run moss_perception similarities``."""

import argparse
import logging
from pathlib import Path
import sys

from moss_perception.cli.common import run_command, set_up_logging, STATUS, write_bytes
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path

from study.compare import named_folders

log = logging.getLogger('similarities')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='similarities', description=__doc__, epilog=STATUS)
    parser.add_argument('--model', default='',
                        help='checkpoint with MOSS; empty for the shipped one')
    parser.add_argument('--scenes', nargs='+', required=True, metavar='NAME=DIR',
                        help='sets of scenes; one scene of each is drawn')
    parser.add_argument('--seed', nargs='+', default=[], metavar='NAME=SEED',
                        help="which scene of a set; without it the set's first")
    parser.add_argument('--motion', default='',
                        help="keep to scenes with this motion, such as 'accelerating'")
    parser.add_argument('--out', metavar='FILE.png', help='draw the picture there')
    parser.add_argument('--summary', nargs='?', type=int, const=100, metavar='N',
                        help="print a table of the maps of each set's first N scenes (100)")
    return parser


def similarities(arguments: argparse.Namespace) -> int:
    """Draw a scene of each set, or print a table of how the sets' maps are, or both."""
    from moss_perception.models.checkpoint import load_checkpoint

    from study.similarity_maps import require_similarities
    folders = named_folders(arguments.scenes)
    seeds = named_seeds(arguments.seed, list(folders))
    if not arguments.out and arguments.summary is None:
        raise ConfigError('there is nothing to do: expected --out FILE.png, --summary or both')
    path = model_path(arguments.model)
    network = load_checkpoint(path)
    require_similarities(network.config)
    if arguments.out:
        _draw(network, path.stem, folders, seeds, arguments)
    if arguments.summary is not None:
        _summarise(network, path.stem, folders, arguments)
    return 0


def _draw(network, model: str, folders: dict, seeds: dict, arguments) -> None:
    from study.similarity_maps import read_similarities
    from study.similarity_pictures import draw
    found = {}
    for name, folder in folders.items():
        scenes = choose_scenes(folder, arguments.motion, seeds.get(name))
        found[name] = read_similarities(network, scenes)[0]
    write_bytes(Path(arguments.out), draw(found, f'What {model} compares with the object'))
    log.info('drew %s', arguments.out)


def _summarise(network, model: str, folders: dict, arguments) -> None:
    from moss_perception.evaluation.intervals import require

    from study.similarities import summarise
    from study.similarity_maps import read_similarities
    require()
    if arguments.summary < 2:
        raise ConfigError(f'--summary {arguments.summary} is not allowed: expected 2 scenes or '
                          'more')
    sets = {name: read_similarities(network, choose_scenes(
        folder, arguments.motion, limit=arguments.summary)) for name, folder in folders.items()}
    print(f'{model}: cosines of the object with its neighbours in the samples before the newest, '
          'mean over the scenes [95 % interval, scenes drawn with replacement]. contrast: maximum '
          'less median of a map; alike: share of the neighbours less than 0.1 below the '
          'strongest; away: how many cells that is from the object; foretells: correlation of '
          "how far a map's centre has moved with the object's way until the fingers close.\n")
    print(summarise(sets))


def named_seeds(words: list[str], names: list[str]) -> dict[str, int]:
    """
    Read what ``--seed`` says: ``NAME=SEED``, or ``SEED`` alone where there is one set.

    :param names: of the sets.
    :raises ConfigError: if a word is of another form, or its set is not there.
    """
    seeds: dict[str, int] = {}
    for word in words:
        name, _, seed = word.rpartition('=')
        if not name and len(names) == 1:
            name = names[0]
        if name not in names or name in seeds or not seed.isdecimal():
            raise ConfigError(f'--seed {word} is not allowed: expected NAME=SEED, each name once '
                              f'and one of {names}')
        seeds[name] = int(seed)
    return seeds


def choose_scenes(folder: str, motion: str = '', seed: int | None = None,
                  limit: int = 1) -> list:
    """
    Read the first scenes of a folder, in the order of the shards, whose candidates are in view.

    :param motion: only with this motion; empty for any.
    :param seed: only with this seed; ``None`` for any.
    :param limit: at most so many.
    :raises ConfigError: if there is none.
    """
    from moss_perception.data.scenes import in_view, read_shards
    chosen = in_view((scene for scene in read_shards(folder) if motion in ('', scene.motion)
                      and seed in (None, scene.seed)), limit)
    if not chosen:
        there = list(read_shards(folder))
        seeds = [scene.seed for scene in there]
        asked = [f'seed {seed}'] * (seed is not None) + [f'motion {motion!r}'] * bool(motion)
        raise ConfigError(
            f'{folder} has no scene with {" and ".join(asked) or "all candidates"} in view: '
            f'expected a seed of {min(seeds)} to {max(seeds)}, and a motion of '
            f'{sorted({scene.motion for scene in there})}')
    return chosen


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(similarities, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
