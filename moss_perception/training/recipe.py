"""How to train: the numbers of a training, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moss_perception.core.errors import ConfigError

# Names of before, which checkpoints and states hold.
_RENAMED = {'kept_stages': 'frozen_stages'}


@dataclass(frozen=True)
class Recipe:
    """
    How to train.

    :ivar epochs: passes over the scenes, at least 1.
    :ivar batch: clips a step.
    :ivar learning_rate: peak of AdamW's learning rate; linear warm-up, cosine decay.
    :ivar weight_decay: AdamW's.
    :ivar warm_up: share of all steps, in [0, 1).
    :ivar full_orders: how often all self-similarity orders are used, in [0, 1]; else a shorter
        prefix is drawn, so that any prefix works at run time.
    :ivar place_weight: of the auxiliary loss on where the object is and will be, which helps the
        network to learn the outcome; 0 or more. Samples without the object's track do not count
        in it.
    :ivar near: objects up to so many finger distances away count in that loss.
    :ivar empty: grasps at empty places that each clip adds as failures, 0 or more.
    :ivar monitor: also learn from grasps under way: the share of the filmed attempts that each
        epoch adds, in [0, 1], different ones in each epoch.
    :ivar photometric: how much colours, light, noise and sharpness of a clip vary, in [0, 1]; with
        0 only brightness and contrast vary.
    :ivar geometric: how much the camera's pose and lens vary, in [0, 1].
    :ivar missing: largest share of a clip's samples that are missing, in [0, 1].
    :ivar frozen_stages: so many of the backbone's first stages are not trained, 0 to 3. All
        variants then share them, and a training takes half the time.
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
    frozen_stages: int = 0
    seed: int = 0

    def __post_init__(self):
        for name, allowed, expected in (
                ('epochs', self.epochs >= 1, '1 or more'), ('batch', self.batch >= 1, '1 or more'),
                ('learning_rate', self.learning_rate > 0, 'above 0'),
                ('weight_decay', self.weight_decay >= 0, '0 or more'),
                ('warm_up', 0 <= self.warm_up < 1, '0 to below 1'),
                ('full_orders', 0 <= self.full_orders <= 1, '0 to 1'),
                ('place_weight', self.place_weight >= 0, '0 or more'),
                ('near', self.near > 0, 'above 0'), ('empty', self.empty >= 0, '0 or more'),
                ('monitor', 0 <= self.monitor <= 1, '0 to 1'),
                ('photometric', 0 <= self.photometric <= 1, '0 to 1'),
                ('geometric', 0 <= self.geometric <= 1, '0 to 1'),
                ('missing', 0 <= self.missing <= 1, '0 to 1'),
                ('frozen_stages', 0 <= self.frozen_stages <= 3, '0 to 3')):
            if not allowed:
                raise ConfigError(
                    f'{name}={getattr(self, name)} is not allowed: expected {expected}')

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> 'Recipe':
        """
        Read what a checkpoint or a training's state holds; keys that came later have defaults.

        :raises ConfigError: if it names a key that no version had.
        """
        values = {_RENAMED.get(name, name): value for name, value in values.items()}
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f'a stored recipe cannot be read: {error}') from error
