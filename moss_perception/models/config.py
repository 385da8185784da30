"""Everything that belongs to a checkpoint: the network's sizes, the window, the preprocessing."""

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from moss_perception.core.errors import ConfigError

# What may stand between the backbone's maps and the head; see models/temporal.py.
TEMPORAL = ('moss', 'last', 'pool', 'tsm', 'recurrent', 'flow', 'moss_clip', 'moss_upper',
            'moss_centred', 'moss_flow')


@dataclass(frozen=True)
class GraspConfig:
    """
    Configuration of a grasp predictor, kept inside its checkpoint.

    :ivar image_size: side of the network's square input, pixels, a multiple of 8.
    :ivar frame_rate_hz: samples a second.
    :ivar window_frames: samples that a score depends on, 16 to 32.
    :ivar mean: mean of RGB in [0, 1], taken from each pixel.
    :ivar std: standard deviation of RGB in [0, 1], by which each pixel is divided.
    :ivar channels: channels of the backbone at strides 2, 4 and 8.
    :ivar orders: the highest self-similarity order; orders 1 to ``orders`` are computed.
    :ivar moss_window: similarity window ``(L, U, V)``.
    :ivar moss_channels: channels of each order's encoding.
    :ivar projection_channels: channels that are correlated.
    :ivar learning: ``conv``, ``shared``, ``depthwise`` or ``mlp``.
    :ivar head_channels: channels of the map that grasps are read from.
    :ivar ensemble: number of heads whose spread is the uncertainty.
    :ivar temperature: divides every logit (calibration), above 0.
    :ivar gripper_half_width_m: half of the opening, at which the head looks beside a grasp point.
    :ivar temporal: what looks over time, one of :data:`TEMPORAL`; ``moss`` is what is shipped, and
        the only one that can be stepped, the others are to be compared with it.
    :ivar temporal_channels: channels inside of those temporal modules that have a width.
    :ivar map_stride: of the maps over which they look, 8 or 4.
    :ivar default_point: image point (column, row) of the default grasp, in [0, 1] of the image.
    :ivar default_depth_m: its depth along the optical axis, metres.
    :ivar default_yaw: its yaw about the optical axis, radians.
    :ivar default_focal: focal length over image width, for images without camera_info.
    """

    image_size: int = 128
    frame_rate_hz: float = 10.0
    window_frames: int = 16
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    channels: tuple[int, int, int] = (32, 64, 128)
    orders: int = 3
    moss_window: tuple[int, int, int] = (3, 7, 7)
    moss_channels: int = 32
    projection_channels: int = 16
    learning: str = 'mlp'
    head_channels: int = 32
    ensemble: int = 4
    temperature: float = 1.0
    gripper_half_width_m: float = 0.04
    temporal: str = 'moss'
    temporal_channels: int = 32
    map_stride: int = 8
    default_point: tuple[float, float] = (0.5, 0.5)
    default_depth_m: float = 0.6
    default_yaw: float = 0.0
    default_focal: float = 1.0

    def __post_init__(self):
        """
        Refuse combinations that can't work.

        :raises ConfigError: naming the field, its value and what was expected.
        """
        self._expect('image_size', self.image_size >= 32 and self.image_size % 8 == 0,
                     'a multiple of 8, 32 or more')
        self._expect('frame_rate_hz', self.frame_rate_hz > 0, 'above 0')
        self._expect('window_frames', 16 <= self.window_frames <= 32, '16 to 32')
        self._expect('orders', 1 <= self.orders <= 4, '1 to 4')
        self._expect('ensemble', self.ensemble >= 1, '1 or more')
        self._expect('temperature', self.temperature > 0, 'above 0')
        self._expect('std', min(self.std) > 0, 'above 0')
        self._expect('default_depth_m', self.default_depth_m > 0, 'above 0')
        self._expect('temporal', self.temporal in TEMPORAL, f'one of {TEMPORAL}')
        self._expect('temporal_channels', self.temporal_channels >= 8, '8 or more')
        self._expect('map_stride', self.map_stride in (4, 8), '4 or 8')
        if self.temporal == 'moss_upper':
            self._expect('orders', self.orders >= 2, '2 or more with temporal=moss_upper')
        if self.temporal == 'moss_centred' and self.moss_window[0] % 2 == 0:
            raise ConfigError(f'moss_window={self.moss_window} is not allowed with '
                              'temporal=moss_centred: expected an odd first size')
        if self.head_span < 1:
            raise ConfigError(
                f'window_frames={self.window_frames} is too short: {self.orders} orders of window '
                f'{self.moss_window[0]} see {self.moss_reach} frames back, so expected at least '
                f'{self.moss_reach + 1}')

    def _expect(self, name: str, allowed: bool, expected: str) -> None:
        if not allowed:
            raise ConfigError(
                f'{name}={getattr(self, name)!r} is not allowed: expected {expected}')

    @property
    def steps(self) -> bool:
        """Whether the network can take a stream frame by frame."""
        return self.temporal == 'moss'

    @property
    def map_channels(self) -> int:
        """Channels of the maps over which the network looks."""
        return self.channels[2 if self.map_stride == 8 else 1]

    @property
    def map_size(self) -> int:
        """Height and width of the maps over which the network looks."""
        return self.image_size // self.map_stride

    @property
    def moss_reach(self) -> int:
        """How many samples back the highest order sees; 0 without MOSS."""
        if not self.temporal.startswith('moss'):
            return 0
        return self.orders * (self.moss_window[0] - 1)

    @property
    def frames_seen(self) -> int:
        """How many of the window's newest frames the network looks at."""
        return 1 if self.temporal == 'last' else self.window_frames

    @property
    def head_span(self) -> int:
        """How many samples the head's own look spans: what MOSS leaves of the window."""
        return self.window_frames - self.moss_reach

    @cached_property
    def head_looks(self) -> tuple[int, ...]:
        """
        At which samples of the span, from its first on, the head looks; the last is the newest.

        A map of MOSS sees ``L`` samples, so every ``L``-th is enough to miss none.
        """
        last = self.head_span - 1
        return tuple(sorted({0, *range(last, 0, -self.moss_window[0])}))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> 'GraspConfig':
        """
        Build a configuration from plain values.

        :param values: what :meth:`to_dict` returned, lists for tuples allowed.
        :raises ConfigError: if a name is unknown, or a value has the wrong type.
        """
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f'unknown configuration {unknown}, expected some of {sorted(known)}')
        try:
            return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
        except TypeError as error:
            raise ConfigError(f'configuration has a value of the wrong type: {error}') from error
