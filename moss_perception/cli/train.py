"""Train the grasp network on recorded scenes: ``ros2 run moss_perception train``."""

import argparse
from dataclasses import asdict, replace
import logging
import sys

from moss_perception.cli.common import run_command, set_up_logging
from moss_perception.errors import ConfigError

log = logging.getLogger('train')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='train', description=__doc__)
    parser.add_argument('--data', required=True, help='folder of scenes, made by record --scenes')
    parser.add_argument('--out', default='models/grasp_moss.safetensors',
                        help='checkpoint to write')
    parser.add_argument('--run', default='runs/train', help='folder of log and resumable state')
    parser.add_argument('--scenes', type=int, help='use at most so many scenes')
    parser.add_argument('--epochs', type=int, default=8)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--orders', type=int, default=3, help='highest self-similarity order')
    parser.add_argument('--image-size', type=int, default=128, help='side of the square input')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=0, help='0 leaves it to torch')
    return parser


def train(arguments: argparse.Namespace) -> int:
    """Train, calibrate on held-out scenes, and write the checkpoint and its graphs."""
    from moss_perception.grasp.checkpoint import save_checkpoint
    from moss_perception.grasp.config import GraspConfig
    from moss_perception.grasp.export import export_graphs
    from moss_perception.grasp.network import GraspNetwork
    from moss_perception.training import dataset
    from moss_perception.training.calibration import fit_temperature
    from moss_perception.training.memory import keep_freed_memory
    from moss_perception.training.trainer import predict, Recipe, Trainer
    import torch

    keep_freed_memory()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    scenes = dataset.load_scenes(arguments.data, arguments.scenes)
    seeds = [scene.seed for scene in scenes]
    # Every tenth scene is held out: for the loss curve and the temperature.
    held_out, kept = scenes[::10], [s for n, s in enumerate(scenes) if n % 10]
    config = GraspConfig(orders=arguments.orders, image_size=arguments.image_size,
                         **dataset.defaults_from(kept), **dataset.pixel_statistics(kept))
    recipe = Recipe(epochs=arguments.epochs, batch=arguments.batch, seed=arguments.seed)
    network = GraspNetwork(config)
    trainer = Trainer(network, recipe, arguments.run, arguments.device)
    trainer.resume()
    log.info('%d scenes to train on, %d held out, %d parameters; epoch %d of %d comes next',
             len(kept), len(held_out), sum(p.numel() for p in network.parameters()),
             trainer.epoch + 1, recipe.epochs)
    held_out = dataset.GraspScenes(held_out, config)
    trainer.fit(dataset.GraspScenes(kept, config, augment=True, empty=4, seed=arguments.seed),
                held_out)
    temperature = fit_temperature(*predict(network, held_out, recipe.batch, arguments.device))
    network.config = replace(config, temperature=temperature)
    digest = save_checkpoint(arguments.out, network.cpu(), {
        'scenes': len(scenes), 'seeds': [min(seeds), max(seeds)], 'recipe': asdict(recipe)})
    log.info('wrote %s, sha256 %s, temperature %.3f', arguments.out, digest, temperature)
    try:
        export_graphs(arguments.out, digest, lambda name: log.info('exporting %s', name))
    except ConfigError as error:
        log.warning('%s; the engine onnxruntime needs: export %s', error, arguments.out)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(train, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
