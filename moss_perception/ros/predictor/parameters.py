"""The parameters of grasp_predictor."""

from collections.abc import Sequence
from dataclasses import dataclass
import re

from moss_perception.core.cameras import AUTO, CameraSetup
from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import MOST_CANDIDATES
from moss_perception.core.image_messages import LIMITS
from moss_perception.models.grasp_config import order_names
from moss_perception.ros.common.image_transport import TRANSPORTS
from moss_perception.ros.common.parameters import Change, matching, one_of, setting
from moss_perception.ros.common.subscriptions import SILENCE_S
from moss_perception.runtime.budget import level_name, parse_level
from moss_perception.runtime.engine import ENGINES
from moss_perception.runtime.predictor import MAX_GAP_S

RELIABILITIES = ('match', 'best_effort', 'reliable')
HIGHEST_ORDER = 4
_LEVEL_NAME = re.compile(r'\s*[A-Za-z_][\w.-]*\s*')


@dataclass(frozen=True)
class PredictorParameters:
    """
    All parameters of grasp_predictor.

    :raises ConfigError: if :attr:`setup` is not allowed, ``budget`` is neither ``auto`` nor the
        name of a level, or ``lead_time`` is below 0 and not -1.
    """

    model_path: str = setting(
        '', 'Path of the checkpoint (.safetensors); empty: the shipped one.',
        change=Change.UNCONFIGURED)
    model_sha256: str = setting(
        '', 'Expected SHA-256 of the checkpoint; empty: read from SHA256SUMS beside it.',
        allowed=matching('([0-9a-fA-F]{64})?', '64 hexadecimal digits, or nothing'),
        change=Change.UNCONFIGURED)
    engine: str = setting(
        ENGINES[0], 'Library that runs the network; onnxruntime needs the exported graphs.',
        allowed=one_of(*ENGINES), change=Change.UNCONFIGURED)
    device: str = setting(
        'cpu', 'Device of the engine.',
        allowed=matching(r'cpu|(cuda|xpu)(:\d+)?|mps', 'cpu, cuda, cuda:<n>, xpu or mps'),
        change=Change.UNCONFIGURED)
    threads: int = setting(
        1, 'Threads of the engine; 0: the engine chooses.', low=0, high=256,
        change=Change.UNCONFIGURED)
    max_gap: float = setting(
        MAX_GAP_S, 'Longest gap between frames, in seconds; a longer one resets the window.',
        low=0.01, high=60.0, change=Change.UNCONFIGURED)
    image_transport: str = setting(
        'raw', 'Subscribe to image (raw), to image/compressed (compressed), or by the plugin of '
        'this name, with image_transport_py.', allowed=TRANSPORTS, change=Change.UNCONFIGURED)
    qos_reliability: str = setting(
        'match', 'Reliability of the subscriptions; match: reliable if every publisher is.',
        allowed=one_of(*RELIABILITIES), change=Change.UNCONFIGURED)
    qos_depth: int = setting(
        5, 'Queue depth of the image subscription.', low=1, high=1000, change=Change.UNCONFIGURED)
    max_megapixels: float = setting(
        LIMITS.megapixels, 'Most pixels of an image, in millions; a larger one is refused before '
        'it is decoded.', low=0.01, high=268.4, change=Change.UNCONFIGURED)
    max_scans: int = setting(
        LIMITS.scans, 'Most scans of a progressive JPEG; one with more is refused before it is '
        'decoded.', low=1, high=10000, change=Change.UNCONFIGURED)
    max_candidates: int = setting(
        MOST_CANDIDATES, 'Most poses of a PoseArray; one with more is refused, and no older one '
        'is scored in its place.', low=1, high=100_000, change=Change.UNCONFIGURED)
    silence: float = setting(
        SILENCE_S, 'Time in seconds for which a topic with publishers may be silent; then the '
        'node subscribes to it anew; 0: never.', low=0.0, high=3600.0,
        change=Change.UNCONFIGURED)
    publish_features: bool = setting(
        True, 'Publish the map of motion features while someone subscribes to it.',
        change=Change.UNCONFIGURED)
    rectified: object = setting(
        AUTO, 'Whether the images are rectified: true uses P of camera_info, false K and D, auto '
        'decides by the name of the image topic, such as image_rect.', any_type=True,
        change=Change.UNCONFIGURED)
    candidates_frame: str = setting(
        '', 'The only frame to which candidates_transform applies; empty: the frame that the '
        'candidates name.', change=Change.UNCONFIGURED)
    candidates_transform: object = setting(
        '', "Pose of the candidates' frame in the camera's optical frame: x, y, z in metres and a "
        'unit quaternion qx, qy, qz, qw; empty: taken from tf.', any_type=True,
        change=Change.UNCONFIGURED)
    score_threshold: float = setting(
        0.5, 'Lowest score that the overlay and the diagnostics show as a good grasp.',
        low=0.0, high=1.0, change=Change.ANY_TIME)
    stride: int = setting(
        1, 'Publish every n-th sample.', low=1, high=1000, change=Change.ANY_TIME)
    budget: object = setting(
        'auto', 'Level of the model to run: auto, or its name, for MOSS a prefix of the orders '
        'such as 1,2.', any_type=True, change=Change.ANY_TIME)
    latency_budget: float = setting(
        0.05, 'Time that a step may take, in seconds, if budget is auto.',
        low=0.001, high=10.0, change=Change.ANY_TIME)
    lead_time: float = setting(
        -1.0, 'Time from the stamp of the newest image until the fingers close on the object, in '
        "seconds, of candidates without one on grasp_lead_times; -1: the checkpoint's default.",
        low=-1.0, high=60.0, change=Change.ANY_TIME)

    def __post_init__(self):
        """Refuse what fits no model; which levels a model has is known with it."""
        if -1 < self.lead_time < 0:
            raise ConfigError(f'parameter lead_time={self.lead_time!r} is not allowed: expected '
                              "0 to 60.0, or -1 for the checkpoint's default")
        _ = self.setup
        name = self._level_name()
        named = isinstance(self.budget, str) and _LEVEL_NAME.fullmatch(name)
        if not named and level_name(name) not in order_names(HIGHEST_ORDER):
            raise ConfigError(
                f"budget {name!r} is not allowed: expected 'auto' or the name of a level of the "
                f"model, for MOSS a prefix of its orders such as '1' or '1,2'")

    @property
    def lead_time_s(self) -> float | None:
        """The lead time of the stream, seconds; ``None`` for the checkpoint's default."""
        return None if self.lead_time < 0 else self.lead_time

    @property
    def setup(self) -> CameraSetup:
        """
        What the parameters say about the camera.

        :raises ConfigError: if a value is not allowed.
        """
        return CameraSetup.of(self.rectified, self.candidates_frame, self.candidates_transform)

    def level(self, levels: Sequence[str], lowest: int = 1) -> int | None:
        """
        Read the parameter ``budget``.

        :param levels: names of the model's compute levels, the cheapest first.
        :param lowest: the lowest level that the checkpoint was trained for.
        :returns: the level, counted from 1, or ``None`` to choose it by the latency.
        :raises ConfigError: if ``budget`` is neither ``auto`` nor such a level.
        """
        return parse_level('budget', self._level_name(), levels, lowest)

    def _level_name(self) -> str:
        if isinstance(self.budget, str):
            return self.budget
        # The type may change: ROS also sends single numbers, arrays of any type, and None.
        return (','.join(map(str, self.budget)) if isinstance(self.budget, Sequence)
                else str(self.budget))
