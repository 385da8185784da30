"""The settings of a training: the network and the recipe, read from a YAML file."""

from dataclasses import dataclass, field, fields, MISSING, replace
from pathlib import Path
import re
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import model_type
from moss_perception.models.config import ModelConfig
from moss_perception.training.recipe import Recipe

# These are measured on the training samples.
_MEASURED = {'mean', 'std', 'temperature', 'default_point', 'default_depth_m', 'default_yaw',
             'default_focal'}
_NAME = re.compile(r'[a-z0-9][a-z0-9_]*')


@dataclass(frozen=True)
class Settings:
    """
    A model variant to train.

    :ivar name: small letters, digits and underscores; names the checkpoint.
    :ivar network: some fields of the model's configuration.
    :ivar training: some fields of :class:`Recipe`.
    :ivar model: the model's type, see :func:`moss_perception.models.base.model_types`.
    """

    name: str = ''
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    model: str = 'moss_grasp'

    def config(self, **measured: Any) -> ModelConfig:
        """
        Make the model's configuration, with what was measured on the samples.

        :raises ConfigError: if there is no such model, or it has no such field.
        """
        return model_type(self.model).Config.from_dict({**self.network, **measured})

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
    values = _section(path, 'the file', values, ('name', 'model', 'network', 'training'))
    name = values.get('name', path.stem)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f'{path}: name={name!r} is not allowed: expected small letters, digits '
                          'and underscores')
    try:
        model = str(values.get('model', Settings.model))
        kind = model_type(model).Config
    except ConfigError as error:
        raise ConfigError(f'{path}: {error}') from error
    settings = Settings(name, _fields(path, 'network', values.get('network'), kind, _MEASURED),
                        _fields(path, 'training', values.get('training'), Recipe, set()), model)
    try:
        settings.config()
        settings.recipe()
    except ConfigError as error:
        raise ConfigError(f'{path}: {error}') from error
    return settings


def _section(path: Path, what: str, values: Any, allowed) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f'{path}: expected {what} to be keys and values, got {values!r}')
    for key in values:
        if key not in allowed:
            raise ConfigError(f'{path}: unknown key {key!r} in {what}: expected one of '
                              f'{sorted(allowed)}')
    return values


def _fields(path: Path, section: str, values: Any, kind: type, left_out: set) -> dict[str, Any]:
    defaults = {f.name: f.default for f in fields(kind)
                if f.name not in left_out and f.default is not MISSING}
    found = {}
    for key, value in _section(path, section, values, defaults).items():
        found[key] = _convert(f'{path}: {section}.{key}', value, defaults[key])
    return found


def _convert(name: str, value: Any, default: Any) -> Any:
    """Take a value of the default's type; a whole number is also a real one."""
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) != len(default):
            raise ConfigError(f'{name}={value!r} is not allowed: expected a list of '
                              f'{len(default)} such as {list(default)}')
        return tuple(_convert(name, v, d) for v, d in zip(value, default, strict=True))
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise ConfigError(f'{name}={value!r} is not allowed: expected a '
                          f'{type(default).__name__} such as {default!r}')
    return value
