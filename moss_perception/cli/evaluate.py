"""Measure a checkpoint on attempts it never saw: ``ros2 run moss_perception evaluate``."""

import argparse
import json
import logging
from pathlib import Path
import platform
import sys

from moss_perception.cli.common import run_command, set_up_logging

log = logging.getLogger('evaluate')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='evaluate', description=__doc__)
    parser.add_argument('--scenes', required=True, metavar='DIR',
                        help='folder of scenes, made by record --scenes with seeds of their own')
    parser.add_argument('--model', default='', help='checkpoint; empty for the shipped one')
    parser.add_argument('--sha256', default='', help='its digest; empty to read SHA256SUMS')
    parser.add_argument('--out', help='write the JSON there as well')
    parser.add_argument('--require-auroc', type=float, metavar='X',
                        help='fail unless the lower end of the 95 %% interval is above X')
    return parser


def evaluate(arguments: argparse.Namespace) -> int:
    """Score every candidate of every scene, and print the metrics as JSON."""
    from moss_perception.cli.common import model_path
    from moss_perception.evaluation import metrics
    from moss_perception.grasp.checkpoint import load_checkpoint
    from moss_perception.grasp.network import ensemble_probability
    from moss_perception.training.dataset import GraspScenes, load_scenes
    from moss_perception.training.trainer import predict
    import numpy as np

    network = load_checkpoint(model_path(arguments.model), arguments.sha256)
    scenes = load_scenes(arguments.scenes)
    groups = np.concatenate([np.full(len(s.outcomes), s.seed) for s in scenes])
    speeds = np.concatenate([np.full(len(s.outcomes), s.speed) for s in scenes])
    result = {'model_sha256': network.sha256, 'scenes': len(scenes), 'attempts': len(groups),
              'seeds': [scenes[0].seed, scenes[-1].seed], 'interval': '95 %, scenes drawn',
              'machine': platform.processor() or platform.machine(), 'orders': {}}
    for order in range(1, network.config.orders + 1):
        logits, outcomes = predict(network, GraspScenes(scenes, network.config), used=order)
        scores = ensemble_probability(logits)[0].numpy()
        labels = outcomes.numpy().astype(bool)
        low, high = metrics.bootstrap_interval(metrics.auroc, scores, labels, groups)
        result['orders'][','.join(map(str, range(1, order + 1)))] = {
            'auroc': metrics.auroc(scores, labels), 'auroc_low': low, 'auroc_high': high,
            'brier': metrics.brier(scores, labels),
            'ece': metrics.expected_calibration_error(scores, labels),
            'auroc_still': metrics.auroc(scores[speeds == 0], labels[speeds == 0]),
            'auroc_moving': metrics.auroc(scores[speeds != 0], labels[speeds != 0])}
    result.update(result['orders'][','.join(map(str, range(1, network.config.orders + 1)))])
    result['success_rate'] = float(labels.mean())
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        Path(arguments.out).write_text(text + '\n')
    if arguments.require_auroc is not None and not result['auroc_low'] > arguments.require_auroc:
        log.error('lower end of the AUROC interval is %.3f: required above %.3f',
                  result['auroc_low'], arguments.require_auroc)
        return 1
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(evaluate, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
