"""``moss adapt`` and ``moss ood``: derive a checkpoint from another one."""

import argparse
import json
import logging
from pathlib import Path

from moss_perception.cli.common import add_checkpoint, print_json
from moss_perception.cli.outcome_tables import check_tables
from moss_perception.cli.topic_options import (
    add_camera_options,
    add_topic_options,
    add_topics_by_recording,
    domain_of,
    recordings_of,
)
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path
from moss_perception.models.manifest import read_header, training_seeds, verify
from moss_perception.runtime.lead_times import check_lead_time
from tqdm import tqdm

NOT_WRITTEN = 3


def add_adapt(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss adapt``."""
    parser.set_defaults(handler=adapt)
    parser.description = (parser.description or '') + (
        ' Prints the result of the cross-validation as JSON. Needs torch.')
    parser.add_argument('--bag', nargs='+', required=True, metavar='[DOMAIN:]BAG',
                        help='recordings with labelled attempts')
    parser.add_argument('--out', required=True, metavar='FILE',
                        help='checkpoint to write (.safetensors); the graphs are written beside '
                             'it; an existing file is never overwritten')
    add_checkpoint(parser)
    parser.add_argument('--outcomes', action='append', default=[], metavar='FILE',
                        help='start, end and success of the attempts, if the recordings do not '
                             'contain them: one file for all recordings, or one for each in '
                             "order, where '' stands for those in the recording")
    add_topic_options(parser)
    add_topics_by_recording(parser)
    add_camera_options(parser)
    parser.add_argument('--lead-time', type=float, metavar='S',
                        help='time from the decision until the fingers close, in seconds, of '
                             'attempts without a recorded one; needs a checkpoint with time '
                             "inputs (default: the checkpoint's)")
    parser.add_argument('--head', action='store_true',
                        help='refit the last layer of each member as well as the calibration')
    parser.add_argument('--folds', type=int, default=5, metavar='N',
                        help='number of cross-validation folds (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='random seed (default: %(default)s)')
    parser.add_argument('--force', action='store_true',
                        help='write the checkpoint even if cross-validation shows no improvement')
    parser.add_argument('--graphs', action=argparse.BooleanOptionalAction, default=True,
                        help='export graphs for ONNX Runtime (default: yes)')
    parser.add_argument('--threads', type=int, default=0, metavar='N',
                        help='number of threads (default: torch chooses)')


def adapt(arguments: argparse.Namespace) -> int:
    """Cross-validate, refit to all attempts and write the new checkpoint."""
    from moss_perception.evaluation.comparison import compare_adaptation
    from moss_perception.evaluation.evidence import collect
    from moss_perception.models.checkpoint import network_of
    from moss_perception.models.manifest import read_checkpoint
    from moss_perception.models.readout import Readout, with_head
    from moss_perception.runtime.ood import read_distribution
    from moss_perception.training.adapt import cross_validate, fit_calibration, fit_head
    from moss_perception.training.derive import refuse_existing, write_derived
    from moss_perception.training.samples import without_lead_time

    log = logging.getLogger('adapt')
    if arguments.folds < 2:
        raise ConfigError(f'folds={arguments.folds} is not allowed: expected 2 or more')
    path, out = model_path(arguments.model), Path(arguments.out).expanduser()
    refuse_existing(out)
    checkpoint = read_checkpoint(path, arguments.sha256)
    network = with_head(network_of(checkpoint))
    check_lead_time(network.config, arguments.lead_time)
    recordings = recordings_of(arguments, [domain_of(text) for text in arguments.bag])
    for why in check_tables([(x.path, x.outcomes, x.topics) for x in recordings], log):
        log.warning('%s', why)
    evidence, records = collect(network, recordings, arguments.threads, arguments.lead_time)
    _log_unused_attempts(records, len(evidence), log)
    if network.config.time_inputs and arguments.lead_time is None and evidence.without_lead_time:
        log.warning('%s', without_lead_time(
            evidence.without_lead_time, f'{len(evidence)} attempts',
            f'checkpoint, {network.config.default_lead_time_s:.3f} s', '--lead-time'))
    readout, fit = Readout.of(network), fit_head if arguments.head else fit_calibration
    rounds = cross_validate(fit, readout, evidence, folds=arguments.folds, seed=arguments.seed)
    found = compare_adaptation(readout.scores(evidence), rounds, evidence.outcomes.numpy() > 0.5,
                               arguments.seed)
    refitted = 'calibration and head' if arguments.head else 'calibration'
    result = {'model_sha256': network.sha256, 'refitted': refitted, **found}
    print(json.dumps(result, indent=2))
    log.info('%s: %s', refitted, _in_words(found))
    if found['change'] >= 0 and not arguments.force:
        log.warning('nothing was written: expected a lower log loss, or --force')
        return NOT_WRITTEN
    made, notes = fit(readout, evidence).put_into(network), checkpoint.notes
    notes['lineage'] = [*notes.get('lineage', []), {
        'from': network.sha256, 'by': 'adapt', 'refitted': refitted,
        'bags': [{'name': Path(record.path).name, 'attempts': len(record.attempts)}
                 for record in records], 'cross_validation': found}]
    digest = write_derived(out, made, notes, read_distribution(checkpoint), arguments.graphs)
    log.info('wrote %s, sha256 %s, temperature %.3f', out, digest, made.config.temperature)
    return 0


def _in_words(found: dict) -> str:
    """Describe in one line whether refitting improves the scores."""
    before, after = found['before'], found['after']
    verdict = {'helps': 'it helps', 'harms': 'it harms',
               'cannot be told': f'{found["attempts"]} attempts are too few to tell whether it '
                                 'helps'}[found['verdict']]
    return (f'{verdict}: on held-out attempts, log loss {before["log_loss"]:.3f} -> '
            f'{after["log_loss"]:.3f} (change {found["change"]:+.3f}, 95 % interval '
            f'{found["low"]:+.3f} to {found["high"]:+.3f}), Brier {before["brier"]:.3f} -> '
            f'{after["brier"]:.3f}, ECE {before["ece"]:.3f} -> {after["ece"]:.3f}, AUROC '
            f'{before["auroc"]:.3f} -> {after["auroc"]:.3f}')


def _log_unused_attempts(records: list, used: int, log: logging.Logger) -> None:
    from moss_perception.evaluation.findings import causes
    attempts = [attempt for record in records for attempt in record.attempts]
    log.info('%d of %d attempts have a score at their decision', used, len(attempts))
    if elsewhere := [attempt for attempt in attempts if attempt.scored_elsewhere]:
        log.warning('%d attempts are left out, because their executed grasps have no score: %s',
                    len(elsewhere), causes(elsewhere))
    for record in records:
        for line in (*record.unmatched, *record.warnings, *record.notes):
            log.warning('%s: %s', record.path, line)


def add_ood(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss ood``."""
    actions = parser.add_subparsers(required=True, metavar='ACTION')
    fit = actions.add_parser(
        'fit', help='fit the distribution of the training images and store it in a new '
                    'checkpoint (moss train does so already)')
    fit.set_defaults(handler=fit_ood)
    fit.add_argument('--out', required=True, metavar='FILE',
                     help='checkpoint to write (.safetensors)')
    fit.add_argument('--replace', action='store_true', help='allow --out to overwrite a file')
    measure = actions.add_parser(
        'measure', help='measure how well features and distances detect OOD scenes')
    measure.set_defaults(handler=measure_ood)
    measure.add_argument('--in-distribution', required=True, metavar='DIR',
                         help='in-distribution scenes that were not used for training')
    measure.add_argument('--shifted', required=True, metavar='DIR',
                         help='out-of-distribution scenes')
    measure.add_argument('--limit', type=int, default=200, metavar='N',
                         help='use at most N scenes of each folder, and five times as many of '
                              'the training scenes (default: %(default)s)')
    measure.add_argument('--out', metavar='FILE', help='also write the JSON to this file')
    for action in fit, measure:
        action.add_argument('--scenes', required=True, nargs='+', metavar='DIR',
                            help='the training scenes of the checkpoint')
        action.add_argument('--domain', default='', metavar='NAME',
                            help='take the distribution from the training scenes of this domain '
                                 'alone, such as sim (default: from all)')
        add_checkpoint(action)


def fit_ood(arguments: argparse.Namespace) -> int:
    """Fit the distribution of a checkpoint, and write a new checkpoint with its graphs."""
    from moss_perception.models.checkpoint import load_checkpoint
    from moss_perception.runtime.torch_engine import TorchEngine
    from moss_perception.training.derive import refuse_existing, write_derived
    from moss_perception.training.ood import learn_distribution
    path, out = model_path(arguments.model), Path(arguments.out)
    if not arguments.replace:
        refuse_existing(out)
    network = load_checkpoint(path, arguments.sha256)
    fitted, held_out, notes = _training_scenes(arguments, path)
    watched = bool(notes.get('recipe', {}).get('monitor'))
    distribution = learn_distribution(TorchEngine(network), fitted, held_out, watched)
    notes['lineage'] = [*notes.get('lineage', []), {
        'from': network.sha256, 'by': 'ood fit',
        **({'domain': arguments.domain} if arguments.domain else {})}]
    digest = write_derived(out, network, notes, distribution)
    logging.getLogger('ood').info('wrote %s, sha256 %s', out, digest)
    return 0


def measure_ood(arguments: argparse.Namespace) -> int:
    """Print how well each feature and distance separates the shifted scenes from the others."""
    from moss_perception.data.scenes import load_scenes
    from moss_perception.evaluation.comparison import compare_features
    from moss_perception.runtime.engine import load_engine
    from moss_perception.training.ood import spread_out
    path, most = model_path(arguments.model), arguments.limit
    engine = load_engine(str(path), arguments.sha256, threads=1)
    fitted, held_out, _ = _training_scenes(arguments, path)
    chosen = {'fitted': spread_out(fitted, 4 * most), 'held_out': spread_out(held_out, most)}
    for name, folder in (('in_distribution', arguments.in_distribution),
                         ('ood', arguments.shifted)):
        chosen[name] = spread_out(load_scenes(folder), most)
    sets = {name: _features(engine, tqdm(some, desc=name, unit='scene', disable=None))
            for name, some in chosen.items()}
    print_json({'model_sha256': verify(path, arguments.sha256),
                'training_domain': arguments.domain or 'all',
                'scenes': {name: len(some) for name, some in chosen.items()},
                'rows': compare_features(sets)}, arguments.out)
    return 0


def _features(engine, scenes) -> dict:
    """Compute several features of scenes: what frames look like, by part, and their motion."""
    from moss_perception.training.ood import step_window
    import numpy as np
    channels = getattr(engine.config, 'channels', ())
    bounds = np.cumsum([0, 6, *(2 * n for n in channels)])
    parts = ('colours', 'stride 2', 'stride 4', 'stride 8')
    found: dict[str, list] = {}
    for scene in scenes:
        looks, motion = step_window(engine, scene)
        positions = motion.reshape(-1, motion.shape[-1])
        each = {name: looks[begin:end] for name, begin, end in zip(
            parts, bounds, bounds[1:], strict=False)} if channels else {}
        each |= {'all of them': looks, 'MOSS map, mean and spread':
                 np.concatenate([positions.mean(axis=0), positions.std(axis=0)])}
        for name, values in each.items():
            found.setdefault(name, []).append(values)
    return {name: np.array(values, np.float64) for name, values in found.items()}


def _training_scenes(arguments: argparse.Namespace, checkpoint: Path) -> tuple[list, list, dict]:
    """
    Load the scenes that a checkpoint was trained on; refuse others.

    :returns: those that it was fitted to and those that were held out, of the domain that is
        asked for; and the checkpoint's notes.
    """
    from moss_perception.data.scenes import load_sets
    from moss_perception.evaluation.training_scenes import seeds_in_words
    from moss_perception.training.holding_out import split
    folders, notes = arguments.scenes, read_header(checkpoint)[1]
    seeds = training_seeds(notes)
    sets = load_sets(folders)
    scenes = [scene for scene in sum(sets, []) if scene.seed is not None
              and any(first <= scene.seed <= last for first, last in seeds)]
    if len(scenes) != notes.get('scenes', len(scenes)) or not scenes:
        raise ConfigError(f'{", ".join(map(str, folders))}: {len(scenes)} of the '
                          f'{sum(map(len, sets))} scenes are those that the checkpoint was '
                          f'trained on: expected {notes.get("scenes", "some")}, with seeds '
                          f'{seeds_in_words(seeds)}')
    domains = sorted({scene.domain for scene in scenes} - {''})
    if arguments.domain and arguments.domain not in domains:
        raise ConfigError(f'--domain {arguments.domain} is not allowed: the training scenes are '
                          f'of the domains {", ".join(domains) or "-"}')
    fitted, held_out = ([scene for scene in some if arguments.domain in ('', scene.domain)]
                        for some in split(scenes))
    return fitted, held_out, notes
