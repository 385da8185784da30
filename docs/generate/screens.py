"""
Make the pictures of the views: ``python docs/generate/screens.py``, with a Chromium installed.

A recording is played slowly through the nodes; the pictures are taken while a grasp is selected.
For the warning that the images are out of distribution, noise is added to its images.
"""

import argparse
from contextlib import contextmanager
import io
import os
from pathlib import Path
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.resources import executable, share_directory
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.writer import RecordingWriter
import numpy as np
from PIL import Image

IMAGES = Path(__file__).resolve().parents[1] / 'images'
SAMPLE = share_directory() / 'samples' / 'sim_20'
PORT, TIMEOUT_S, LARGEST = 8479, 240, 300_000
# Of the added noise, in 8-bit values: at 60, nine of ten images have an OOD score above 1.
NOISE, SEED = 80, 0
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
SELECTED = ("document.getElementById('selected').dataset.is === 'yes'"
            " && document.getElementById('attempts').tBodies[0].rows.length >= 2")
# The page asks for the next state when it has drawn one.
FREEZE = """
const draw = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (f) => draw((t) => {
  if (window.frozen) return;
  f(t);
  window.frozen = %s;
});
"""
OOD = "document.getElementById('ood').dataset.out === 'yes' && document.title.startsWith('warn')"


@contextmanager
def system(bag, rate):
    """Play a recording through the nodes, with a page."""
    environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    words = [f'bag:={bag}', f'bag_rate:={rate}', 'web:=true',
             f'web_port:={PORT}', 'log_level:=warn']
    process = subprocess.Popen([executable('moss'), 'run', 'grasp', *words], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def noisy(folder):
    """Write the sample with noise in its images into a folder, and return its path."""
    rng, path = np.random.default_rng(SEED), Path(folder) / 'noisy'
    with Recording(SAMPLE) as recording:
        images = recording.image_topic().name
        with RecordingWriter(path, recording.frame_of(images)) as writer:
            for topic, kind, recorded_ns, raw in recording.messages():
                if topic != images:
                    writer.serialised(topic, kind, recorded_ns, raw)
                    continue
                message = recording.deserialize(raw, kind)
                pixels = np.asarray(Image.open(io.BytesIO(message.data.tobytes())).convert('RGB'))
                added = pixels + rng.normal(0, NOISE, pixels.shape)
                jpeg = io.BytesIO()
                Image.fromarray(added.clip(0, 255).astype(np.uint8)).save(jpeg, 'JPEG')
                writer.image(stamp_to_ns(message.header.stamp), jpeg.getvalue())
    return path


def opened(browser, until, width, height):
    """Open the page, and wait until a script is true in it."""
    page = browser.new_page(viewport={'width': width, 'height': height})
    page.add_init_script(FREEZE % until)
    _visit(page)
    end = time.monotonic() + TIMEOUT_S
    while not page.evaluate('window.frozen === true'):
        if time.monotonic() > end:
            sys.exit(f'not seen within {TIMEOUT_S} s: {until}\n{page.inner_text("body")}')
        page.wait_for_timeout(100)
    return page


def _visit(page):
    """Open the page, once its server is there."""
    end = time.monotonic() + TIMEOUT_S
    while True:
        try:
            socket.create_connection(('127.0.0.1', PORT), 1.0).close()
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    page.goto(f'http://127.0.0.1:{PORT}/')


def write(name, png):
    """Write a picture as WebP, which is much smaller."""
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).convert('RGB').save(file, 'WEBP', quality=85, method=6)
    assert file.tell() <= LARGEST, f'{name} is too large: {file.tell()} bytes'
    (IMAGES / name).write_bytes(file.getvalue())
    print(f'{name}: {file.tell()} bytes', flush=True)


def terminal(browser):
    """Draw the terminal view while a grasp is selected."""
    from moss_perception.ros.monitor.terminal import screen
    from moss_perception.ros.monitor.watcher import SystemWatcher
    from rich.console import Console
    with SystemWatcher() as watcher:
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            watcher.changed.wait(0.1)
            watcher.changed.clear()
            state = watcher.state.snapshot()
            if state['selected'] is not None and len(state['attempts']['last']) >= 2:
                break
        console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
        console.print(screen(watcher.state))
    page = browser.new_page(viewport={'width': 1000, 'height': 800})
    page.set_content(console.export_svg(title='moss monitor'))
    return page.locator('svg')


def main():
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--rate', default='0.3', help='playback speed; lower on a slow machine')
    parser.add_argument('--only', help='the one picture to make, such as monitor_ood.webp')
    options = parser.parse_args()
    rate = options.rate
    from playwright.sync_api import sync_playwright
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit('there is no Chromium: apt-get install chromium')
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])
        shots = {
            'monitor_page.webp': (lambda: SAMPLE, lambda: opened(browser, SELECTED, 1280, 900)),
            # Tall at once: a full-page picture would change the size, and draw the next state.
            'monitor_phone.webp': (lambda: SAMPLE, lambda: opened(browser, SELECTED, 390, 1650)),
            'monitor_terminal.webp': (lambda: SAMPLE, lambda: terminal(browser)),
            'monitor_ood.webp': (lambda: noisy(folder), lambda: opened(browser, OOD, 1280, 560))}
        for name, (bag, take) in shots.items():
            if options.only in (None, name):
                with system(bag(), rate):
                    write(name, take().screenshot())
        browser.close()


if __name__ == '__main__':
    main()
