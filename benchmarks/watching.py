"""What watching costs: delay of the scores with 0, 1 and 10 viewers of the page, in one run."""

import subprocess
import sys
import time
from urllib.request import urlopen

from harness import parse_arguments, Report
from live_camera import Camera, cameras, Delays, play
from live_nodes import cpu_seconds, NodeError, running, START_S, stop
from moss_perception.ros.system.grasp import grasp_system

RATE_HZ, PORT = 30.0, 8481
VIEWERS = (0, 1, 10)
# A page asks for the next state when it has drawn one; these draw nothing.
VIEWER = """
import asyncio, json, signal, sys, websockets
signal.signal(signal.SIGINT, signal.SIG_DFL)
async def view(port):
    async with websockets.connect(f'ws://127.0.0.1:{port}/live', max_size=None) as page:
        await page.send(json.dumps({'token': ''}))
        await page.send('{"next":1}')
        async for message in page:
            if isinstance(message, str) and '"history"' not in message[:40]:
                await page.send('{"next":1}')
async def main():
    await asyncio.gather(*(view(sys.argv[1]) for _ in range(int(sys.argv[2]))))
asyncio.run(main())
"""


def wait_for_page() -> None:
    """Wait until the page is served."""
    end_s = time.monotonic() + START_S
    while True:
        try:
            urlopen(f'http://127.0.0.1:{PORT}/state', timeout=2.0).close()
            return
        except OSError as error:
            if time.monotonic() > end_s:
                raise NodeError(f'the page does not answer: {error}') from error
            time.sleep(0.2)


def round_of(camera: Camera, started: dict, viewers: int,
             seconds: float) -> tuple[Delays, float, float]:
    """Measure with viewers; also the cores that predictor and page use."""
    command = [sys.executable, '-c', VIEWER, str(PORT), str(viewers)]
    clients = subprocess.Popen(command) if viewers else None
    try:
        before = [cpu_seconds(started[name]) for name in ('grasp_predictor', 'grasp_monitor')]
        begun_s = time.monotonic()
        delays, = play([camera], RATE_HZ, seconds)
        passed_s = time.monotonic() - begun_s
        if clients is not None and clients.poll() is not None:
            raise NodeError('the viewers have ended: expected the page to serve them')
    finally:
        if clients is not None:
            stop(clients)
    after = [cpu_seconds(started[name]) for name in ('grasp_predictor', 'grasp_monitor')]
    node, page = ((end - start) / passed_s for start, end in zip(before, after, strict=True))
    return delays, node, page


def main() -> None:
    """Measure in turns."""
    arguments = parse_arguments(__doc__)
    rounds, seconds = (1, 3.0) if arguments.quick else (4, 30.0)
    report = Report('watching', arguments, [0])
    values = {'gate': 'false', 'console': 'false', 'web': 'true', 'web_port': str(PORT),
              **({'model': arguments.model} if arguments.model else {})}
    found: dict[int, list[tuple[Delays, float, float]]] = {count: [] for count in VIEWERS}
    with running(grasp_system(values)) as started, cameras() as (camera,):
        wait_for_page()
        for _ in range(rounds):
            for count in VIEWERS:
                found[count].append(round_of(camera, started, count, seconds))
    together = {count: Delays([x for delays, *_ in turns for x in delays.seconds])
                for count, turns in found.items()}
    report.table('delay of the scores, by viewers', [
        {'viewers': count, **together[count].row(),
         'cores of the node': max(node for _, node, _ in found[count]),
         'cores of the page': max(page for _, _, page in found[count])}
        for count in VIEWERS],
        f'from the publishing of an image of 320 x 240 pixels until its scores came; camera at '
        f'{RATE_HZ:g} Hz; {rounds} rounds of {seconds:g} s in turns; viewers take each picture '
        'and draw nothing')
    report.target('p99 that ten viewers add', together[10].percentile(99)
                  - together[0].percentile(99), 'at most', 5, 'ms')
    report.finish()


if __name__ == '__main__':
    main()
