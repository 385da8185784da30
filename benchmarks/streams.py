"""Streams of frames through MOSS: eagerly, compiled, and as a graph of ONNX Runtime."""

import contextlib
import io
from pathlib import Path
import tempfile
import warnings

import checkout  # noqa: F401 (makes moss_perception importable)
from moss_perception.moss import MOSS
import numpy as np
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


class _FlatStep(nn.Module):
    def __init__(self, moss: MOSS):
        super().__init__()
        self.moss = moss

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        out, state = self.moss.step(x, tuple(state))
        return out, *state


def export(module: nn.Module, arguments: tuple, path: Path) -> None:
    """Export a module with fixed shapes; the exporter's own chatter is left out."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        torch.onnx.export(module, arguments, path, dynamo=True, external_data=False)


def session(path: Path | str, threads: int, profile: str = '') -> onnxruntime.InferenceSession:
    """Open a graph on the CPU, without spinning threads between its runs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])


class OnnxStream:
    """Steps an exported MOSS in ONNX Runtime, its state held there; as :class:`Stream`."""

    def __init__(self, moss: MOSS, frames: Tensor, threads: int):
        state = moss.initial_state(1, *frames.shape[-2:])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'step.onnx'
            export(_FlatStep(moss), (frames[0], *state), path)
            self.session = session(path, threads)
        self.inputs = [x.name for x in self.session.get_inputs()]
        self.outputs = [x.name for x in self.session.get_outputs()]
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        self.frames = [value(np.ascontiguousarray(x.numpy())) for x in frames]
        self.state, self.count = [value(x.numpy()) for x in state], 0

    def __call__(self) -> onnxruntime.OrtValue:
        frame = self.frames[self.count % len(self.frames)]
        self.count += 1
        feed = dict(zip(self.inputs, [frame, *self.state], strict=True))
        out, *self.state = self.session.run_with_ort_values(self.outputs, feed)
        return out
