"""The page of moss monitor in a real browser."""

from contextlib import contextmanager
import math
import shutil
import time

from moss_perception.ros.common.conversions import STALE, WARN
from moss_perception.ros.monitor.access import Access
import pytest

pytest.importorskip('uvicorn', reason='the page needs uvicorn and starlette')
from page_viewer import served, TOKEN

pytestmark = pytest.mark.timeout(180)
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


@pytest.fixture(scope='module')
def browser():
    api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip('there is no Chromium: apt-get install chromium')
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=[
            '--no-sandbox', '--disable-gpu'])
        yield opened
        opened.close()


@contextmanager
def page_of(browser, url, width=1280):
    page = browser.new_page(viewport={'width': width, 'height': 900})
    page.errors = []
    page.on('pageerror', lambda error: page.errors.append(str(error)))
    page.goto(url)
    try:
        yield page
    finally:
        page.close()


def wait(page, script, stage=None, timeout_s=30.0):
    """Wait until a script is true in the page, while the stage plays."""
    end = time.monotonic() + timeout_s
    while not page.evaluate(script):
        assert time.monotonic() < end, f'{script}\n{page.inner_text("body")}'
        if stage is not None:
            stage.diagnose()
            stage.frame()
        page.wait_for_timeout(50)


PIXEL = """([x, y]) => { const c = document.getElementById('picture');
  return [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]; }"""


def test_the_page_in_a_browser(address, browser, stage, tmp_path):
    stage.add_recorder()
    with page_of(browser, f'http://{address}/', 1280) as page:
        wait(page, "document.body.dataset.phase === 'present'"
                   " && document.getElementById('selected').textContent.includes('no. 1')", stage)
        stage.attempt(7)
        wait(page, "document.getElementById('attempts').innerText.includes('held')", stage)
        wait(page, "document.getElementById('best').textContent === '0.90 ± 0.05'", stage)
        assert 'in distribution (OOD score 0.62)' in page.inner_text('#ood')
        assert page.locator('#candidates tbody tr').count() == 3
        # The middle of the selected gripper is drawn over the picture.
        wait(page, f'({PIXEL})([0.5, 0.5]).slice(0, 3).join() !== "0,0,0"', stage)
        wait(page, "!document.querySelector('[data-do=start]').disabled", stage)
        page.click('[data-do=reset]')
        wait(page, "document.getElementById('answer').textContent.includes('forgotten')", stage)
        page.click('#pause')
        wait(page, "document.getElementById('pause').textContent === 'Resume'", stage)
        page.click('[data-do=start]')
        wait(page, "!document.querySelector('[data-do=succeed]').disabled", stage)
        page.screenshot(path=tmp_path / 'wide.png')
        assert page.errors == []


def test_the_page_reads_on_a_phone_and_says_when_the_images_are_out(address, browser, stage):
    with page_of(browser, f'http://{address}/', 390) as page:
        end = time.monotonic() + 30
        while page.get_attribute('#ood', 'data-out') != 'yes' and time.monotonic() < end:
            stage.diagnose(WARN, 'out of distribution', out_of_distribution='yes', ood_score=2.1)
            stage.frame()
            page.wait_for_timeout(50)
        assert 'OUT OF DISTRIBUTION' in page.inner_text('#ood')
        assert page.get_attribute('#status', 'data-level') == 'warn'
        words = '3 candidates, none scored: 3 outside image'
        while page.inner_text('#best') != words and time.monotonic() < end:
            stage.diagnose()
            stage.frame(scores=[math.nan] * 3)
            page.wait_for_timeout(50)
        assert page.inner_text('#best') == words
        # Nothing is wider than the screen.
        assert page.evaluate('document.documentElement.scrollWidth') <= 390
        assert page.errors == []


def test_hostile_names_are_text_in_the_page(address, browser, stage):
    name = '<img src=x onerror="document.title=\'owned\'">'
    with page_of(browser, f'http://{address}/') as page:
        wait(page, "document.body.dataset.phase === 'present'", stage)
        stage.attempt(1, object=name)
        stage.diagnose(STALE, name, topic=name)
        wait(page, "document.getElementById('attempts').textContent.includes('onerror')")
        assert page.locator('main img').count() == 0 and 'owned' not in page.title()


