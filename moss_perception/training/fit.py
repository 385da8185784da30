"""One training, from samples to a checkpoint with its graphs."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
import logging
from pathlib import Path

from moss_perception.core.calibration import fit_temperature, fit_threshold
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.memory import keep_freed_memory
from moss_perception.data.schema import Sample
from moss_perception.models.base import build
from moss_perception.models.checkpoint import Network, save_checkpoint
from moss_perception.models.config import ModelConfig
from moss_perception.models.export import export_graphs
from moss_perception.models.manifest import file_sha256, read_header
from moss_perception.runtime.torch_engine import TorchEngine
from moss_perception.training.dataset import GraspClips
from moss_perception.training.decoding import decode_clips
from moss_perception.training.derive import (
    refuse_existing,
    refuse_shipped,
    same_layers,
    start_from,
    written_whole,
)
from moss_perception.training.feature_cache import FeatureCache, is_complete
from moss_perception.training.gripper import with_gripper
from moss_perception.training.holding_out import held_out
from moss_perception.training.ood import learn_distribution
from moss_perception.training.processes import Group
from moss_perception.training.results import (
    count_seen,
    label_numbers,
    probabilities,
    ranges_of,
    Results,
    score_before,
)
from moss_perception.training.samples import measure, measure_lead_times
from moss_perception.training.selection import (
    check_left,
    check_windows,
    SampleSet,
    select,
    Selection,
)
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
    :ivar initial: checkpoint to begin with, see
        :func:`moss_perception.training.derive.start_from`; empty for none. Settings without a
        model take its network.
    :ivar hold_out_by: name of the group by which whole groups are held out; empty for every tenth
        sample.
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
    hold_out_by: str = ''
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
        if not self.only_cache:
            refuse_existing(self.out)

    def initial_config(self) -> ModelConfig | None:
        """Return the configuration of the initial checkpoint, if there is one."""
        return read_header(self.initial)[0] if self.initial else None


def fit(plan: Plan, samples: Sequence[Sample], sets: Sequence[SampleSet] = (),
        report: Callable[[Results], None] | None = None) -> str:
    """
    Train, calibrate on held-out samples, and write the checkpoint and its graphs, all or none.

    Every tenth sample, whole groups, or sets that are meant for it, are held out, for the loss
    curve, the temperature and the threshold.
    Samples without a label are left out. Several processes that torchrun started train together.

    :param samples: with their labelled candidates in the image, see
        :func:`moss_perception.data.scenes.in_view`.
    :param sets: which samples belong together, and how often an epoch draws them, or whether they
        are held out; empty for one set.
    :param report: takes the results on the held-out samples, where the checkpoint is written; what
        it writes beside the checkpoint is written with it or not at all.
    :returns: the checkpoint's SHA-256; empty where another process writes it, and with
        ``only_cache``.
    :raises ConfigError: if the samples lack what the plan asks for by name.
    """
    initial = plan.initial_config()
    settings = with_gripper(plan.settings, samples, sets, initial)
    usual = initial.default_lead_time_s if initial and initial.time_inputs else None
    selection = select(settings.of_checkpoint(initial) if initial else settings, samples, sets,
                       usual)
    group = Group.join(plan.device)
    try:
        with _removed_if_empty(plan.run):
            digest = _train(replace(plan, settings=selection.settings), selection, sets, group,
                            report)
        group.wait()
    finally:
        group.leave()
    return digest


@contextmanager
def _removed_if_empty(folder: Path):
    """Remove a folder and those above it that an error leaves empty, if they were not there."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for one in new:
                one.rmdir()
        raise


def _train(plan: Plan, selection: Selection, sets: Sequence[SampleSet], group: Group,
           report: Callable[[Results], None] | None) -> str:
    """Train, and write the checkpoint if this process leads; nothing with ``only_cache``."""
    keep_freed_memory()
    if plan.threads:
        torch.set_num_threads(plan.threads)
    recipe = plan.settings.recipe()
    torch.manual_seed(recipe.seed)
    mask = np.array(selection.held_out)
    if not mask.any():
        mask = held_out(selection.samples, plan.hold_out_by)
    trained, held = selection.where(~mask), selection.where(mask)
    check_left(trained.samples, plan.hold_out_by)
    used, others = trained.samples, held.samples
    config = _configuration(plan, used)
    check_windows(selection.samples, config)
    network = build(config)
    initial = start_from(network, plan.initial) if plan.initial else ''
    trainer = Trainer(network, recipe, plan.run, group=group, workers=plan.workers,
                      data=f'{selection.digest()} {initial} {plan.hold_out_by}')
    trainer.resume()
    if group.leads:
        _LOG.info('%d samples to train on, %d held out, %d parameters; next is epoch %d of %d',
                  len(used), len(others), sum(p.numel() for p in network.parameters()),
                  trainer.epoch + 1, recipe.epochs)
    with _image_files(plan.run, group) as (used_file, held_out_file):
        clips = _clips(plan, trained, trainer, used_file)
        if plan.only_cache:
            assert isinstance(clips, FeatureCache)  # Plan refuses it without a folder
            clips.make(recipe.epochs)
            return ''
        checked = GraspClips(others, config, decode_clips(others, config, file=held_out_file))
        trainer.fit(clips, checked)
        if not group.leads:
            return ''
        notes = {'variant': plan.settings.name, 'held_out': len(others)}
        notes |= {'initial': initial} if initial else {}
        notes |= {'held_out_by': plan.hold_out_by} if plan.hold_out_by else {}
        if selection.without_lead_time:
            notes['without_lead_time'] = selection.without_lead_time
        if sets:
            notes['sets'] = [asdict(one) for one in sets]
        results, statistics = _measure(plan, trainer, checked, used, notes,
                                       [*trained.names, *held.names])
        return _write(plan, results, trainer.network.cpu(), statistics, report)


