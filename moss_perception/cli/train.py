"""``moss train``: train a grasp network on recorded scenes."""

import argparse
from dataclasses import asdict, replace
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from moss_perception.core.errors import ConfigError
from moss_perception.training.settings import read_settings, Settings

if TYPE_CHECKING:
    from moss_perception.training.distributed import Group
    from moss_perception.training.trainer import Trainer

log = logging.getLogger('train')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description += (
        ' Several processes: torchrun --nproc-per-node N -m moss_perception train ..., with '
        '--folder in place of --run, which torchrun takes for its own.')
    parser.add_argument('--data', required=True, help='folder of scenes, made by record --scenes')
    parser.add_argument('--config', metavar='FILE',
                        help='YAML of an arm, such as study/variants/moss_123.yaml; what is given '
                             'here as well counts')
    parser.add_argument('--out', help='checkpoint to write (models/grasp_moss.safetensors; with '
                                      "--config the arm's name in the run's folder)")
    # torchrun takes --run for an option of its own.
    parser.add_argument('--run', '--folder', help='folder of log and resumable state (runs/train; '
                                                  'with --config runs/arms/NAME_seed_SEED)')
    parser.add_argument('--scenes', type=int, help='use at most so many scenes')
    parser.add_argument('--epochs', type=int, help='passes over the scenes (8)')
    parser.add_argument('--batch', type=int, help='clips a step (8)')
    parser.add_argument('--seed', type=int, help='of everything drawn (0)')
    parser.add_argument('--orders', type=int, help='highest self-similarity order (3)')
    parser.add_argument('--image-size', type=int, help='side of the square input (128)')
    parser.add_argument('--initial', metavar='FILE',
                        help='begin with the backbone and the head of this checkpoint, such as '
                             'one of the arm last_frame, which is trained in a tenth of the time')
    parser.add_argument('--maps', metavar='FOLDER',
                        help="keep what the backbone's kept stages make of each epoch here, and "
                             'take it from here in other trainings of the same seed, which '
                             'saves each a third of its time; about 16 KB a frame; only with '
                             'kept_stages: 2')
    parser.add_argument('--only-maps', action='store_true',
                        help='make the maps of all epochs, and end')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=0, help='0 leaves it to torch')
    parser.add_argument('--workers', type=int, default=0,
                        help='processes that make ready the clips, for a device that would wait '
                             'for them; 0: this one (0)')
    parser.add_argument('--graphs', action=argparse.BooleanOptionalAction, default=None,
                        help='export graphs for ONNX Runtime (yes; with --config no)')


def read_arguments(arguments: argparse.Namespace) -> tuple[Settings, Path, Path]:
    """
    Put together what the configuration file and the command line ask for.

    :returns: the settings, the run's folder, and the checkpoint to write.
    :raises ConfigError: if the file or a value is not allowed.
    """
    settings = read_settings(arguments.config) if arguments.config else Settings()
    given = {name: getattr(arguments, name) for name in (
        'orders', 'image_size', 'epochs', 'batch', 'seed')}
    given = {name: value for name, value in given.items() if value is not None}
    network = {k: v for k, v in given.items() if k in ('orders', 'image_size')}
    training = {k: v for k, v in given.items() if k not in network}
    settings = replace(settings, network=settings.network | network,
                       training=settings.training | training)
    recipe = settings.recipe()
    if not arguments.config:
        return (settings, Path(arguments.run or 'runs/train'),
                Path(arguments.out or 'models/grasp_moss.safetensors'))
    run = Path(arguments.run or f'runs/arms/{settings.name}_seed_{recipe.seed}')
    return settings, run, Path(arguments.out or run / f'{settings.name}.safetensors')


def run(arguments: argparse.Namespace) -> int:
    """Train, calibrate on held-out scenes, and write the checkpoint and its graphs."""
    from moss_perception.training.distributed import Group
    if arguments.only_maps and not arguments.maps:
        raise ConfigError('--only-maps says nothing of where: expected --maps FOLDER')
    if arguments.workers < 0:
        raise ConfigError(f'--workers {arguments.workers} is not allowed: expected 0 or more')
    settings, run, out = read_arguments(arguments)
    group = Group.join(arguments.device)
    arguments.deployed = (arguments.graphs if arguments.graphs is not None
                          else not arguments.config)
    try:
        digest = _train(arguments, settings, run, out, group)
        if digest and arguments.deployed:
            _export(out, digest)
        group.wait()
    finally:
        group.leave()
    return 0


