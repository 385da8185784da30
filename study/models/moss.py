"""Variants of MOSS: for clips, upper orders alone, and with a centred window."""

from functools import partial

from moss_perception.core.errors import ConfigError
from moss_perception.models.base import register
from moss_perception.models.layers.config import MossConfig, order_names
from moss_perception.models.layers.moss_clip import MossClip

from study.models.clip_model import ClipModel


class MossClipConfig(MossConfig):
    """Of :class:`MossClipGrasp`."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Name the prefixes of the orders, of which training draws one for each step."""
        return order_names(self.orders)


class MossUpperConfig(MossConfig):
    """Of :class:`MossUpperGrasp`."""

    def __post_init__(self):
        super().__post_init__()
        self._expect('orders', self.orders >= 2, '2 or more with upper orders alone')


class MossCentredConfig(MossConfig):
    """Of :class:`MossCentredGrasp`."""

    def __post_init__(self):
        super().__post_init__()
        if self.moss_window[0] % 2 == 0:
            raise ConfigError(f'moss_window={self.moss_window} is not allowed with a centred '
                              'window: expected an odd first size')


@register('moss_clip_grasp')
class MossClipGrasp(ClipModel):
    """The shipped model's MOSS, written for clips alone."""

    Config = MossClipConfig
    temporal = MossClip


@register('moss_upper_grasp')
class MossUpperGrasp(ClipModel):
    """Orders from 2 on; order 1 is computed, since they build on it, and not read."""

    Config = MossUpperConfig
    temporal = partial(MossClip, lowest=2)


@register('moss_centred_grasp')
class MossCentredGrasp(ClipModel):
    """A centred window, as MOSS's authors have it: the newest frames have no motion yet."""

    Config = MossCentredConfig
    temporal = partial(MossClip, causal=False)
