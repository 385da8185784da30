"""One training, from samples to a checkpoint with its graphs."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
import logging
from pathlib import Path

from moss_perception.core.calibration import fit_temperature
from moss_perception.core.errors import ConfigError
from moss_perception.data.schema import Sample
from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.export import export_graphs
from moss_perception.runtime.torch_engine import TorchEngine
from moss_perception.training.dataset import GraspClips
from moss_perception.training.decoding import decode_clips
from moss_perception.training.derive import refuse_shipped, start_from
from moss_perception.training.feature_cache import FeatureCache, is_complete
from moss_perception.training.ood import learn_distribution
from moss_perception.training.processes import Group, keep_freed_memory
from moss_perception.training.samples import measure, measure_lead_times, split, with_lead_time
from moss_perception.training.settings import Settings
from moss_perception.training.trainer import predict, Trainer
import numpy as np
import torch

_LOG = logging.getLogger('train')


@dataclass(frozen=True)
class Plan:
    """
    What to train and where to write it.

    :ivar settings: the network and the recipe.
    :ivar run: folder of the log and of the state from which a training resumes.
    :ivar out: checkpoint to write.
    :ivar initial: checkpoint that initialises the backbone and the head; empty for none.
    :ivar cache: folder for the features of the backbone's frozen stages; ``None`` for none.
    :ivar only_cache: compute the features of all epochs, and end.
    :ivar device: a device that torch knows.
    :ivar threads: number of torch's threads; 0: torch chooses.
    :ivar workers: number of subprocesses that prepare clips; 0 for none.
    :ivar deploy: fit the OOD statistics and export graphs for ONNX Runtime.
    :raises ConfigError: if a value is not allowed.
    """

    settings: Settings
    run: Path
    out: Path
    initial: str = ''
    cache: Path | None = None
    only_cache: bool = False
    device: str = 'cpu'
    threads: int = 0
    workers: int = 0
    deploy: bool = True

    def __post_init__(self):
        if self.only_cache and self.cache is None:
            raise ConfigError('--only-cache needs a folder: expected --cache FOLDER')
        if self.workers < 0:
            raise ConfigError(f'--workers {self.workers} is not allowed: expected 0 or more')
        recipe = self.settings.recipe()
        if recipe.frozen_stages and not self.initial:
            raise ConfigError(f'frozen_stages={recipe.frozen_stages} needs --initial: expected a '
                              'checkpoint in which these stages are trained')
        refuse_shipped(self.out)
        refuse_shipped(self.run)


def fit(plan: Plan, samples: Sequence[Sample]) -> str:
    """
    Train, calibrate on held-out samples, and write the checkpoint and its graphs.

    Every tenth sample is held out, for the loss curve and the temperature. Samples without a
    label are left out. Several processes that torchrun started train together.

    :param samples: with their labelled candidates in the image, see
        :func:`moss_perception.data.scenes.in_view`.
    :returns: the checkpoint's SHA-256; empty where another process writes it, and with
        ``only_cache``.
    :raises ConfigError: if the samples lack what the plan asks for by name.
    """
    samples, settings = _select(plan.settings, samples)
    group = Group.join(plan.device)
    try:
        digest = _train(replace(plan, settings=settings), samples, group)
        if digest and plan.deploy:
            _export(plan.out, digest)
        group.wait()
    finally:
        group.leave()
    return digest


def _select(settings: Settings, samples: Sequence[Sample]) -> tuple[list[Sample], Settings]:
    """Leave out samples without a label, and turn off losses that the samples do not allow."""
    labelled, recipe = [sample for sample in samples if sample.labelled.any()], settings.recipe()
    if len(labelled) < len(samples):
        _LOG.warning('%d of %d samples have no labelled candidate and are left out',
                     len(samples) - len(labelled), len(samples))
    if len(labelled) < 2:
        raise ConfigError(f'{len(labelled)} samples with a label are too few to train on: '
                          'expected 2 or more')
    if recipe.monitor and not any(
            sample.attempt is not None and sample.attempt.jpegs for sample in labelled):
        raise ConfigError(f'monitor={recipe.monitor} asks for images of grasps under '
                          'way, and no sample has any: expected monitor: 0')
    if recipe.mask_weight and all(sample.object_mask is None for sample in labelled):
        raise ConfigError(f"mask_weight={recipe.mask_weight} asks for a loss on the object's "
                          'mask, and no sample has one: expected mask_weight: 0')
    labelled = with_lead_time(labelled, recipe.lead_time)
    _check_lead_times(settings, labelled)
    tracked = sum(sample.track is not None for sample in labelled)
    if recipe.place_weight and not tracked:
        if 'place_weight' in settings.training:
            raise ConfigError(f"place_weight={recipe.place_weight} asks for a loss on the object's"
                              ' track, and no sample has one: expected place_weight: 0')
        _LOG.warning("no sample has the object's track: training without the auxiliary loss on it")
        settings = settings.changed(place_weight=0.0)
    elif recipe.place_weight and tracked < len(labelled):
        _LOG.info("%d of %d samples have the object's track: the others do not count in the "
                  'auxiliary loss on it', tracked, len(labelled))
    return labelled, settings


def _check_lead_times(settings: Settings, samples: list[Sample]) -> None:
    """
    Check that the samples know the times that the settings ask for.

    :raises ConfigError: if they do not.
    """
    recipe = settings.recipe()
    known = sum(bool(np.isfinite(sample.lead_time_s)) for sample in samples)
    if settings.network.get('time_inputs') and known < len(samples):
        raise ConfigError(f'{len(samples) - known} of {len(samples)} samples have no lead time, '
                          'which a network with time_inputs takes: expected lead_time: SECONDS, '
                          'from the decision until the fingers close, in the training section')
    if recipe.motion_weight and not any(
            sample.track is not None and np.isfinite(sample.lead_time_s) for sample in samples):
        raise ConfigError(f'motion_weight={recipe.motion_weight} asks for a loss on motion, and '
                          "no sample has both the object's track and its lead time: expected "
                          'motion_weight: 0')
    if recipe.vary_lead_times and all(sample.other_lead_times_s is None for sample in samples):
        raise ConfigError('vary_lead_times=True asks for labels at other lead times, and no '
                          'sample has any: expected vary_lead_times: false')


def _train(plan: Plan, samples: list[Sample], group: Group) -> str:
    """Train, write the checkpoint if this process leads, and return its SHA-256 or nothing."""
    keep_freed_memory()
    if plan.threads:
        torch.set_num_threads(plan.threads)
    recipe = plan.settings.recipe()
    torch.manual_seed(recipe.seed)
    used, held_out = split(samples)
    measured = measure(used)
    if plan.settings.network.get('time_inputs'):
        measured |= measure_lead_times(used, recipe.monitor > 0)
    config = plan.settings.config(**measured)
    network = build(config)
    initial = start_from(network, plan.initial) if plan.initial else ''
    trainer = Trainer(network, recipe, plan.run, group=group, workers=plan.workers)
    trainer.resume()
    if group.leads:
        _LOG.info('%d samples to train on, %d held out, %d parameters; next is epoch %d of %d',
                  len(used), len(held_out), sum(p.numel() for p in network.parameters()),
                  trainer.epoch + 1, recipe.epochs)
    with _image_files(plan.run, group) as (used_file, held_out_file):
        clips = _clips(plan, used, trainer, used_file)
        if plan.only_cache:
            assert isinstance(clips, FeatureCache)  # Plan refuses it without a folder
            clips.make(recipe.epochs)
            return ''
        checked = GraspClips(held_out, config, decode_clips(held_out, config, file=held_out_file))
        trainer.fit(clips, checked)
    if not group.leads:
        return ''
    notes = {'variant': plan.settings.name} | ({'initial': initial} if initial else {})
    return _write(plan, trainer, checked, samples, notes)


@contextmanager
def _image_files(folder: Path, group: Group):
    """Name the files for images that do not fit into memory, and delete them at the end."""
    files = [folder / f'{name}_{group.rank}.npy' for name in ('frames', 'held_out')]
    try:
        yield files
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def _clips(plan: Plan, samples: list[Sample], trainer: Trainer,
           file: Path) -> GraspClips | FeatureCache:
    """Make the items to train on: decoded images, or cached features of them."""
    recipe, config = trainer.recipe, trainer.network.config
    if plan.cache and trainer.group.size > 1:
        raise ConfigError(f'--cache with {trainer.group.size} processes is not allowed: expected '
                          'one, which writes the features')
    complete = plan.cache and is_complete(plan.cache, recipe.epochs)
    decoded = None if complete else decode_clips(samples, config, file=file)
    clips = GraspClips(samples, config, decoded, augment=True, empty=recipe.empty,
                       monitor=recipe.monitor, photometric=recipe.photometric,
                       geometric=recipe.geometric, missing=recipe.missing, seed=recipe.seed,
                       annealing=recipe.annealing, epochs=recipe.epochs,
                       vary_lead_times=recipe.vary_lead_times, moving=recipe.motion_weight > 0,
                       covering=recipe.mask_weight > 0)
    if not plan.cache:
        return clips
    return FeatureCache(clips, trainer.network, plan.cache, plan.workers)


def _write(plan: Plan, trainer: Trainer, held_out: GraspClips, samples: list[Sample],
           notes: dict) -> str:
    """Calibrate, fit the OOD statistics for a checkpoint to be deployed, and write it."""
    network, recipe = trainer.network, trainer.recipe
    logits, outcomes = predict(network, held_out, recipe.batch, trainer.device)
    temperature = fit_temperature(logits.numpy(), outcomes.numpy())
    network.config = replace(network.config, temperature=temperature)
    statistics = None
    if plan.deploy and network.config.context_channels:
        try:
            engine = TorchEngine(network, trainer.device)
            statistics = learn_distribution(engine, samples, recipe.monitor > 0).tensors()
        except ConfigError as error:
            _LOG.warning('the checkpoint has no OOD statistics: %s', error)
    notes |= {'scenes': len(samples), 'recipe': asdict(recipe)}
    seeds = _ranges([sample.seed for sample in samples if sample.seed is not None])
    if seeds:
        notes['seeds'] = seeds
    digest = save_checkpoint(plan.out, network.cpu(), notes, statistics)
    _LOG.info('wrote %s, sha256 %s, temperature %.3f', plan.out, digest, temperature)
    return digest


def _ranges(seeds: list[int], gap: int = 1000) -> list[list[int]]:
    """Return the first and last seed of each set: those of two sets are far apart."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed - ranges[-1][1] <= gap:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ranges


def _export(out: Path, digest: str) -> None:
    try:
        export_graphs(out, digest, lambda name: _LOG.info('exporting %s', name))
    except ConfigError as error:
        _LOG.warning('%s; for the engine onnxruntime, run: export %s', error, out)
