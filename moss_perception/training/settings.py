"""The settings of a training: the network and the recipe, read from a YAML file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, MISSING, replace
from pathlib import Path
import re
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import model_type
from moss_perception.models.config import ModelConfig

# Field names of earlier versions, which checkpoints and states hold.
_RENAMED = {'kept_stages': 'frozen_stages'}
# These fields are measured on the training samples.
MEASURED = {'mean', 'std', 'temperature', 'default_point', 'default_depth_m', 'default_yaw',
             'default_focal', 'lead_times_s', 'default_lead_time_s'}
_DEFAULT_MODEL = 'moss_grasp'
_NAME = re.compile(r'[a-z0-9][a-z0-9_]*')


@dataclass(frozen=True)
class Recipe:
    """
    The hyperparameters of a training.

    :ivar epochs: passes over the samples, at least 1.
    :ivar batch: clips per step.
    :ivar learning_rate: peak of AdamW's learning rate; linear warm-up, cosine decay.
    :ivar weight_decay: AdamW's.
    :ivar warm_up: share of all steps, in [0, 1).
    :ivar full_orders: probability, in [0, 1], that a step uses all self-similarity orders; else it
        draws a shorter prefix, so that any prefix works at run time.
    :ivar place_weight: weight, 0 or more, of the auxiliary loss on where the object is and will
        be. Samples without the object's track do not count in it.
    :ivar near: objects up to so many finger distances away count in that loss.
    :ivar empty: number of grasps at empty places that each clip adds as failures, 0 or more.
    :ivar monitor: share of the filmed attempts that each epoch adds as clips, in [0, 1], different
        ones in each epoch. The network then also learns to score grasps in progress.
    :ivar photometric: strength of the changes of colour, light, noise and sharpness, in [0, 1];
        with 0 only brightness and contrast vary.
    :ivar geometric: strength of the changes of the camera's pose and lens, in [0, 1].
    :ivar missing: largest share of a clip's frames to drop, in [0, 1].
    :ivar artefacts: strength of JPEG artefacts and of changes of exposure within a clip, in
        [0, 1].
    :ivar candidate_shift: standard deviation, metres, of a shift of all grasps of a clip, as by
        an error of the camera's pose.
    :ivar annealing: share of ``photometric`` that is gone in the last epoch, in [0, 1]; it falls
        in equal steps from the first.
    :ivar rates: lowest and highest rate of a clip's camera, Hz, drawn for each clip; as at run
        time, a sample for which such a camera has no new frame repeats the one before. ``(0, 0)``
        for all frames that there are. Needs a network with time inputs that sees all frames of
        its window.
    :ivar vary_lead_times: score each candidate at every lead time for which its sample has
        labels. A network without time inputs cannot tell them apart, and their labels would
        contradict each other: it takes the sample's own lead time only.
    :ivar lead_time: of samples that do not know theirs, such as recordings, seconds; 0 for none,
        with which a model with time inputs refuses them.
    :ivar motion_weight: weight, 0 or more, of the auxiliary loss on how fast the object moves and
        how fast that changes, as read from the features where it is. Samples without track or
        lead time do not count; acceleration needs other lead times.
    :ivar mask_weight: weight, 0 or more, of the auxiliary loss on which part of each cell of the
        newest image the object covers. Samples without a mask do not count.
    :ivar frozen_stages: how many of the backbone's first stages are not trained, 0 to 3. Model
        variants can then share their features.
    :ivar seed: of initialisation, order, augmentation and bagging.
    """

    epochs: int = 8
    batch: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: float = 0.05
    full_orders: float = 0.6
    place_weight: float = 1.0
    near: float = 4.0
    empty: int = 4
    monitor: float = 0.0
    photometric: float = 0.0
    geometric: float = 0.0
    missing: float = 0.0
    artefacts: float = 0.0
    candidate_shift: float = 0.0
    annealing: float = 0.0
    rates: tuple[float, float] = (0.0, 0.0)
    vary_lead_times: bool = False
    lead_time: float = 0.0
    motion_weight: float = 0.0
    mask_weight: float = 0.0
    frozen_stages: int = 0
    seed: int = 0

    def __post_init__(self):
        # JSON makes it a list.
        object.__setattr__(self, 'rates', tuple(self.rates))
        low, high = self.rates
        shares = ('full_orders', 'monitor', 'photometric', 'geometric', 'missing', 'artefacts',
                  'annealing')
        for name, allowed, expected in (
                ('epochs', self.epochs >= 1, '1 or more'), ('batch', self.batch >= 1, '1 or more'),
                ('learning_rate', self.learning_rate > 0, 'above 0'),
                ('weight_decay', self.weight_decay >= 0, '0 or more'),
                ('warm_up', 0 <= self.warm_up < 1, '0 to below 1'),
                ('place_weight', self.place_weight >= 0, '0 or more'),
                ('lead_time', 0 <= self.lead_time < float('inf'), '0 s or more'),
                ('motion_weight', self.motion_weight >= 0, '0 or more'),
                ('mask_weight', self.mask_weight >= 0, '0 or more'),
                ('candidate_shift', 0 <= self.candidate_shift < 0.1, '0 to below 0.1 m'),
                ('rates', 0 < low <= high or low == high == 0, 'two ascending rates above 0 Hz'),
                ('near', self.near > 0, 'above 0'), ('empty', self.empty >= 0, '0 or more'),
                ('frozen_stages', 0 <= self.frozen_stages <= 3, '0 to 3'),
                *((share, 0 <= getattr(self, share) <= 1, '0 to 1') for share in shares)):
            if not allowed:
                raise ConfigError(
                    f'{name}={getattr(self, name)} is not allowed: expected {expected}')

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> 'Recipe':
        """
        Read the recipe that a checkpoint or a state holds; missing keys get their defaults.

        :raises ConfigError: if it names a key that no version had.
        """
        values = {_RENAMED.get(name, name): value for name, value in values.items()}
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f'a stored recipe cannot be read: {error}') from error


@dataclass(frozen=True)
class Settings:
    """
    A model variant to train.

    :ivar name: small letters, digits and underscores; names the checkpoint.
    :ivar network: some fields of the model's configuration.
    :ivar training: some fields of :class:`Recipe`.
    :ivar model: the model's type, see :func:`moss_perception.models.base.model_types`; empty for
        that of the initial checkpoint, or ``moss_grasp`` without one.
    """

    name: str = ''
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    model: str = ''

    def of_checkpoint(self, config: ModelConfig) -> 'Settings':
        """
        Take the network from a checkpoint, unless the settings name a model.

        :param config: the checkpoint's; fields that the settings name take precedence.
        """
        if self.model:
            return self
        own = {name: value for name, value in config.to_dict().items() if name not in MEASURED}
        return replace(self, model=config.model, network=own | self.network)

    def config(self, **measured: Any) -> ModelConfig:
        """
        Make the model's configuration, with the values measured on the samples.

        :raises ConfigError: if there is no such model, or it has no such field.
        """
        kind = model_type(self.model or _DEFAULT_MODEL)
        return kind.Config.from_dict({**self.network, **measured})

    def recipe(self) -> Recipe:
        """Make the recipe."""
        return Recipe(**self.training)

    def changed(self, **values: Any) -> 'Settings':
        """
        Return the settings with other values.

        :param values: of fields of the model's configuration or of :class:`Recipe`.
        """
        recipe = {f.name for f in fields(Recipe)}
        network = {k: v for k, v in values.items() if k not in recipe}
        training = {k: v for k, v in values.items() if k in recipe}
        return replace(self, network=self.network | network, training=self.training | training)


def read_settings(path: str | Path) -> Settings:
    """
    Read a configuration file.

    :param path: YAML with ``name``, ``model``, ``network`` and ``training``.
    :raises ConfigError: if it can't be read, or holds a key or value that is not allowed: the
        message names it, and the choices.
    """
    import yaml
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} can't be read: "
                          f'{getattr(error, "strerror", None) or error}') from error
    except yaml.YAMLError as error:
        reason = ' '.join(str(error).split())
        raise ConfigError(f'configuration {path} is not YAML: {reason}') from error
    try:
        return _parse(path.stem, values)
    except ConfigError as error:
        raise ConfigError(f'{path}: {error}') from error


def _parse(default_name: str, values: Any) -> Settings:
    values = _section('the file', values, ('name', 'model', 'network', 'training'))
    name = values.get('name', default_name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f'name={name!r} is not allowed: expected small letters, digits and '
                          'underscores')
    model = str(values.get('model', ''))
    kind = model_type(model or _DEFAULT_MODEL).Config
    settings = Settings(name, _fields('network', values.get('network'), kind),
                        _fields('training', values.get('training'), Recipe), model)
    settings.config()
    settings.recipe()
    return settings


def _section(what: str, values: Any, allowed: Iterable[str]) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f'expected {what} to be keys and values, got {values!r}')
    for key in values:
        if key not in allowed:
            raise ConfigError(f'unknown key {key!r} in {what}: expected one of {sorted(allowed)}')
    return values


def _fields(section: str, values: Any, kind: type) -> dict[str, Any]:
    defaults = {f.name: f.default for f in fields(kind)
                if f.name not in MEASURED and f.default is not MISSING}
    return {key: _convert(f'{section}.{key}', value, defaults[key])
            for key, value in _section(section, values, defaults).items()}


def _convert(name: str, value: Any, default: Any) -> Any:
    """Take a value of the default's type; a whole number is also a real one."""
    if isinstance(default, tuple):
        if not default and isinstance(value, list) and all(type(v) is int for v in value):
            return tuple(value)
        if not default or not isinstance(value, list) or len(value) != len(default):
            what = f'{len(default)} such as {list(default)}' if default else 'whole numbers'
            raise ConfigError(f'{name}={value!r} is not allowed: expected a list of {what}')
        return tuple(_convert(name, v, d) for v, d in zip(value, default, strict=True))
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise ConfigError(f'{name}={value!r} is not allowed: expected a '
                          f'{type(default).__name__} such as {default!r}')
    return value