def _train(arguments: argparse.Namespace, settings: Settings, run: Path, out: Path,
           group: 'Group') -> str:
    """Train, and write the checkpoint if this process leads; return its SHA-256, or nothing."""
    from moss_perception.models.build import build_network
    from moss_perception.training import dataset
    from moss_perception.training.cache import decode_scenes
    from moss_perception.training.initial import start_from
    from moss_perception.training.memory import keep_freed_memory
    from moss_perception.training.trainer import Trainer
    import torch

    keep_freed_memory()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    recipe = settings.recipe()
    torch.manual_seed(recipe.seed)
    scenes = dataset.load_scenes(arguments.data, arguments.scenes)
    # Every tenth scene is held out: for the loss curve and the temperature.
    kept = [s for n, s in enumerate(scenes) if n % 10]
    config = settings.config(**dataset.defaults_from(kept), **dataset.pixel_statistics(kept))
    network = build_network(config)
    if recipe.kept_stages and not arguments.initial:
        raise ConfigError(f'kept_stages={recipe.kept_stages} needs --initial: stages that stay as '
                          'they are must have learnt something before')
    initial = start_from(network, arguments.initial) if arguments.initial else ''
    trainer = Trainer(network, recipe, run, group=group, workers=arguments.workers)
    trainer.resume()
    if group.leads:
        log.info('%d scenes to train on, %d held out, %d parameters; epoch %d of %d comes next',
                 len(kept), len(scenes) - len(kept),
                 sum(p.numel() for p in trainer.network.parameters()), trainer.epoch + 1,
                 recipe.epochs)
    frames, held_out_frames = (run / f'{name}_{group.rank}.npy' for name in ('frames', 'held_out'))
    try:
        seen = _items(arguments, kept, trainer, frames)
        if arguments.only_maps:
            seen.make(recipe.epochs)
            return ''
        held_out = dataset.GraspScenes(decode_scenes(scenes[::10], config, file=held_out_frames),
                                       config)
        trainer.fit(seen, held_out)
    finally:
        # What is open stays readable.
        for file in (frames, held_out_frames):
            file.unlink(missing_ok=True)
    if not group.leads:
        return ''
    notes = {'arm': settings.name} | ({'initial': initial} if initial else {})
    return _write(trainer, held_out, out, notes, scenes, arguments.deployed)


def _items(arguments: argparse.Namespace, scenes: list, trainer: 'Trainer', frames: Path):
    """Make the items to train on: images that are decoded once, or the maps of them."""
    from moss_perception.training.cache import decode_scenes
    from moss_perception.training.dataset import GraspScenes
    from moss_perception.training.kept import are_kept, KeptMaps
    recipe, config = trainer.recipe, trainer.network.config
    if arguments.maps and trainer.group.size > 1:
        raise ConfigError(f'--maps with {trainer.group.size} processes is not allowed: expected '
                          'one, which writes the maps')
    if not (arguments.maps and are_kept(arguments.maps, recipe.epochs)):
        scenes = decode_scenes(scenes, config, file=frames)
    items = GraspScenes(scenes, config, augment=True, empty=4, monitor=recipe.monitor,
                        photometric=recipe.photometric, geometric=recipe.geometric,
                        missing=recipe.missing, seed=recipe.seed)
    if not arguments.maps:
        return items
    return KeptMaps(items, trainer.network, arguments.maps, arguments.workers)


def _write(trainer: 'Trainer', held_out, out: Path, notes: dict, scenes: list,
           deployed: bool) -> str:
    """Calibrate, learn what is usual if it is to be run, and write the checkpoint."""
    from moss_perception.models.checkpoint import save_checkpoint
    from moss_perception.training.calibration import fit_temperature
    from moss_perception.training.trainer import predict
    network, recipe, seeds = trainer.network, trainer.recipe, [scene.seed for scene in scenes]
    temperature = fit_temperature(*predict(network, held_out, recipe.batch, trainer.device))
    network.config = replace(network.config, temperature=temperature)
    novelty = _learn_novelty(network, scenes, recipe.monitor > 0) if deployed else None
    digest = save_checkpoint(out, network.cpu(), {
        **notes, 'scenes': len(scenes), 'seeds': [min(seeds), max(seeds)],
        'recipe': asdict(recipe)}, novelty)
    log.info('wrote %s, sha256 %s, temperature %.3f', out, digest, temperature)
    return digest


def _learn_novelty(network, scenes: list, watched: bool):
    """Fit what is usual; too few scenes cost a warning."""
    from moss_perception.runtime.torch_engine import TorchEngine
    from moss_perception.training.novelty import learn_novelty
    try:
        device = next(network.parameters()).device
        return learn_novelty(TorchEngine(network, str(device)), scenes, watched)
    except ConfigError as error:
        log.warning('the checkpoint will not know what is out of distribution: %s', error)
        return None


def _export(out: Path, digest: str) -> None:
    from moss_perception.models.export import export_graphs
    try:
        export_graphs(out, digest, lambda name: log.info('exporting %s', name))
    except ConfigError as error:
        log.warning('%s; the engine onnxruntime needs: export %s', error, out)
