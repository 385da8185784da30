"""Streams of frames through MOSS: eagerly, compiled, and as a graph of ONNX Runtime."""

from collections.abc import Sequence
import contextlib
import io
from itertools import chain
import logging
import warnings

import checkout  # noqa: F401 (makes moss_perception importable)
from moss_perception.moss import MOSS
from moss_perception.runtime.onnx_engine import session_options
import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn, Tensor


class Stream:
    """
    Steps MOSS eagerly, keeping its state.

    :param moss: the block.
    :param frames: random frames, shape ``(n, 1, C, H, W)``, taken in turns.
    """

    def __init__(self, moss: MOSS, frames: Tensor):
        self.moss, self.frames, self.count = moss, frames, 0
        self.state = moss.initial_state(1, *frames.shape[-2:])
        self._step = moss.step

    def compiled(self) -> 'Stream':
        """Return a stream whose step is compiled."""
        other = Stream(self.moss, self.frames)
        other._step = torch.compile(self.moss.step, fullgraph=True)
        return other

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        frame = self.frames[self.count % len(self.frames)]
        self.count += 1
        out, self.state = self._step(frame, self.state)
        return out


class PeerStream:
    """Steps vit-pytorch's MOSS, keeping its cache; frames as in :class:`Stream`."""

    def __init__(self, moss: nn.Module, frames: Tensor):
        self.moss, self.cache, self.count = moss, None, 0
        self.frames = frames.movedim(2, -1)[:, :, None].contiguous()

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        frame = self.frames[self.count % len(self.frames)]
        self.count += 1
        out, self.cache = self.moss(frame, cache=self.cache, return_cache=True)
        return out


class _StepApart(nn.Module):
    """A step whose state comes in map by map, and goes out as the newest map of each order."""

    def __init__(self, moss: MOSS):
        super().__init__()
        self.moss = moss

    def forward(self, x: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        kept = self.moss.window[0] - 1
        state = tuple(maps[n:n + kept] for n in range(0, len(maps), kept))
        out, state = self.moss.step(x, state)
        return out, *(order[-1] for order in state)


def export(module: nn.Module, arguments: tuple) -> onnx.ModelProto:
    """Export a module with fixed shapes; the exporter's own chatter is left out."""
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    module.eval()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter('ignore')
        # Indices that are made at the first call and kept become constants of the graph.
        module(*arguments)
        return torch.onnx.export(module, arguments, dynamo=True).model_proto


def session(model: onnx.ModelProto | bytes, threads: int,
            profile: str = '') -> onnxruntime.InferenceSession:
    """
    Open a graph on the CPU as the predictor's engine does: its threads spin only while it runs.

    :param profile: beginning of the file that a profile is written to; empty for none.
    """
    options = session_options(threads)
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options,
                                        providers=['CPUExecutionProvider'])


class Graph:
    """
    Runs a graph whose state comes last, in and out, and is handed on without a copy.

    :param opened: the session.
    :param feeds: what comes before the state: for each input the values to take in turns.
    :param state: before the first run.
    :param queues: how it is divided into queues, oldest first, of each of which a run gives one
        more in place of the oldest: the lengths. ``None``: each part is a queue of its own.
    """

    def __init__(self, opened: onnxruntime.InferenceSession, feeds: list[list[Tensor]],
                 state: Sequence[Tensor] = (), queues: Sequence[int] | None = None):
        self.session = opened
        self.inputs = [x.name for x in opened.get_inputs()]
        self.outputs = [x.name for x in opened.get_outputs()]
        self.feeds = [[np.ascontiguousarray(x.numpy()) for x in turns] for turns in feeds]
        parts, self.count = iter([x.numpy() for x in state]), 0
        lengths = [1] * len(state) if queues is None else queues
        self.queues = [[next(parts) for _ in range(length)] for length in lengths]

    def __call__(self) -> list[np.ndarray]:
        values = [turns[self.count % len(turns)] for turns in self.feeds]
        self.count += 1
        feed = dict(zip(self.inputs, chain(values, *self.queues), strict=True))
        found = self.session.run(self.outputs, feed)
        self.queues = [[*queue[1:], new] for queue, new in zip(
            self.queues, found[len(found) - len(self.queues):], strict=True)]
        return found


def onnx_stream(moss: MOSS, frames: Tensor, threads: int, profile: str = '') -> Graph:
    """Step an exported MOSS in ONNX Runtime; as in :class:`Stream` and :func:`session`."""
    state = moss.initial_state(1, *frames.shape[-2:], apart=True)
    maps = tuple(chain(*state))
    model = export(_StepApart(moss), (frames[0], *maps))
    return Graph(session(model, threads, profile), [list(frames)], maps,
                 [len(order) for order in state])
