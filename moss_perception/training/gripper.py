"""How far the gripper opens, in units of which a network sees grasps."""

from collections.abc import Sequence
import logging
import math

from moss_perception.core.errors import ConfigError
from moss_perception.data.schema import Sample
from moss_perception.models.config import ModelConfig
from moss_perception.training.selection import SampleSet
from moss_perception.training.settings import Settings

_FIELD = 'gripper_half_width_m'
_OPTION = '--gripper-opening'
# Nobody measures a gripper better: metres.
_SAME_M = 5e-4
_LOG = logging.getLogger('train')


def with_gripper(settings: Settings, samples: Sequence[Sample], sets: Sequence[SampleSet] = (),
                 initial: ModelConfig | None = None) -> Settings:
    """
    Take the gripper of the samples, unless the settings name one, and log which one it is.

    A network sees grasps in units of half the opening, and so its layers are the same for each
    gripper: a checkpoint of another one gives all its weights.

    :param settings: those of the user, without the network of the initial checkpoint.
    :param sets: which samples belong together, in their order; empty for one set.
    :param initial: configuration of the initial checkpoint; the samples take precedence.
    :raises ConfigError: if grippers of the samples differ, and the settings name none.
    """
    found = _openings(samples, sets)
    asked = settings.network.get(_FIELD)
    if asked is not None:
        if any(abs(opening - 2 * asked) > _SAME_M for opening in found):
            _LOG.warning('the network sees grasps as of a gripper that opens %g m, as you asked '
                         'for; that of the data opens %s', 2 * asked, _in_words(found))
        return settings
    if len(found) > 1:
        raise ConfigError(f'the grippers of the data open {_in_words(found)}: expected one '
                          'opening, in units of which a network sees grasps; name it with '
                          f'{_OPTION} METRES')
    own = None if initial is None else initial.gripper_half_width_m
    if not found:
        if own is not None:
            _LOG.info('the data do not say how far the gripper opens: %s stays %g, as in the '
                      'initial checkpoint; if yours does not open %g m, use %s METRES', _FIELD,
                      own, 2 * own, _OPTION)
        return settings
    opening, = found
    if own is not None and abs(opening - 2 * own) <= _SAME_M:
        return settings
    said = f"{_FIELD} is {opening / 2:g}, half of the gripper's opening of {_in_words(found)}"
    if own is None:
        _LOG.info('%s', said)
    else:
        _LOG.warning('%s; that of the initial checkpoint is %g; to keep it, use %s %g', said, own,
                     _OPTION, 2 * own)
    return settings.changed(**{_FIELD: opening / 2})


def _openings(samples: Sequence[Sample], sets: Sequence[SampleSet]) -> dict[float, list[str]]:
    """Return the names of the sets that have a gripper, by its opening in metres."""
    found: dict[float, list[str]] = {}
    first = 0
    for one in sets or [SampleSet('', len(samples))]:
        for sample in samples[first:first + one.count]:
            if math.isnan(sample.gripper_opening_m):
                continue
            # Sets that differ by less than anyone measures have one gripper.
            opening = next((x for x in found if abs(x - sample.gripper_opening_m) <= _SAME_M),
                           sample.gripper_opening_m)
            if one.name not in found.setdefault(opening, []):
                found[opening].append(one.name)
        first += one.count
    return found


def _in_words(found: dict[float, list[str]]) -> str:
    """Write the openings with the sets that have them."""
    return ', '.join(f'{opening:g} m' + (f' ({" and ".join(names)})' if any(names) else '')
                     for opening, names in sorted(found.items()))
