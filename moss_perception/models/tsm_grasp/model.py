"""The model with causal temporal shifts (TSM): each frame hands some channels to the next one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moss_perception.models.base import register
from moss_perception.models.graph_model import gap_inputs, Graph, GraphModel, image_inputs, Tap
from moss_perception.models.grasp_config import TemporalConfig

if TYPE_CHECKING:
    from moss_perception.models.layers.temporal import ClipNetwork
    from torch import nn

# An eighth of the channels, where a network only looks back.
_SHARE = 8


@dataclass(frozen=True)
class TsmGraspConfig(TemporalConfig):
    """
    Temporal shifts, which need no time inputs to look back.

    :ivar tap_frames: samples between two of the head's temporal taps.
    """

    tap_frames: int = 3

    grasp2_window = 'tap_frames'

    def __post_init__(self):
        super().__post_init__()
        self._expect('tap_frames', self.tap_frames >= 1, '1 or more')

    @property
    def tap_stride(self) -> int:
        """As configured."""
        return self.tap_frames

    @property
    def shifted(self) -> tuple[tuple[int, int], ...]:
        """Channels and side of what each shift takes from the frame before, in their order."""
        _, fine, deep = self.channels
        late = [(fine, self.image_size // 4), *[(deep, self.image_size // 8)] * 2]
        on_map = [(self.map_channels, self.map_size)] * 2
        return tuple((max(channels // _SHARE, 1), side) for channels, side in late + on_map)

    @property
    def map_reach(self) -> int:
        """Each shift looks one sample further back."""
        return len(self.shifted)


@register('tsm_grasp')
class TsmGrasp(GraphModel[TsmGraspConfig, 'ClipNetwork']):
    """Scores grasps by maps with temporal shifts before their convolutions."""

    Config = TsmGraspConfig

    @classmethod
    def build(cls, config: TsmGraspConfig) -> 'ClipNetwork':
        from moss_perception.models.layers.temporal import ClipNetwork
        from moss_perception.models.tsm_grasp.network import TemporalShift
        return ClipNetwork(config, TemporalShift)

    @classmethod
    def describe(cls, config: TsmGraspConfig) -> tuple[Graph, ...]:
        """Describe the one graph: it takes shifted channels, and the maps at the head's taps."""
        numbers = range(1, config.map_reach + 1)
        taps = {f'before_{n}': Tap(f'shifted_{n}', 1, (1, channels, side, side))
                for n, (channels, side) in zip(numbers, config.shifted, strict=True)}
        shape, newest = (config.map_size ** 2, config.head_channels), config.temporal_taps[-1]
        taps |= {f'recent_{k}': Tap('map', newest - tap, shape)
                 for k, tap in enumerate(config.temporal_taps[:-1], start=1)}
        return (Graph('step', image_inputs(config), taps,
                      ('map', *(f'shifted_{n}' for n in numbers)), {'model': cls.Config.model},
                      gap_inputs(config)),)

    @classmethod
    def steps(cls, network: 'ClipNetwork') -> 'list[nn.Module]':
        """Return the one step."""
        from moss_perception.models.tsm_grasp.network import TsmStep
        return [TsmStep(network)]