def _configuration(plan: Plan, used: list[Sample]) -> ModelConfig:
    """Make the network's configuration: what is measured on samples, or the initial one's."""
    measured = measure(used)
    timed = plan.settings.network.get('time_inputs')
    if timed:
        measured |= measure_lead_times(used, plan.settings.recipe().monitor > 0)
    initial = plan.initial_config()
    config = plan.settings.config(**measured)
    if initial is None or not same_layers(config, initial):
        return config
    # The weights were trained with these.
    config = replace(config, mean=initial.mean, std=initial.std)
    if timed:
        ranges = [*config.lead_times_s, *initial.lead_times_s]
        config = replace(config, lead_times_s=(min(ranges), max(ranges)))
    _LOG.info('configuration and normalisation are those of %s', plan.initial)
    return config


@contextmanager
def _image_files(folder: Path, group: Group):
    """Name the files for images that do not fit into memory, and delete them at the end."""
    files = [folder / f'{name}_{group.rank}.npy' for name in ('frames', 'held_out')]
    try:
        yield files
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def _clips(plan: Plan, selection: Selection, trainer: Trainer,
           file: Path) -> GraspClips | FeatureCache:
    """Make the items to train on: decoded images, or cached features of them."""
    recipe, config, samples = trainer.recipe, trainer.network.config, selection.samples
    if plan.cache and trainer.group.size > 1:
        raise ConfigError(f'--cache with {trainer.group.size} processes is not allowed: expected '
                          'one, which writes the features')
    complete = plan.cache and is_complete(plan.cache, recipe.epochs)
    decoded = None if complete else decode_clips(samples, config, file=file)
    clips = GraspClips(samples, config, decoded, augment=True, empty=recipe.empty,
                       monitor=recipe.monitor, photometric=recipe.photometric,
                       geometric=recipe.geometric, missing=recipe.missing, seed=recipe.seed,
                       artefacts=recipe.artefacts, candidate_shift=recipe.candidate_shift,
                       annealing=recipe.annealing, epochs=recipe.epochs,
                       rates=recipe.rates, vary_lead_times=recipe.vary_lead_times,
                       moving=recipe.motion_weight > 0,
                       covering=recipe.mask_weight > 0, weights=selection.weights)
    if not plan.cache:
        return clips
    return FeatureCache(clips, trainer.network, plan.cache, plan.workers)


def _measure(plan: Plan, trainer: Trainer, held: GraspClips, used: list[Sample], notes: dict,
             names: list[str]) -> tuple[Results, dict[str, np.ndarray] | None]:
    """Calibrate, and fit the OOD statistics to deploy; ``names``: of the sets of all samples."""
    network, recipe = trainer.network, trainer.recipe
    initial = plan.initial_config()
    alike = initial is not None and same_layers(network.config, initial)
    logits, outcomes = predict(network, held, recipe.batch, trainer.device)
    temperature = fit_temperature(logits.numpy(), outcomes.numpy(),
                                  initial.temperature if initial and alike else 1.0)
    network.config = replace(network.config, temperature=temperature)
    after = probabilities(logits, temperature)
    notes['score_threshold'] = threshold = fit_threshold(after, outcomes.numpy())
    statistics = None
    if plan.deploy and network.config.appearance_values:
        try:
            engine = TorchEngine(network, trainer.device)
            statistics = learn_distribution(engine, used, held.samples,
                                            recipe.monitor > 0).tensors()
        except ConfigError as error:
            _LOG.warning('the checkpoint has no OOD statistics: %s', error)
    samples = [*used, *held.samples]
    notes |= {'scenes': len(samples), 'recipe': asdict(recipe)}
    seeds = ranges_of(samples, names)
    if seeds:
        notes['seeds'] = seeds
    before = None
    if alike:
        before = score_before(plan.initial, held, recipe.batch, trainer.device)
        notes['held_out_seen_before'] = count_seen(plan.initial, held.samples)
    return Results(plan.out, '', notes, temperature, threshold, used, held.samples,
                   names[len(used):], outcomes.numpy() > 0.5, label_numbers(held.samples), after,
                   before, statistics is not None), statistics


def _write(plan: Plan, results: Results, network: Network,
           statistics: dict[str, np.ndarray] | None,
           report: Callable[[Results], None] | None) -> str:
    """Write the checkpoint, its graphs and its report, all or none; return its digest."""
    with written_whole(plan.out) as made:
        digest = save_checkpoint(made, network, results.notes, statistics)
        if plan.deploy:
            digest = _export(plan.out, made, digest)
        if report is not None:
            report(replace(results, out=made, digest=digest))
    _LOG.info('wrote %s, sha256 %s, temperature %.3f', plan.out, digest, results.temperature)
    _LOG.info('the best threshold of its scores is %.2f; to set it: grasp_gate --ros-args '
              '-p min_score:=%.2f -p release_score:=%.2f', results.threshold, results.threshold,
              max(0.0, results.threshold - 0.1))
    return digest


def _export(out: Path, made: Path, digest: str) -> str:
    """
    Export a checkpoint before it has its place, and return its digest, which covers its graphs.

    :raises CheckpointError: if a graph can't be used, with what to do.
    """
    try:
        export_graphs(made, digest, lambda name: _LOG.info('exporting %s', name))
    except ConfigError as error:
        _LOG.warning('%s; for the engine onnxruntime, run: export %s', error, out)
    except CheckpointError as error:
        raise CheckpointError(f'{error}; to write {out} without graphs, repeat the command with '
                              '--no-graphs: the training is finished') from error
    return file_sha256(made)
