"""
Make the pictures of the views: ``python docs/generate/screens.py``, with a Chromium installed.

A recording is played slowly through the nodes; the pictures are taken while a grasp is selected.
For the warning that the images are out of distribution, noise is added to its images. For the
fault, the player is killed amid the recording, as if the camera had died.
"""

import argparse
from contextlib import contextmanager
import io
import json
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
STOPPED = ("document.getElementById('status').dataset.level !== 'ok'"
           " && document.getElementById('message').textContent.startsWith('no frame on')")
OOD = "document.getElementById('ood').dataset.out === 'yes' && document.title.startsWith('warn')"


@contextmanager
def system(bag, rate):
    """Run the nodes with a page, play a recording to them, and yield the player's process."""
    environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    nodes = [executable('moss'), 'run', 'grasp', 'image_transport:=compressed', 'web:=true',
             'use_sim_time:=true', f'web_port:={PORT}', 'log_level:=warn']
    values = {'bag': str(bag), 'rate': float(rate), 'publish_clock': True,
              'exclude_topics': ['/selected_grasp'],
              'wait_for_subscribers': ['/image/compressed']}
    player = [executable('bag_player'), '--ros-args', *(
        word for key, value in values.items() for word in ('-p', f'{key}:={json.dumps(value)}'))]
    running = [subprocess.Popen(x, env=environment) for x in (nodes, player)]
    try:
        yield running[1]
    finally:
        for process in running:
            process.terminate()
        for process in running:
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
    page = _visit(browser, until, width, height)
    _wait(page, 'window.frozen')
    return page


def stopped(browser, player, width, height):
    """Open the page, kill the player while a grasp is selected, and wait until it says so."""
    page = _visit(browser, f'window.killed && {STOPPED}', width, height)
    _wait(page, SELECTED)
    player.kill()
    page.evaluate('window.killed = true')
    _wait(page, 'window.frozen')
    return page


def _wait(page, script):
    """Wait until a script is true in the page."""
    end = time.monotonic() + TIMEOUT_S
    while not page.evaluate(script):
        if time.monotonic() > end:
            sys.exit(f'not seen within {TIMEOUT_S} s: {script}\n{page.inner_text("body")}')
        page.wait_for_timeout(100)


def _visit(browser, until, width, height):
    """Open the page, once its server is there; it stands still when a script is true in it."""
    page = browser.new_page(viewport={'width': width, 'height': height})
    page.add_init_script(FREEZE % until)
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
    return page


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
        noise = noisy(folder)
        browser = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])
        shots = {
            'monitor_page.webp': (SAMPLE, lambda _: opened(browser, SELECTED, 1280, 900)),
            # Tall at once: a full-page picture would change the size, and draw the next state.
            'monitor_phone.webp': (SAMPLE, lambda _: opened(browser, SELECTED, 390, 1650)),
            'monitor_terminal.webp': (SAMPLE, lambda _: terminal(browser)),
            'monitor_ood.webp': (noise, lambda _: opened(browser, OOD, 1280, 560)),
            'monitor_ood_phone.webp': (noise, lambda _: opened(browser, OOD, 390, 900)),
            'monitor_fault.webp': (SAMPLE, lambda player: stopped(browser, player, 1280, 560)),
            'monitor_fault_phone.webp': (
                SAMPLE, lambda player: stopped(browser, player, 390, 900))}
        for name, (bag, take) in shots.items():
            if options.only in (None, name):
                with system(bag, rate) as player:
                    write(name, take(player).screenshot())
        browser.close()


if __name__ == '__main__':
    main()
