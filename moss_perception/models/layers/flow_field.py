"""Optical flow between two images, by OpenCV's dense inverse search (DIS); without torch."""

from collections.abc import Mapping
import threading
from typing import Any, Generic, TypeVar

import cv2
from moss_perception.models.base import InputSpec, Runner
from moss_perception.models.clock import Clock
from moss_perception.models.graph_model import GraphModel, image_inputs, StreamState
from moss_perception.models.grasp_config import GraspConfig
import numpy as np

F = TypeVar('F', bound=GraspConfig)
# So that a motion of a few pixels is a number of about 1.
UNIT_PIXELS = 4.0
# Periods. With time inputs, flow is divided by the time between its images, or by this if it is
# longer: its error is no smaller for images that are nearer.
SHORTEST_GAP = 0.5


class _Searches(threading.local):
    """A search for each thread: OpenCV's keeps its pyramids in itself while it computes."""

    def __init__(self):
        # OpenCV's annotations know only a newer name of it.
        create = cv2.DISOpticalFlow_create  # pyright: ignore[reportAttributeAccessIssue]
        self.search = create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        # The images are small: go down to single pixels.
        self.search.setFinestScale(0)


_SEARCHES = _Searches()


class FlowField:
    """Computes the flow from one image to the next, in several threads at the same time."""

    def between(self, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        """
        Compute the flow between two grey images.

        :param before: uint8, shape ``(S, S)``, from :func:`grey`; so is ``now``.
        :returns: float32, shape ``(2, S, S)``: right and down, in units of 4 pixels.
        """
        return _SEARCHES.search.calc(before, now, None).transpose(2, 0, 1) / UNIT_PIXELS


def grey(image: np.ndarray) -> np.ndarray:
    """Turn a uint8 RGB image into the grey one that the flow is computed of."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


class FlowGraphModel(GraphModel[F, Any], Generic[F]):
    """
    A model whose graph also takes optical flow, which no graph can compute.

    A map sees the newest flows, as many as lie between two temporal taps: so none is missed.
    """

    def __init__(self, config: F, runner: Runner | None = None):
        super().__init__(config, runner)
        self._field = FlowField()

    def prepare(self, observation: Mapping[str, np.ndarray], state: StreamState,
                clock: Clock) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
        """
        Compute the flow that led to this image; it is 0 at the first of a stream.

        :returns: the graph's inputs; and the newest flows, oldest first, ``(2, S, S)`` each.
        """
        feeds, _ = super().prepare(observation, state, clock)
        side, stacked, before = self.config.image_size, self.config.tap_stride, state.observation
        nothing = np.zeros((2, side, side), np.float32)
        flow = nothing if before is None else self._field.between(
            grey(before['rgb']), grey(observation['rgb']))
        if self.config.time_inputs and before is not None:
            flow = flow / max(clock.gaps[-1] * self.config.frame_rate_hz, SHORTEST_GAP)
        flows = (*(state.extra or (nothing,) * stacked), flow)[-stacked:]
        feeds['flow'] = np.concatenate(flows, dtype=np.float32)[None]
        return feeds, flows


def flow_inputs(config: GraspConfig) -> dict[str, InputSpec]:
    """Describe the inputs of a graph that takes flow: ``flow`` holds the newest ones stacked."""
    side = config.image_size
    return image_inputs(config) | {'flow': InputSpec((1, 2 * config.tap_stride, side, side))}
