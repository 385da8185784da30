"""What all networks share: how pixels come in, and how grasps are read from maps."""

from typing import Generic, TypeVar

from moss_perception.models.checkpoint import Network
from moss_perception.models.grasp_config import GraspConfig
from moss_perception.models.layers.head import GraspHead
from moss_perception.models.layers.timing import Timing
import torch
from torch import nn, Tensor
import torch.nn.functional as F

R = TypeVar('R', bound=GraspConfig)

# By which lead times are scaled at least: a network that knows one alone learns nothing of others.
_SHORTEST_HALF_S = 0.05


class Backbone(nn.Module):
    """
    Three stages of 3 x 3 convolutions, at strides 2, 4 and 8, that see each frame by itself.

    :param channels: output channels of the three stages.
    :ivar frozen: how many of the first stages are frozen, see :meth:`freeze`.
    """

    def __init__(self, channels: tuple[int, int, int]):
        super().__init__()
        self.stages = nn.ModuleList(
            _stage(*sizes) for sizes in zip((3, *channels[:2]), channels, (1, 2, 3), strict=True))
        self.frozen = 0

    def freeze(self, count: int) -> None:
        """
        Keep the first stages as they are during training, statistics included.

        :param count: how many stages.
        """
        self.frozen = count
        for stage in self.stages[:count]:
            stage.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'Backbone':
        """Set the mode of all but the frozen stages; see :meth:`freeze`."""
        super().train(mode)
        for stage in self.stages[:self.frozen]:
            stage.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """
        Compute the features of each frame by itself.

        :param images: float tensor, normalised RGB, shape ``(N, 3, S, S)``.
        :returns: features at stride 4 and at stride 8.
        """
        _, fine, deep = self.all_stages(images)
        return fine, deep

    def all_stages(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the features at strides 2, 4 and 8."""
        first = self.first(images)
        fine = self.second(first)
        return first, fine, self.late(fine)

    def early(self, images: Tensor) -> Tensor:
        """Compute the features at stride 4."""
        return self.second(self.first(images))

    def first(self, images: Tensor) -> Tensor:
        """Compute the features at stride 2."""
        return self.stages[0](images)

    def second(self, first: Tensor) -> Tensor:
        """Compute those at stride 4 from them."""
        return self.stages[1](first)

    def late(self, fine: Tensor) -> Tensor:
        """Compute those at stride 8 from them."""
        return self.stages[2](fine)


def _stage(in_channels: int, out_channels: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in range(convolutions):
        layers += [nn.Conv2d(out_channels if n else in_channels, out_channels, 3,
                             stride=1 if n else 2, padding=1, bias=False),
                   nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class GraspReader(Network[R]):
    """
    A network with this package's backbone and head, however it looks over time.

    Grasps are read from the newest frame's fine map and a map of what happened. Instead of
    images, ``forward`` also takes what :meth:`fine_maps` made of them, unless it
    :attr:`needs_images`; it returns where the object is seen as :class:`GraspHead` does.

    :param config: sizes, window and preprocessing.
    :ivar needs_images: whether it looks at the images themselves, as optical flow does, and not
        only at :meth:`fine_maps`.
    """

    mean: Tensor
    std: Tensor
    needs_images: bool = False

    def __init__(self, config: R):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.channels)
        self.merge = (None if config.map_stride == 8 else
                      nn.Conv2d(config.channels[2], config.channels[1], 1))

    def freeze(self, stages: int) -> None:
        # Images arrive with their channels last; weights laid out alike save a copy a layer.
        self.backbone.to(  # pyright: ignore[reportCallIssue]  torch documents it
            memory_format=torch.channels_last)
        self.backbone.freeze(stages)

    def add_reading(self) -> None:
        """Make the layers of the reading; last, since the order of weights is an optimizer's."""
        config, wide = self.config, self.config.head_channels
        self.lateral = nn.Conv2d(config.channels[1], wide, 1)
        self.smooth = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
                                    nn.Conv2d(wide, wide, 1))
        low, high = config.lead_times_s
        lead_time = config.default_lead_time_s, max((high - low) / 2, _SHORTEST_HALF_S)
        self.head = GraspHead(wide, config.ensemble, config.default_depth_m,
                              lead_time if config.time_inputs else None, config.velocity_orders,
                              config.history_frames)
        self.timing = Timing(config, wide) if config.time_inputs else None
        self.register_buffer('mean', torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(config.std).view(3, 1, 1), persistent=False)

    def merged(self, fine: Tensor, deep: Tensor) -> Tensor:
        """
        Return the maps that the network looks over, of :attr:`GraspConfig.map_stride`.

        :param fine: of stride 4, shape ``(N, C, H, W)``.
        :param deep: of stride 8, shape ``(N, C', H / 2, W / 2)``.
        """
        return deep if self.merge is None else fine + _doubled(self.merge(deep))

    def normalise(self, images: Tensor) -> Tensor:
        """Turn uint8 RGB, shape ``(N, S, S, 3)``, into the backbone's ``(N, 3, S, S)``."""
        return (images.movedim(-1, 1).float() - 255 * self.mean) * (1 / (255 * self.std))

    def fine_maps(self, clip: Tensor) -> Tensor:
        """
        Return the backbone's maps of stride 4, shape ``(B, T, C, H, W)``.

        :param clip: uint8 images, shape ``(B, T, S, S, 3)``; or these maps, computed before, of
            any floating type, shape ``(B, T, H, W, C)``.
        """
        if clip.dtype != torch.uint8:
            return clip.float().movedim(-1, 2)
        images = self.normalise(clip.flatten(0, 1))
        return self.backbone.early(images).unflatten(0, clip.shape[:2])

    def read(self, fine: Tensor, context: Tensor, grasps: Tensor, gaps: Tensor | None = None,
             motion: Tensor | None = None,
             history: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """
        Score grasps.

        :param fine: of the newest frame, shape ``(B, C, H, W)``.
        :param context: what happened, shape ``(B, R, H, W)``, or half as high and wide.
        :param grasps: float tensor, shape ``(B, K, 5)``, with time inputs ``(B, K, 6)``.
        :param gaps: with time inputs, see :mod:`moss_perception.models.layers.timing`.
        :param motion: what displacements say, see :meth:`GraspHead.forward`, as for ``history``.
        :returns: logits and the object's places, see :meth:`GraspHead.forward`.
        """
        if self.timing is not None:
            assert gaps is not None  # with time inputs
            context = context + self.timing(gaps)
        if context.shape[-1] != fine.shape[-1]:
            context = _doubled(context)
        features = F.relu(self.smooth(F.relu(self.lateral(fine) + context)))
        logits, located = self.head(features, grasps, motion, history)
        return logits / self.config.temperature, located


def _doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode='bilinear', align_corners=False)


