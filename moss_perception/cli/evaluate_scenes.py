"""``moss evaluate --scenes`` and ``--fresh``: measure a checkpoint on unseen scenes."""

import argparse
from collections.abc import Sequence
import logging
import math
import os
import sys
from tempfile import TemporaryDirectory

from moss_perception.cli.common import cpu_name, print_json
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path
from moss_perception.models.manifest import read_header
from tqdm import tqdm

log = logging.getLogger('evaluate')

_FIGURES = ('auroc', 'auroc_low', 'auroc_high', 'brier', 'ece', 'attempts')


def evaluate_scenes(arguments: argparse.Namespace) -> int:
    """
    Score every candidate of every scene, and print the metrics as JSON.

    :param arguments: arguments of the command ``evaluate``.
    :returns: exit status.
    """
    from moss_perception.data.scenes import in_view
    from moss_perception.evaluation.scene_scores import candidates_alone, require_baseline
    from moss_perception.evaluation.thresholds import parse
    from moss_perception.runtime.predictor import Predictor
    import numpy as np

    requirements = [parse(one, _FIGURES) for one in arguments.require]
    path = model_path(*arguments.model)
    predictor = Predictor.load(str(path), arguments.sha256, arguments.engine,
                               threads=arguments.threads)
    if arguments.baseline:
        require_baseline()
    scenes = in_view(_scenes(arguments, read_header(path)[1]))
    if not scenes:
        raise ConfigError('no scene has all its candidates in the image: expected at least one')
    groups = np.concatenate([np.full(len(s.outcomes), s.seed) for s in scenes])
    labels = np.concatenate([s.outcomes for s in scenes])
    motions = np.concatenate([np.full(len(s.outcomes), s.motion) for s in scenes])
    scores = _score_variants(predictor, scenes)
    streamed = scores[_variant_name(predictor.levels, len(predictor.levels))]
    if arguments.baseline:
        scores['no image, candidates alone'] = candidates_alone(
            np.concatenate([s.candidates for s in scenes]), labels, groups)
    engine = predictor.engine
    result = {
        'model_sha256': engine.sha256, 'engine': engine.name,
        'scenes': len(scenes), 'attempts': len(labels),
        'seeds': [scenes[0].seed, scenes[-1].seed], 'success_rate': float(labels.mean()),
        'interval': '95 %, scenes drawn with replacement',
        'machine': f'{cpu_name()}, {os.cpu_count()} cores',
        **_measure(streamed, labels, groups),
        'chosen_success': {**_chosen(streamed, labels, groups), **_chosen_by_baselines(scenes)}}
    if engine.name == 'torch':
        result['stream_against_clip'] = float(np.abs(
            streamed - _score_clips(engine, scenes)).max())
    result['variants'] = {
        name: {**_measure(values, labels, groups),
               'chosen_success': _chosen(values, labels, groups)}
        for name, values in scores.items()}
    result['motions'] = {
        motion: _measure(*(x[motions == motion] for x in (streamed, labels, groups)))
        for motion in sorted(set(motions))}
    print_json(result, arguments.out)
    return _conclude(result, requirements)


def _scenes(arguments: argparse.Namespace, notes: dict) -> list:
    """Read or generate the scenes, which the checkpoint with these notes has not seen."""
    from moss_perception.data.scenes import read_shards
    from moss_perception.evaluation.training_scenes import refuse_training_scenes
    if arguments.scenes:
        scenes = list(read_shards(arguments.scenes))
        refuse_training_scenes((scene.seed for scene in scenes), notes)
        return scenes
    # Before they are generated, which takes long.
    refuse_training_scenes(range(arguments.seed, arguments.seed + arguments.fresh), notes)
    from moss_perception.simulation.attempt import Latencies
    from moss_perception.simulation.generate import generate
    from moss_perception.simulation.scene import Source
    domain, = arguments.domain or ['sim']
    source = Source(arguments.cell, domain, arguments.split, arguments.motion)
    with TemporaryDirectory() as folder:
        made = generate(folder, arguments.fresh, arguments.seed,
                        arguments.workers or os.cpu_count() or 1, source,
                        latencies=Latencies(), executor=arguments.executor)
        for reason, count in sorted(made.skipped.items()):
            log.warning('%d scenes were left out: %s', count, reason)
        return list(read_shards(folder))


def _chosen(scores, labels, groups) -> dict[str, float]:
    """Return the success rate of each scene's best grasp."""
    from moss_perception.evaluation.intervals import mean_interval
    from moss_perception.evaluation.scene_scores import chosen_success
    mean = mean_interval(chosen_success(scores, labels, groups))
    return {'model': mean.value, 'low': mean.low, 'high': mean.high}


def _chosen_by_baselines(scenes: list) -> dict[str, float]:
    """Return the success rates of the choices without a model, where they are known."""
    from moss_perception.evaluation.scene_scores import baselines
    rates = {name: float(values.mean()) for name, values in baselines(scenes).items()}
    return {name: rate for name, rate in rates.items() if not math.isnan(rate)}


def _variant_name(levels: Sequence[str], level: int) -> str:
    name = levels[level - 1]
    return f'orders {name}' if name[0].isdigit() else name


def _score_variants(predictor, scenes: list) -> dict:
    """Stream all scenes at each level that was trained, and once more with nothing moving."""
    from moss_perception.evaluation.scene_scores import score_scenes
    highest = len(predictor.levels)
    variants = [(_variant_name(predictor.levels, level), level, False)
            for level in range(predictor.engine.lowest_level, highest + 1)]
    variants.append((f'{_variant_name(predictor.levels, highest)}, frozen clip', highest, True))
    scores = {}
    for name, level, frozen in variants:
        predictor.set_level(level)
        # disable=None: no progress bar unless a terminal is attached.
        scores[name] = score_scenes(
            predictor, tqdm(scenes, desc=name, unit='scene', leave=False, disable=None), frozen)
    return scores


def _score_clips(engine, scenes: list):
    """Score all scenes as whole clips, as in training."""
    from moss_perception.models.layers.reading import ensemble_probability
    from moss_perception.runtime.torch_engine import TorchEngine
    from moss_perception.training.dataset import GraspClips
    from moss_perception.training.trainer import predict
    assert isinstance(engine, TorchEngine)
    network = engine.network
    logits, _ = predict(network, GraspClips(scenes, network.config))
    return ensemble_probability(logits)[0].numpy()


def _measure(scores, labels, groups) -> dict:
    from moss_perception.evaluation.intervals import measure_interval
    from moss_perception.evaluation.metrics import brier, ece, Scored, value_of
    sample = Scored.of(scores, labels, groups)
    area = measure_interval('auroc', sample)
    return {'auroc': area.value, 'auroc_low': area.low, 'auroc_high': area.high,
            'brier': value_of(brier, sample), 'ece': value_of(ece, sample),
            **({'auroc_undefined': area.why} if area.why else {})}


def _conclude(result: dict, requirements: Sequence) -> int:
    """Check the requirements, print how they are met, and return the exit status."""
    from moss_perception.cli.evaluate_results import NOT_MET
    from moss_perception.evaluation.thresholds import check
    if not requirements:
        return 0
    why = result.get('auroc_undefined', '')
    verdict = check(requirements, {'scenes': {name: (float(result[name]), why)
                                              for name in _FIGURES}}, 'scenes')
    # Standard output is the JSON.
    print(verdict.table(), file=sys.stderr)
    return 0 if verdict.met else NOT_MET
