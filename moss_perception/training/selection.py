"""Which samples a training takes, and whether they allow what its settings ask for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
import hashlib
import logging

from moss_perception.core.errors import ConfigError, DataError, ShapeError
from moss_perception.data.schema import Sample
from moss_perception.models.config import ModelConfig
from moss_perception.training.holding_out import check_apart
from moss_perception.training.samples import content_of, with_lead_time, without_lead_time
from moss_perception.training.settings import Settings
import numpy as np

FEWEST_SAMPLES = 10
"""Fewest samples with a label that a training takes."""

# With fewer, held-out figures tell little.
_FEW_SAMPLES = 20
_FEW_OF_EACH = 5
_LOG = logging.getLogger('train')


@dataclass(frozen=True)
class SampleSet:
    """
    One of the sets of samples that a training mixes.

    :ivar name: of its folder.
    :ivar count: number of its samples.
    :ivar weight: how often an epoch draws each, see :class:`moss_perception.training.draws.Draws`.
    :ivar held_out: whether all of them are held out, and none is drawn.
    """

    name: str
    count: int
    weight: float = 1.0
    held_out: bool = False


@dataclass(frozen=True)
class Selection:
    """
    The samples to train with.

    :ivar samples: those with a label.
    :ivar weights: one for each sample, see :class:`moss_perception.training.draws.Draws`.
    :ivar names: of the set of each sample, empty without sets.
    :ivar held_out: whether each sample is of a set that is held out.
    :ivar settings: without losses that the samples do not allow.
    :ivar without_lead_time: number of samples that do not know their lead time and have the
        checkpoint's default, which a network with time inputs takes.
    """

    samples: list[Sample]
    weights: list[float]
    names: list[str]
    held_out: list[bool]
    settings: Settings
    without_lead_time: int = 0

    def where(self, mask: np.ndarray) -> 'Selection':
        """Return the samples where a mask, bool, shape ``(N,)``, is true."""
        chosen = np.flatnonzero(mask)
        return replace(self, samples=[self.samples[n] for n in chosen],
                       weights=[self.weights[n] for n in chosen],
                       names=[self.names[n] for n in chosen],
                       held_out=[self.held_out[n] for n in chosen])

    def digest(self) -> str:
        """Hash the samples and their weights, to tell whether a training resumes with them."""
        digest = hashlib.sha256(repr(self.weights).encode())
        if any(self.held_out):
            digest.update(repr(self.held_out).encode())
        for sample in self.samples:
            # By seed and groups, samples are held out.
            digest.update(repr((sample.title, sample.domain, sample.cell, sample.split,
                                sample.seed, sorted(sample.groups.items()))).encode())
            for part in content_of(sample):
                digest.update(part)
        return digest.hexdigest()


def select(settings: Settings, samples: Sequence[Sample], sets: Sequence[SampleSet] = (),
           usual_lead_time_s: float | None = None) -> Selection:
    """
    Leave out samples without a label, and turn off losses that the samples do not allow.

    :param sets: which samples belong together, in their order; empty for one set.
    :param usual_lead_time_s: of samples that do not know theirs, if the settings give none and
        the network takes time, seconds: that of the initial checkpoint; ``None`` if it has none.
    :raises ConfigError: if the samples are too few, or lack what the settings ask for by name.
    :raises DataError: if a label is neither 0 nor 1.
    """
    owners = [one for one in sets or [SampleSet('', len(samples))] for _ in range(one.count)]
    kept = [n for n, sample in enumerate(samples) if sample.labelled.any()]
    labelled, recipe = [samples[n] for n in kept], settings.recipe()
    if len(labelled) < len(samples):
        _LOG.warning('%d of %d samples have no labelled candidate and are left out',
                     len(samples) - len(labelled), len(samples))
    if recipe.monitor and not any(
            sample.attempt is not None and sample.attempt.jpegs for sample in labelled):
        raise ConfigError(f'monitor={recipe.monitor} asks for images of grasps under '
                          'way, and no sample has any: expected monitor: 0')
    if recipe.mask_weight and all(sample.object_mask is None for sample in labelled):
        raise ConfigError(f"mask_weight={recipe.mask_weight} asks for a loss on the object's "
                          'mask, and no sample has one: expected mask_weight: 0')
    labelled = with_lead_time(labelled, recipe.lead_time or None)
    without = 0
    if usual_lead_time_s is not None and settings.network.get('time_inputs'):
        without = sum(not np.isfinite(sample.lead_time_s) for sample in labelled)
        labelled = with_lead_time(labelled, usual_lead_time_s)
    if without:
        _LOG.warning('%s', without_lead_time(
            without, f'{len(labelled)} samples', f'initial checkpoint, {usual_lead_time_s:.3f} s, '
            'and the model card says so', 'moss import --lead-time'))
    _check_lead_times(settings, labelled)
    settings = _check_tracks(settings, labelled)
    apart = [owners[n].held_out for n in kept]
    check_apart(labelled, apart)
    _check_labels([sample for sample, held in zip(labelled, apart, strict=True) if not held])
    return Selection(labelled, [owners[n].weight for n in kept], [owners[n].name for n in kept],
                     apart, settings, without)


def _check_labels(samples: list[Sample]) -> None:
    """
    Check the labels and their number, and log what makes a training weak.

    :raises ConfigError: if they are too few, or all the same.
    :raises DataError: if one is neither 0 nor 1.
    """
    for sample in samples:
        known = sample.labels[sample.labelled]
        wrong = known[~np.isin(known, (0, 1))]
        if len(wrong):
            raise DataError(f'{sample.title} has the label {wrong[0]:g}: expected 1 for a success '
                            'and 0 for a failure, and no label where the outcome is not known')
    if len(samples) < FEWEST_SAMPLES:
        raise ConfigError(f'{len(samples)} samples with a label are too few to train on: expected '
                          f'{FEWEST_SAMPLES} or more')
    held, count = _count_outcomes(samples)
    if len(samples) < _FEW_SAMPLES:
        _LOG.warning('%d samples are few: held-out figures tell little below %d', len(samples),
                     _FEW_SAMPLES)
    if min(held, count - held) < _FEW_OF_EACH:
        _LOG.warning('%d successes and %d failures are few: expected at least %d of each', held,
                     count - held, _FEW_OF_EACH)
    cameras = count_calibrations(samples)
    if cameras > 1:
        _LOG.info('%d calibrations: each sample is taken with its own', cameras)


def check_left(samples: Sequence[Sample], group: str) -> None:
    """
    Check the samples that are left to train on after some were held out.

    :param samples: with at least one labelled candidate each.
    :param group: by which whole groups were held out; empty for every tenth sample.
    :raises ConfigError: if they are too few, or all have one outcome.
    """
    if group and len(samples) < FEWEST_SAMPLES:
        raise ConfigError(f'--hold-out-by {group} leaves {len(samples)} samples to train on: '
                          f'expected {FEWEST_SAMPLES} or more; hold out by a group with more '
                          'values')
    _count_outcomes(samples, ' that are left to train on', '; hold out others')


def check_windows(samples: Sequence[Sample], config: ModelConfig) -> None:
    """
    Check that the images of samples span a network's window.

    :param config: the network's configuration.
    :raises DataError: naming how many do not, and one of them.
    """
    short = []
    for sample in samples:
        try:
            sample.window(config.window_frames, config.frame_rate_hz)
        except ShapeError as error:
            short.append(str(error))
    if short:
        raise DataError(f'{len(short)} of {len(samples)} samples have too few images for the '
                        f'window of the network: {short[0]}; import them again with more time '
                        'before the decision, or leave them out')


def _count_outcomes(samples: Sequence[Sample], which: str = '',
                    advice: str = '') -> tuple[int, int]:
    """
    Count the successes, and all labelled candidates.

    :param which: says which samples these are, in words.
    :raises ConfigError: if all have one outcome.
    """
    labels = np.concatenate([sample.labels[sample.labelled] for sample in samples])
    held = int(labels.sum())
    if held in (0, len(labels)):
        raise ConfigError(f'all {len(labels)} labelled candidates{which} are '
                          f'{"successes" if held else "failures"}: expected both, from which a '
                          f'network can learn what makes the difference{advice}')
    return held, len(labels)


def count_calibrations(samples: Sequence[Sample]) -> int:
    """Count the different calibrations of samples, with the size of their images."""
    return len({(sample.image_size, np.asarray(sample.matrix).tobytes(), sample.distortion_model,
                 b'' if sample.distortion is None else sample.distortion.tobytes())
                for sample in samples})


def _check_tracks(settings: Settings, samples: list[Sample]) -> Settings:
    """
    Turn the loss on the object's track off if no sample has one.

    :raises ConfigError: if the settings ask for it by name.
    """
    recipe, tracked = settings.recipe(), sum(sample.track is not None for sample in samples)
    if recipe.place_weight and not tracked:
        if 'place_weight' in settings.training:
            raise ConfigError(f"place_weight={recipe.place_weight} asks for a loss on the object's"
                              ' track, and no sample has one: expected place_weight: 0')
        _LOG.warning("no sample has the object's track: training without the auxiliary loss on it")
        return settings.changed(place_weight=0.0)
    if recipe.place_weight and tracked < len(samples):
        _LOG.info("%d of %d samples have the object's track: the others do not count in the "
                  'auxiliary loss on it', tracked, len(samples))
    return settings


def _check_lead_times(settings: Settings, samples: list[Sample]) -> None:
    """
    Check that the samples know the times that the settings ask for.

    :raises ConfigError: if they do not.
    """
    recipe = settings.recipe()
    known = sum(bool(np.isfinite(sample.lead_time_s)) for sample in samples)
    if settings.network.get('time_inputs') and known < len(samples):
        raise ConfigError(f'{len(samples) - known} of {len(samples)} samples have no lead time, '
                          'which a network with time_inputs takes: expected the time from the '
                          'decision until the fingers close, by moss import --lead-time SECONDS, '
                          'lead_time: SECONDS in the section training of --config, or an '
                          '--initial checkpoint with time_inputs, whose default is taken')
    if recipe.motion_weight and not any(
            sample.track is not None and np.isfinite(sample.lead_time_s) for sample in samples):
        raise ConfigError(f'motion_weight={recipe.motion_weight} asks for a loss on motion, and '
                          "no sample has both the object's track and its lead time: expected "
                          'motion_weight: 0')
    if recipe.vary_lead_times and all(sample.other_lead_times_s is None for sample in samples):
        raise ConfigError('vary_lead_times=True asks for labels at other lead times, and no '
                          'sample has any: expected vary_lead_times: false')