def ensemble_probability(logits: Tensor) -> tuple[Tensor, Tensor]:
    """
    Turn the members' logits into a probability and its uncertainty.

    :param logits: float tensor, shape ``(..., M)``.
    :returns: mean of the members' probabilities in [0, 1], and their standard deviation in
        [0, 0.5], each of shape ``(...)``.
    """
    probabilities = torch.sigmoid(logits)
    mean = probabilities.mean(dim=-1)
    return mean, (probabilities - mean[..., None]).square().mean(dim=-1).sqrt()


def appearance(*maps: Tensor) -> Tensor:
    """
    Say what a frame looks like, without where: means and spreads of the channels of its maps.

    :param maps: of one frame, shape ``(1, C, H, W)`` each.
    :returns: shape ``(2 * sum of C,)``: of each map its means, then its standard deviations.
    """
    found = []
    for one in maps:
        positions = one.flatten(2)[0]
        mean = positions.mean(dim=-1, keepdim=True)
        found += [mean[:, 0], (positions - mean).square().mean(dim=-1).sqrt()]
    return torch.cat(found)


N = TypeVar('N', bound=GraspReader)


class StreamStep(nn.Module, Generic[N]):
    """
    One step of a stream, as a graph holds it.

    A subclass adds ``forward``. It takes an image, uint8, RGB, shape ``(1, S, S, 3)``; grasps,
    float32, shape ``(1, K, 5)``, with time inputs ``(1, K, 6)``, ``K`` at least 1; the graph's
    other inputs; a list of what earlier samples kept; and, with time inputs, the window's gaps,
    shape ``(1, T - 1)``. It returns :data:`moss_perception.models.graph_model.RESULTS`, then what
    later samples need.

    :param network: its weights are shared.
    """

    def __init__(self, network: N):
        super().__init__()
        self.network = network

    def see(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the frame's fine map, the map that the network looks over, and appearance."""
        normal = self.network.normalise(image)
        first, fine, deep = self.network.backbone.all_stages(normal)
        return fine, self.network.merged(fine, deep), appearance(normal, first, fine, deep)

    def scores(self, fine: Tensor, context: Tensor, grasps: Tensor, gaps: Tensor | None,
               motion: Tensor | None = None,
               history: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return scores and uncertainties, shape ``(K,)``; see :meth:`GraspReader.read`."""
        logits, _ = self.network.read(fine, context, grasps, gaps, motion, history)
        return ensemble_probability(logits.squeeze(0))
