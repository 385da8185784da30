"""What the configuration of every model has."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from moss_perception.core.errors import ConfigError

GRASP2_FIELDS = frozenset((
    'channels', 'orders', 'moss_window', 'moss_channels', 'projection_channels', 'learning',
    'head_channels', 'temporal', 'temporal_channels', 'map_stride'))
"""Fields that every configuration of format 2 had, whether its model used them or not."""


@dataclass(frozen=True)
class ModelConfig:
    """
    What every model's configuration holds; it is kept inside the checkpoint.

    A model's own configuration derives from it, adds fields with defaults, and checks them.

    :ivar image_size: side of the square input, pixels.
    :ivar frame_rate_hz: samples a second.
    :ivar window_frames: samples that a score depends on, 16 to 32.
    :ivar mean: mean of RGB in [0, 1], taken from each pixel.
    :ivar std: standard deviation of RGB in [0, 1], by which each pixel is divided.
    :ivar ensemble: number of heads whose spread is the uncertainty.
    :ivar temperature: divides every logit (calibration), above 0.
    :ivar gripper_half_width_m: half of the gripper's opening, metres.
    :ivar default_point: image point (column, row) of the default grasp, in [0, 1] of the image.
    :ivar default_depth_m: its depth along the optical axis, metres.
    :ivar default_yaw: its yaw about the optical axis, radians.
    :ivar default_focal: focal length over image width, for images without camera_info.
    :ivar time_inputs: whether the network takes the time between samples, and each grasp's lead
        time: from the stamp of the newest sample until the fingers close on the object.
    :ivar lead_times_s: lowest and highest lead time that it was trained for, seconds.
    :ivar default_lead_time_s: lead time of grasps without one, seconds.
    """

    image_size: int = 128
    frame_rate_hz: float = 10.0
    window_frames: int = 16
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    ensemble: int = 4
    temperature: float = 1.0
    gripper_half_width_m: float = 0.04
    default_point: tuple[float, float] = (0.5, 0.5)
    default_depth_m: float = 0.6
    default_yaw: float = 0.0
    default_focal: float = 1.0
    time_inputs: bool = False
    lead_times_s: tuple[float, float] = (0.0, 0.0)
    default_lead_time_s: float = 0.0

    model: ClassVar[str] = ''
    """The type that it is registered with."""
    grasp2_window: ClassVar[str] = ''
    """The field, if any, whose value was the first of ``moss_window`` in format 2."""

    def __post_init__(self):
        """
        Refuse values that can't work.

        :raises ConfigError: naming the field, its value and what was expected.
        """
        self._expect('image_size', self.image_size >= 1, '1 or more')
        self._expect('frame_rate_hz', self.frame_rate_hz > 0, 'above 0')
        self._expect('window_frames', 16 <= self.window_frames <= 32, '16 to 32')
        self._expect('ensemble', self.ensemble >= 1, '1 or more')
        self._expect('temperature', self.temperature > 0, 'above 0')
        self._expect('std', min(self.std) > 0, 'above 0')
        self._expect('gripper_half_width_m', 0 < self.gripper_half_width_m < 1,
                     'metres, above 0 and below 1')
        self._expect('default_depth_m', self.default_depth_m > 0, 'above 0')
        low, high = self.lead_times_s
        self._expect('lead_times_s', 0 <= low <= high < float('inf'),
                     'two times in ascending order, 0 or more')
        self._expect('default_lead_time_s', low <= self.default_lead_time_s <= high,
                     f'{low:g} to {high:g}, the range of lead_times_s')

    def _expect(self, name: str, allowed: bool, expected: str) -> None:
        if not allowed:
            raise ConfigError(
                f'{name}={getattr(self, name)!r} is not allowed: expected {expected}')

    @property
    def grasp_values(self) -> int:
        """How many values describe a grasp; the sixth, with time inputs, is its lead time."""
        return 6 if self.time_inputs else 5

    @property
    def decides(self) -> bool:
        """
        Whether the network chooses between values, such as maxima, that may be nearly equal.

        Rounding decides then, so ONNX Runtime and torch differ now and then.
        """
        return False

    @property
    def levels(self) -> tuple[str, ...]:
        """
        Names of the budget's levels, the cheapest first; most models have one.

        A name begins with a letter and goes on with letters, digits, ``_``, ``-`` or ``.``, as
        the node's parameter ``budget`` takes it; or it is a prefix of orders, such as ``1,2``.
        """
        return ('all',)

    def lowest_level(self, notes: Mapping[str, Any]) -> int:
        """
        Tell from which of its levels on, counted from 1, a checkpoint can be run.

        :param notes: of the checkpoint, see :func:`moss_perception.models.manifest.read_header`.
        """
        return 1

    @property
    def appearance_values(self) -> int:
        """How many numbers say what a sample looks like, for the OOD score; 0 for none."""
        return 0

    @property
    def frames_seen(self) -> int:
        """How many of the window's newest frames the network looks at."""
        return self.window_frames

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> 'ModelConfig':
        """
        Build a configuration from plain values.

        :param values: what :meth:`to_dict` returned, lists for tuples allowed.
        :raises ConfigError: if a name is unknown, or a value has the wrong type.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f'unknown configuration {unknown} of model {cls.model!r}, expected '
                              f'some of {sorted(known)}')
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v
                                     for k, v in values.items()}
            return cls(**plain)
        except TypeError as error:
            raise ConfigError(f'configuration has a value of the wrong type: {error}') from error

    @classmethod
    def from_grasp2(cls, values: Mapping[str, Any]) -> 'ModelConfig':
        """
        Build a configuration from a header of format 2, in which all models had the same fields.

        :param values: the header's fields; those that this model does not have are left out.
        """
        values, known = dict(values), {f.name for f in fields(cls)}
        if cls.grasp2_window and values.get('moss_window'):
            values[cls.grasp2_window] = values['moss_window'][0]
        return cls.from_dict({k: v for k, v in values.items()
                              if k in known or k not in GRASP2_FIELDS})
