"""Configurations of models with this package's backbone, head and layers over time."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from moss_perception.core.errors import ConfigError
from moss_perception.models.config import ModelConfig


@dataclass(frozen=True)
class GraspConfig(ModelConfig):
    """
    A model with the backbone and the head of this package.

    :ivar channels: channels of the backbone at strides 2, 4 and 8.
    :ivar head_channels: channels of the map that grasps are read from.
    :ivar map_stride: of the maps over which the model looks, one of :attr:`strides`.
    :ivar velocity_history: whether the head also reads a displacement that is predicted from the
        velocities of the whole window; for models whose head reads velocities.
    """

    strides: ClassVar[tuple[int, ...]] = (4, 8)

    channels: tuple[int, int, int] = (32, 64, 128)
    head_channels: int = 32
    map_stride: int = 8
    velocity_history: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._expect('image_size', self.image_size >= 32 and self.image_size % 8 == 0,
                     'a multiple of 8, 32 or more')
        self._expect('map_stride', self.map_stride in self.strides,
                     ' or '.join(map(str, self.strides)))
        self._expect('velocity_history', not self.velocity_history or self.velocity_orders > 0,
                     'false where the head reads no velocities, which takes time inputs, and '
                     'displacements or read_flow')
        if self.head_receptive_field < 1:
            raise ConfigError(
                f'window_frames={self.window_frames} is too short: the maps see {self.map_reach} '
                f'frames back, so expected at least {self.map_reach + 1}')

    @property
    def appearance_values(self) -> int:
        """Mean and standard deviation of each colour, and of each channel of the backbone."""
        return 2 * (3 + sum(self.channels))

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
    def velocity_orders(self) -> int:
        """Of so many orders the head takes displacements, times powers of the lead time."""
        return 0

    @property
    def history_frames(self) -> int:
        """Number of samples whose velocity the head reads: all of the window but the first."""
        return self.window_frames - 1 if self.velocity_history else 0

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

        A map of MOSS sees ``L`` samples, so a tap at every ``L``-th misses none, unless ``lags``
        leaves some out.
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
    :ivar projection_channels: channels that are compared; 0 to compare maps as they are, for
        displacements by squared distance.
    :ivar learning: ``conv``, ``shared``, ``depthwise`` or ``mlp``.
    :ivar readout: what is read of the similarities: ``encoding``, ``displacement`` or ``both``;
        see :class:`moss_perception.moss.MOSS`, as for the following.
    :ivar lags: compare with the samples so many back, ascending; the last is ``L - 1``. Empty for
        all, without which an encoding also compares a sample with itself.
    :ivar similarity: ``cosine``, or ``ssd`` for displacements and lags.
    :ivar patch: side of the square that similarities are summed over, odd.
    :ivar refinement: number of Gauss-Newton steps.
    :ivar borders: number of passes that keep the borders of what moves.
    :ivar spacing: 2 to look for displacements at every second position of every second row.
    :ivar norm: of the encoding, ``layer`` or ``group``; empty for none.
    """

    orders: int = 3
    moss_window: tuple[int, int, int] = (3, 7, 7)
    moss_channels: int = 32
    projection_channels: int = 16
    learning: str = 'mlp'
    readout: str = 'encoding'
    lags: tuple[int, ...] = ()
    similarity: str = 'cosine'
    patch: int = 7
    refinement: int = 0
    borders: int = 0
    spacing: int = 1
    norm: str = ''

    def __post_init__(self):
        super().__post_init__()
        self._expect('orders', 1 <= self.orders <= 4, '1 to 4')
        length = self.moss_window[0]
        for name, choices in (('readout', ('encoding', 'displacement', 'both')),
                              ('norm', ('', 'layer', 'group')), ('spacing', (1, 2)),
                              ('similarity', ('cosine', 'ssd'))):
            self._expect(name, getattr(self, name) in choices, f'one of {choices}')
        self._expect('lags', not self.lags or self.lags == tuple(sorted({*self.lags}))
                     and self.lags[0] >= 1 and self.lags[-1] == length - 1,
                     f'ascending numbers from 1 or more that end with {length - 1}, one less than '
                     f'the first of moss_window={self.moss_window}')
        for name in ('refinement', 'borders'):
            self._expect(name, getattr(self, name) >= 0, '0 or more')
        self._expect('patch', self.patch >= 1 and self.patch % 2 == 1, 'an odd number')
        if self.displaces:
            self._expect('patch', self.patch <= self.compared_size,
                         f'at most {self.compared_size}, the side of the maps')
            self._expect('moss_window', length >= 2, 'a first size of 2 or more, for a readout of '
                         'displacements')
        self._expect('similarity', self.similarity == 'cosine' or self.displaces
                     or bool(self.lags), 'cosine without displacements or lags')

    @property
    def displaces(self) -> bool:
        """Whether displacements are read."""
        return self.readout != 'encoding'

    @property
    def decides(self) -> bool:
        """Whether it looks for maxima of similarities."""
        return self.displaces

    @property
    def compared_size(self) -> int:
        """Height and width of the maps that are compared."""
        return self.map_size

    @property
    def compared_channels(self) -> int:
        """Channels of the maps that are compared."""
        return self.map_channels

    @property
    def used_lags(self) -> tuple[int, ...]:
        """How many samples back those are that a sample is compared with, ascending."""
        return self.lags or tuple(range(1, self.moss_window[0]))

    @property
    def map_reach(self) -> int:
        """How many samples back the highest order sees."""
        return self.orders * (self.moss_window[0] - 1)

    def kept_channels(self, order: int) -> int:
        """Channels of the map that an order keeps of a sample."""
        if order == 1 or not self.displaces:
            return self.projection_channels or self.compared_channels
        compared = self.projection_channels if self.readout == 'both' else 0
        return compared + 4 * len(self.used_lags)

    @property
    def tap_stride(self) -> int:
        """As many samples as a similarity window is long."""
        return self.moss_window[0]


def order_names(orders: int) -> tuple[str, ...]:
    """Name the prefixes of the orders 1 to ``orders``, such as ``1``, ``1,2`` and ``1,2,3``."""
    return tuple(','.join(map(str, range(1, n + 1))) for n in range(1, orders + 1))
