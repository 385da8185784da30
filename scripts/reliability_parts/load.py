"""How long an image takes from the camera to its score, beside a bare hop in the same run."""

from dataclasses import asdict, dataclass
from typing import Any

from reliability_parts.common import percentiles
from reliability_parts.nodes import environment, folder, Program

_SETTLE_S = 1.0
# Of each stream, what comes before the window is full and the caches are warm.
_WARM_UP_S = 3.0


@dataclass(frozen=True)
class Stream:
    """Images of a camera, and how they are received."""

    name: str
    rate_hz: float = 30.0
    width: int = 640
    height: int = 480
    compressed: bool = False
    reliability: str = 'best_effort'
    depth: int = 5
    large_shared_memory: bool = False
    executor: str = 'single'
    threads: int = 1


STREAMS = [
    Stream('raw, 30 Hz'),
    Stream('raw, 60 Hz', 60.0),
    Stream('raw, 120 Hz', 120.0),
    Stream('JPEG 1920 x 1080, 30 Hz', 30.0, 1920, 1080, compressed=True),
    Stream('raw, 30 Hz, reliable', reliability='reliable'),
    Stream('raw, 30 Hz, depth 1', depth=1),
    Stream('raw, 30 Hz, large shared memory', large_shared_memory=True),
    Stream('raw, 30 Hz, large shared memory, 2 threads', large_shared_memory=True, threads=2),
    Stream('raw, 120 Hz, large shared memory', 120.0, large_shared_memory=True),
    Stream('raw, 30 Hz, EventsExecutor', executor='events'),
    Stream('raw, 30 Hz, EventsExecutor, large shared memory', large_shared_memory=True,
           executor='events'),
]


def run(model: str, seconds: float) -> dict[str, Any]:
    """
    Measure each stream.

    :param seconds: of images, for the bare hop and for the predictor, each.
    """
    return {'seconds': seconds, 'streams': [measure(x, model, seconds) for x in STREAMS]}


def measure(stream: Stream, model: str, seconds: float) -> dict[str, Any]:
    """Measure one stream: through a bare subscription, then through the predictor."""
    found: dict[str, Any] = asdict(stream)
    try:
        with folder() as at:
            variables = environment(stream.large_shared_memory)
            found['hop'] = _hop(stream, at, variables, seconds)
        with folder() as at:
            variables = environment(stream.large_shared_memory)
            found |= _scores(stream, model, at, variables, seconds)
    except RuntimeError as error:
        found['error'] = str(error)
    print(f'{stream.name}: hop {found.get("hop")}, scores {found.get("scores")}', flush=True)
    return found


def _camera(stream: Stream, at: Any, variables: dict[str, str], seconds: float) -> Any:
    program = Program(
        at, variables, 'streams:camera', rate_hz=stream.rate_hz, seconds=seconds,
        width=stream.width, height=stream.height, compressed=stream.compressed,
        reliability=stream.reliability)
    published = program.result(timeout_s=seconds + 120.0)
    if not published:
        raise RuntimeError(f'the camera has failed:\n{program.log.read_text()[-1000:]}')
    return {int(stamp): sent_ns for stamp, sent_ns in published.items()}


def _hop(stream: Stream, at: Any, variables: dict[str, str], seconds: float) -> dict[str, Any]:
    program = Program(at, variables, 'streams:bare', compressed=stream.compressed,
                      reliability=stream.reliability, depth=stream.depth,
                      executor=stream.executor).wait_for('ready')
    published = _camera(stream, at, variables, seconds)
    received = program.stop()
    if received is None:
        raise RuntimeError(f'the bare subscription {program.why()}')
    return between(published, received)


def _scores(stream: Stream, model: str, at: Any, variables: dict[str, str],
            seconds: float) -> dict[str, Any]:
    listener = Program(at, variables, 'streams:listener').wait_for('ready')
    node = Program(at, variables, 'streams:predictor', model=model, compressed=stream.compressed,
                   reliability=stream.reliability, depth=stream.depth,
                   executor=stream.executor, threads=stream.threads)
    try:
        node.wait_for('ready')
        published = _camera(stream, at, variables, seconds)
    finally:
        counters = node.stop()
        heard = listener.stop() or {'scored': {}, 'statuses': {}}
    if counters is None:
        raise RuntimeError(f'the predictor {node.why()}')
    return {'scores': between(published, heard['scored']), 'node': counters,
            'statuses': heard['statuses']}


def between(published: dict[int, int], received: dict[str, int]) -> dict[str, Any]:
    """Compare when messages were published and received, after the warm-up."""
    begin_ns = min(published) + int(_WARM_UP_S * 1e9)
    sent = {stamp: at for stamp, at in published.items() if stamp >= begin_ns}
    times = [(received[str(stamp)] - at) / 1e9 for stamp, at in sent.items()
             if str(stamp) in received]
    return {'published': len(sent), 'received': len(times), **percentiles(times)}
