"""Configurations of the layers that models share."""

from dataclasses import dataclass
from functools import cached_property

from moss_perception.core.errors import ConfigError
from moss_perception.models.config import ModelConfig


@dataclass(frozen=True)
class GraspConfig(ModelConfig):
    """
    A model with the backbone and the head of this package.

    :ivar channels: channels of the backbone at strides 2, 4 and 8.
    :ivar head_channels: channels of the map that grasps are read from.
    :ivar map_stride: of the maps over which the model looks, 8 or 4.
    """

    channels: tuple[int, int, int] = (32, 64, 128)
    head_channels: int = 32
    map_stride: int = 8

    def __post_init__(self):
        super().__post_init__()
        self._expect('image_size', self.image_size >= 32 and self.image_size % 8 == 0,
                     'a multiple of 8, 32 or more')
        self._expect('map_stride', self.map_stride in (4, 8), '4 or 8')
        if self.head_receptive_field < 1:
            raise ConfigError(
                f'window_frames={self.window_frames} is too short: the maps see {self.map_reach} '
                f'frames back, so expected at least {self.map_reach + 1}')

    @property
    def context_channels(self) -> int:
        """Channels of the map on which the OOD score is measured."""
        return self.head_channels

    @property
    def map_channels(self) -> int:
        """Channels of the maps over which the network looks."""
        return self.channels[2 if self.map_stride == 8 else 1]

    @property
    def map_size(self) -> int:
        """Height and width of the maps over which the network looks."""
        return self.image_size // self.map_stride

    @property
    def map_reach(self) -> int:
        """How many samples before its own a map depends on."""
        return 0

    @property
    def tap_stride(self) -> int:
        """Samples between two of the head's temporal taps."""
        return self.window_frames

    @property
    def head_receptive_field(self) -> int:
        """How many samples the head's temporal taps span: what the maps leave of the window."""
        return self.window_frames - self.map_reach

    @cached_property
    def temporal_taps(self) -> tuple[int, ...]:
        """
        Samples of the head's receptive field that it reads, ascending; the last is the newest.

        A map of MOSS sees ``L`` samples, so a tap at every ``L``-th misses none.
        """
        last = self.head_receptive_field - 1
        return tuple(sorted({0, *range(last, 0, -self.tap_stride)}))


@dataclass(frozen=True)
class TemporalConfig(GraspConfig):
    """
    A model with layers of its own over time.

    :ivar temporal_channels: inside of these layers.
    """

    temporal_channels: int = 32

    def __post_init__(self):
        super().__post_init__()
        self._expect('temporal_channels', self.temporal_channels >= 8, '8 or more')


@dataclass(frozen=True)
class MossConfig(GraspConfig):
    """
    A model with a MOSS block.

    :ivar orders: the highest self-similarity order; orders 1 to ``orders`` are computed.
    :ivar moss_window: similarity window ``(L, U, V)``.
    :ivar moss_channels: channels of each order's encoding.
    :ivar projection_channels: channels that are correlated.
    :ivar learning: ``conv``, ``shared``, ``depthwise`` or ``mlp``.
    """

    orders: int = 3
    moss_window: tuple[int, int, int] = (3, 7, 7)
    moss_channels: int = 32
    projection_channels: int = 16
    learning: str = 'mlp'

    def __post_init__(self):
        super().__post_init__()
        self._expect('orders', 1 <= self.orders <= 4, '1 to 4')

    @property
    def map_reach(self) -> int:
        """How many samples back the highest order sees."""
        return self.orders * (self.moss_window[0] - 1)

    @property
    def tap_stride(self) -> int:
        """As many samples as a similarity window is long."""
        return self.moss_window[0]


def order_names(orders: int) -> tuple[str, ...]:
    """Name the prefixes of the orders 1 to ``orders``, such as ``1``, ``1,2`` and ``1,2,3``."""
    return tuple(','.join(map(str, range(1, n + 1))) for n in range(1, orders + 1))