def test_the_page_survives_the_end_of_monitor_and_of_the_node(
        watcher, browser, stage, harness):
    port = 0
    with served(watcher, Access(port=0)) as address:
        port = int(address.rpartition(':')[2])
        page = browser.new_page()
        page.goto(f'http://{address}/')
        wait(page, "document.body.dataset.phase === 'present'", stage)
        # The node falls silent.
        wait(page, "document.getElementById('message').textContent.includes('said nothing')")
        wait(page, "document.body.dataset.phase === 'present'", stage)
    wait(page, "document.getElementById('message').textContent.includes('Trying again')")
    # Without a viewer, the pictures are forgotten.
    assert page.evaluate("document.getElementById('nothing').textContent") == ' '
    harness.wait_for(lambda: watcher.pictures.of(0) is None, 30, 'no pictures')
    stage.diagnose()
    with served(watcher, Access(port=port)):
        wait(page, "document.getElementById('link').textContent.includes('live')")
        # It shows no picture of before, as if it were of now.
        words = 'no image on /camera/image/compressed yet'
        assert page.inner_text('#nothing') == words
        wait(page, "document.body.dataset.phase === 'present'", stage)
    page.close()


def test_the_page_notices_that_a_connection_says_nothing_any_more(address, browser, stage):
    silent, opened = [], []

    def through(route):
        server = route.connect_to_server()
        opened.append(route)
        server.on_message(lambda message: silent or route.send(message))

    page = browser.new_page()
    page.route_web_socket('**/live', through)
    page.goto(f'http://{address}/')
    wait(page, "document.getElementById('link').textContent.includes('live')", stage)
    # A page to which nothing new is said, but that all is well, is live.
    end = time.monotonic() + 6
    while time.monotonic() < end:
        page.wait_for_timeout(100)
        assert 'live' in page.inner_text('#link') and len(opened) == 1
    # As when the network goes down: nobody closes the connection.
    silent.append(True)
    wait(page, "document.getElementById('message').textContent.includes('does not answer')", stage)
    assert page.inner_text('#link') == 'not connected'
    assert page.evaluate("document.body.classList.contains('stale')")
    # A new size of the window changes nothing about that.
    page.set_viewport_size({'width': 700, 'height': 700})
    page.wait_for_timeout(200)
    assert page.inner_text('#link') == 'not connected'
    silent.clear()
    wait(page, "document.getElementById('link').textContent.includes('live')", stage)
    assert len(opened) > 1
    page.close()


SLOW_DECODER = """
  const decode = window.createImageBitmap.bind(window);
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  window.received = 0; window.drawn = [];
  window.createImageBitmap = async (...given) => {
    const number = ++window.received;
    await new Promise((done) => setTimeout(done, 200));
    return Object.assign(await decode(...given), { number });
  };
  CanvasRenderingContext2D.prototype.drawImage = function (image, ...given) {
    if (image.number) window.drawn.push([image.number, window.received]);
    return draw.call(this, image, ...given);
  };"""


def test_candidates_are_drawn_on_their_own_picture(address, browser, stage):
    page = browser.new_page()
    page.add_init_script(SLOW_DECODER)
    page.goto(f'http://{address}/')
    wait(page, 'window.received > 5 && window.drawn.length > 4', stage)
    drawn = page.evaluate('window.drawn')
    # The newest picture that had come is that of the candidates.
    assert [shown for shown, _ in drawn] == [received for _, received in drawn]
    page.close()


def test_the_page_without_its_token_says_so(watcher, browser):
    with served(watcher, Access(port=0, token=TOKEN)) as address:
        with page_of(browser, f'http://{address}/') as page:
            wait(page, "document.getElementById('message').textContent.includes('its token')")
        with page_of(browser, f'http://{address}/#token={TOKEN}') as page:
            wait(page, "document.getElementById('link').textContent.includes('live')")
            # What others could read over your shoulder or in the history.
            assert TOKEN not in page.url
