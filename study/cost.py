"""Cost of a network: parameters, operations, and time a frame."""

from collections.abc import Callable
import itertools
from statistics import median
import time

from moss_perception.models.base import model_type
from moss_perception.models.layers.temporal import ClipNetwork
from moss_perception.models.layers.timing import window_gaps
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.runtime.torch_engine import TorchEngine
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

_GRASPS = 9
_ROUNDS = 9


@torch.inference_mode()
def measure_cost(network: MossGraspNetwork | ClipNetwork, repeats: int = 5) -> dict[str, float]:
    """
    Measure a network on its device, with nine grasps a frame.

    A step is what the node does with a new frame. A window of a :class:`ClipNetwork` shares the
    maps among its frames, which is how it is trained: a frame costs a window divided by the number
    of frames, and only scoring the grasps counts in full. So does a step of what sees whole clips
    only. A step of the others can cost more, as it must do again what depends on the whole window.
    Optical flow counts in the time, but not in the operations.

    :param network: in evaluation mode.
    :param repeats: number of repeats, of which the median time is taken. On a CPU it is process
        time, so that other work on the machine matters little.
    :returns: ``parameters`` in use; ``mflop_a_frame`` and ``mflop_a_step``, multiplications and
        additions as torch counts them; ``ms_a_step``; and ``ms_a_window``, a whole window from
        images to scores. Times are torch's, added up over its threads on a CPU.
    """
    config = network.config
    device = network.mean.device
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1, config.window_frames, config.image_size, config.image_size,
                                    3), dtype=torch.uint8, generator=generator).to(device)
    grasp = [0.1, 0.1, config.default_depth_m, 0.1, 0.0, config.default_lead_time_s]
    grasps = torch.tensor([grasp[:config.grasp_values]], device=device).repeat(1, _GRASPS, 1)
    used = {name: p for name, p in network.named_parameters() if 'moss.out.' not in name}
    streams = model_type(config.model).streams
    stream = [(_stream(network, images, grasps), 1)] if streams else []
    work = _clip_work(network, images, grasps) if isinstance(network, ClipNetwork) else stream
    step = stream or work
    return {'parameters': sum(p.numel() for p in used.values()),
            'mflop_a_frame': sum(_operations(call) / frames for call, frames in work) / 1e6,
            'mflop_a_step': sum(_operations(call) / frames for call, frames in step) / 1e6,
            'ms_a_step': sum(_time(call, repeats, device) / frames for call, frames in step),
            'ms_a_window': _time(lambda: network(images, grasps), repeats, device)}


def measure_in_turns(networks: dict[str, MossGraspNetwork | ClipNetwork]) -> dict[str, dict]:
    """
    Measure several networks in turn, so that a disturbance affects all of them alike.

    :param networks: by name, as :func:`measure_cost` takes them.
    :returns: by name, the median over the rounds of each value of :func:`measure_cost`.
    """
    # The first round warms up.
    rounds = [{name: measure_cost(network) for name, network in networks.items()}
              for _ in range(_ROUNDS + 1)][1:]
    return {name: {key: median(one[name][key] for one in rounds) for key in rounds[0][name]}
            for name in networks}


def _clip_work(network: ClipNetwork, images: Tensor,
               grasps: Tensor) -> list[tuple[Callable[[], object], int]]:
    """Return the calls that score one frame, each with the number of frames it serves."""
    gaps = window_gaps(network.config, None, images)
    fine, maps, observed = network.encode(images, gaps=gaps)
    return [(lambda: network.encode(images, gaps=gaps), network.config.frames_seen),
            (lambda: network.read(fine, network.temporal.context(maps), grasps, gaps,
                                  *network.temporal.motion(observed, gaps)), 1)]


def _stream(network: MossGraspNetwork | ClipNetwork, images: Tensor,
            grasps: Tensor) -> Callable[[], object]:
    """Return what takes the next sample of a stream, whose window is full."""
    engine = TorchEngine(network, str(network.mean.device))
    frames, points = itertools.cycle(images[0].cpu().numpy()), grasps[0].cpu().numpy()
    state, level = engine.initial_state(), len(network.config.levels)

    def step() -> None:
        nonlocal state
        seen = engine.model.observation(next(frames), 1 / network.config.frame_rate_hz)
        _, state = engine.step(seen, points, state, level)
    for _ in range(network.config.window_frames):
        step()
    return step


def _operations(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _time(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Return the median time of a call, milliseconds."""
    call()
    clock = time.process_time
    if device.type == 'cuda':
        clock = time.perf_counter
    times = []
    for _ in range(repeats):
        _synchronise(device)
        start = clock()
        call()
        _synchronise(device)
        times.append(1e3 * (clock() - start))
    return median(times)


def _synchronise(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
