"""Whether anything grows: many frames through the predictor, and a long stream to the node."""

import time
from typing import Any

from moss_perception.core.frames import Frame
from moss_perception.ros.common import conversions
from moss_perception.runtime.predictor import Predictor
import numpy as np

from reliability_parts import generated
from reliability_parts.common import Held, percentiles
from reliability_parts.load import between
from reliability_parts.nodes import environment, folder, Program

RATE_HZ = 30.0
_WARM_UP_FRAMES = 3000
_WARM_UP_S = 300.0
_POINTS = 40


def frames(model: str, count: int) -> dict[str, Any]:
    """
    Push frames at 30 Hz of their stamps through the predictor, as fast as it goes.

    :param count: number of frames.
    """
    predictor = Predictor.load(model, threads=1)
    start_ns = generated.START_NS
    predictor.set_camera(conversions.to_camera(generated.camera_info(0, start_ns)))
    pictures = [generated.picture(seed) for seed in range(50)]
    warm = min(_WARM_UP_FRAMES, count // 10)
    begun: Held | None = None
    curve: list[list[float]] = []
    # Written to at once, so that what is measured does not grow with the measurements.
    times_s, timed = np.full(count, np.nan), 0
    for number in range(count):
        stamp_ns = start_ns + round(number * 1e9 / RATE_HZ)
        if number % 30 == 0:
            predictor.set_candidates(conversions.to_candidates(
                generated.candidates(number // 30, stamp_ns)))
        began_s = time.perf_counter()
        scored = predictor.push(Frame(stamp_ns, generated.FRAME, pictures[number % 50]))
        if scored is not None and number >= warm:
            times_s[timed] = time.perf_counter() - began_s
            timed += 1
        if number == warm:
            begun = Held.by()
        if number % max(1, count // _POINTS) == 0:
            curve.append([number, round(Held.by().resident_mib, 2)])
    assert begun is not None, 'there are more frames than those of the warm-up'
    counters = predictor.counters
    return {'frames': count, 'scored': counters.scored, 'resident_mib_by_frame': curve,
            **percentiles(times_s[:timed]), **begun.growth(Held.by())}


def node(model: str, seconds: float) -> dict[str, Any]:
    """
    Send 640 x 480 images at 30 Hz to a predictor in a process of its own.

    :param seconds: length of the stream.
    """
    with folder() as at:
        variables = environment(profile=True)
        common = {'compressed': False, 'reliability': 'reliable'}
        listener = Program(at, variables, 'streams:listener').wait_for('ready')
        program = Program(at, variables, 'streams:predictor', model=model, depth=5,
                          executor='single', threads=1, **common)
        try:
            program.wait_for('ready')
            camera = Program(at, variables, 'streams:camera', rate_hz=RATE_HZ, seconds=seconds,
                             width=640, height=480, **common)
            begun, curve = _watch(program, camera, seconds)
            growth = begun.growth(Held.by(program.process.pid))
            published = camera.result()
        finally:
            counters = program.stop()
            heard = listener.stop()
    sent = {int(stamp): at_ns for stamp, at_ns in (published or {}).items()}
    return {'seconds': seconds, 'resident_mib_by_second': curve, **growth,
            'scores': between(sent, (heard or {'scored': {}})['scored']), 'node': counters}


def _watch(program: Program, camera: Program, seconds: float) -> tuple[Held, list[list[float]]]:
    """Follow what the predictor holds until the camera has ended."""
    begun: Held | None = None
    curve: list[list[float]] = []
    began_s, warm_s = time.monotonic(), min(_WARM_UP_S, seconds / 3)
    while camera.process.poll() is None:
        since_s = time.monotonic() - began_s
        held = Held.by(program.process.pid)
        if begun is None and since_s > warm_s:
            begun = held
        if not curve or since_s - curve[-1][0] >= seconds / _POINTS:
            curve.append([round(since_s, 1), round(held.resident_mib, 2)])
        if program.process.poll() is not None:
            raise RuntimeError(f'the predictor has ended:\n{program.log.read_text()[-1500:]}')
        time.sleep(0.2)
    if begun is None:
        raise RuntimeError(f'the camera has failed:\n{camera.log.read_text()[-1500:]}')
    return begun, curve
