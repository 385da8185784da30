"""The shipped predictor without MOSS, from which the overhead of MOSS is measured."""

import checkout  # noqa: F401 (makes moss_perception importable)
from moss_perception.models.graph_model import RESULTS
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.models.moss_grasp.network import GraspStep, MossGraspNetwork
from streams import export, Graph, session
import torch
from torch import nn, Tensor
import torch.nn.functional as F

GRASPS = 6


class BareStep(nn.Module):
    """
    A step of a :class:`MossGraspNetwork` that reads only the backbone's maps, all else alike.

    :param network: its weights are shared.
    """

    def __init__(self, network: MossGraspNetwork):
        super().__init__()
        self.network = network

    def initial_state(self) -> tuple[Tensor, ...]:
        """Return the head's recent maps before the first sample."""
        config = self.network.config
        return tuple(torch.zeros(config.map_size ** 2, config.head_channels)
                     for _ in config.temporal_taps[:-1])

    def forward(self, image: Tensor, grasps: Tensor, *recent: Tensor) -> tuple[Tensor, ...]:
        """Take one sample: scores, uncertainties and this sample's map."""
        network = self.network
        config, normal = network.config, network.normalise(image)
        first, fine, deep = network.backbone.all_stages(normal)
        _, coarse = network.looked_over(normal, first, fine, deep)
        newest = F.relu(network.look(coarse.movedim(1, -1).flatten(0, -2)))
        motion = None
        if config.velocity_orders:
            # The head looks for velocities, and nothing moves.
            side = config.compared_size
            motion = torch.zeros(1, 2 * config.velocity_orders, side, side)
        history = torch.zeros(1, config.history_frames, 3) if config.history_frames else None
        logits, _ = network.score(fine, [*recent, newest], grasps, steady(network), motion,
                                  history)
        return *ensemble_probability(logits.squeeze(0)), newest


class WholeStep(nn.Module):
    """
    The whole step, its state as arguments of their own and every order in use.

    :param network: its weights are shared.
    :param orders: orders 1 to this one are run.
    """

    def __init__(self, network: MossGraspNetwork, orders: int):
        super().__init__()
        self.orders = orders
        self.inner = GraspStep(network, orders)

    def initial_state(self) -> tuple[Tensor, ...]:
        """Return the state before the first sample."""
        return self.inner.initial_state()

    def forward(self, image: Tensor, grasps: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Take one sample: all that :class:`GraspStep` gives, the state last."""
        orders = self.orders
        found = self.inner(image, grasps, torch.tensor([orders]), state,
                           steady(self.inner.network))
        results, kept = found[:len(RESULTS)], found[len(RESULTS):]
        caches, maps, velocities = kept[:orders], kept[orders:2 * orders], kept[2 * orders:]
        return *results, *maps[:-1], *caches, maps[-1], *velocities


def steady(network: MossGraspNetwork) -> Tensor | None:
    """Return the gaps of samples that all came in time; ``None`` without time inputs."""
    config = network.config
    if not config.time_inputs:
        return None
    return torch.full((1, config.window_frames - 1), 1 / config.frame_rate_hz)


def samples(config: MossGraspConfig, count: int = 8,
            grasps: int = GRASPS) -> tuple[Tensor, Tensor]:
    """
    Draw what a predictor of this configuration sees.

    :returns: images, uint8 ``(count, S, S, 3)``, and grasps, float32 ``(1, K, 5)``, or 6 values
        with time inputs.
    """
    generator = torch.Generator().manual_seed(0)
    size, values = config.image_size, config.grasp_values
    images = torch.randint(0, 256, (count, size, size, 3), generator=generator,
                           dtype=torch.uint8)
    points = 1.6 * torch.rand(grasps, values, generator=generator) - 0.8
    points[:, 2:] = torch.tensor([0.6, 0.1, 0.05, config.default_lead_time_s])[:values - 2]
    return images, points[None]


def arguments_of(step: nn.Module) -> tuple[Tensor, ...]:
    """Return what a step takes: an image, :data:`GRASPS` grasps, and the first state."""
    images, points = samples(network_of(step).config, 1)
    return images[:1], points, *step.initial_state()


def network_of(step: nn.Module) -> MossGraspNetwork:
    """Return the network that is stepped."""
    return step.network if isinstance(step, BareStep) else step.inner.network


def queues_of(step: nn.Module) -> list[int]:
    """
    Return how a step's state is divided: a cache an order, the head's maps, and velocities.

    A cache holds the maps at the lags; here each shifts as if the lags were those of neighbours,
    which takes the same time.
    """
    config = network_of(step).config
    orders, looks = getattr(step, 'orders', 0), len(config.temporal_taps) - 1
    history = [1] if config.history_frames and orders else []
    return [len(config.used_lags)] * orders + [looks] * (looks > 0) + history


def stepper(step: nn.Module, threads: int) -> Graph:
    """Return what takes the next sample in ONNX Runtime."""
    images, points = samples(network_of(step).config)
    opened = session(export(step, arguments_of(step)), threads)
    return Graph(opened, [list(images.split(1)), [points]], step.initial_state(), queues_of(step))
