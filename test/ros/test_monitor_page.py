"""The page of moss monitor: over a real middleware, by WebSocket, and in a real browser."""

from contextlib import contextmanager
import json
import math
import shutil
import threading
import time
import urllib.error
import urllib.request

from monitor_stage import Stage
from moss_perception.ros.common.conversions import STALE, WARN
from moss_perception.ros.monitor.access import Access, LOOPBACK
from moss_perception.ros.monitor.watcher import SystemWatcher
import pytest

pytest.importorskip('uvicorn', reason='the page needs uvicorn and starlette')
from moss_perception.ros.monitor.server import make_server
from page_viewer import state_of, viewer
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.timeout(180)
TOKEN = 'a-secret-of-some-length'
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


@contextmanager
def served(watcher, access):
    """Serve the page from a thread; yields its address, such as 127.0.0.1:12345."""
    server = make_server(watcher, access)
    with access.listen() as listening:
        thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]})
        thread.start()
        try:
            yield f'{LOOPBACK}:{listening.getsockname()[1]}'
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(scope='module')
def watcher(ros_domain):
    with SystemWatcher() as watcher:
        yield watcher


@pytest.fixture(scope='module')
def address(watcher):
    with served(watcher, Access(port=0)) as address:
        yield address


@pytest.fixture
def stage(harness, watcher):
    """Return a system that is there only now: the page was opened before."""
    peer = harness.Peer('grasp_predictor')
    stage = Stage(peer)
    yield stage
    peer.close()


def keep(stage, harness, condition, **frame):
    """Publish frames and diagnostics until a condition holds."""
    def going():
        stage.diagnose()
        stage.frame(**frame)
        time.sleep(0.05)
        return condition()
    return harness.wait_for(going, 30, 'the condition')


def test_who_comes_before_the_system_sees_what_is_missing_then_the_system(
        address, harness, watcher, request):
    with viewer(address) as socket:
        before = state_of(socket)
        assert before['phase'] == 'waiting'
        assert before['message'].startswith('waits for /grasp_predictor: expected it to publish')
        stage = request.getfixturevalue('stage')
        def complete(state):
            return (state['picture'] and state['motion'] and state['selected'] == 1
                    and state['candidates'][0]['fingers'])

        pictures = []
        keep(stage, harness, lambda: complete(state_of(socket, pictures=pictures)))
        stage.attempt(1)
        now = state_of(socket, lambda x: complete(x) and x['attempts']['count'])
    assert now['phase'] == 'present' and pictures[-1][:2] == b'\xff\xd8'
    assert [one['score'] for one in now['candidates']] == pytest.approx([0.3, 0.9, 0.6])
    assert (now['best'], now['selected']) == (1, 1)
    # At 0.5 m, 4 cm are 24 pixels of 320, in the direction of its yaw.
    left, right = now['candidates'][0]['fingers']
    assert right[0] - left[0] == pytest.approx(48 / 320, abs=1e-3)
    assert left[1] == pytest.approx(right[1]) and now['picture']['size'] == [320, 240]
    assert (now['motion']['rows'], now['motion']['columns']) == (8, 8)
    assert now['attempts']['last'][0]['score'] == pytest.approx(0.9)


def test_images_are_subscribed_to_only_while_somebody_looks(address, stage, harness, watcher):
    def subscribers():
        return stage.images.get_subscription_count()
    # The stage has one of its own.
    harness.wait_for(lambda: subscribers() == 1, 10, 'no viewer')
    with viewer(address) as socket:
        state_of(socket)
        harness.wait_for(lambda: subscribers() == 2, 30, 'a viewer')
    harness.wait_for(lambda: subscribers() == 1, 30, 'no viewer again')


def test_ten_viewers_and_one_that_leaves_amid_the_stream(address, stage, harness, watcher):
    from contextlib import ExitStack
    with ExitStack() as stack:
        sockets = [stack.enter_context(viewer(address)) for _ in range(10)]
        for socket in sockets:
            socket.send('{"next":1}')
        sockets[0].socket.close()
        keep(stage, harness, lambda: watcher.state.shown_stamp_ns == stage.stamp_ns)
        stamp = stage.stamp_ns / 1e9
        for socket in sockets[1:]:
            state_of(socket, lambda x: x['viewers'] == 9 and abs(x['stamp'] - stamp) < 1e-3)


def test_the_buttons_act_on_the_nodes(address, stage, harness):
    stage.add_recorder()
    with viewer(address) as socket:
        for action in ('reset', 'pause', 'resume', 'start', 'fail'):
            stage.diagnose()
            answer = harness.wait_for(lambda name=action: done(socket, name), 20, action)
            assert answer['action'] == action and answer['text']
        state_of(socket, lambda x: x['recorder'] == 'idle')
        socket.send(json.dumps({'do': 'rm -rf'}))
        answer = answer_of(socket)
    assert stage.calls[-5:] == ['reset', 'pause', 'resume', 'start', 'fail']
    assert not answer['done'] and "'rm -rf' is not known: expected one of reset" in answer['text']


def done(socket, action):
    """Press a button; a service that is not discovered yet is not there."""
    socket.send(json.dumps({'do': action}))
    answer = answer_of(socket)
    return answer if answer['done'] else None


def answer_of(socket):
    while True:
        message = socket.recv(timeout=20)
        if isinstance(message, str) and 'answer' in (read := json.loads(message)):
            return read['answer']


def test_nonsense_from_a_viewer_changes_nothing(address):
    with viewer(address) as socket:
        for text in ('{', '[]', '{"do": 5}', '"next"'):
            socket.send(text)
        assert state_of(socket)['viewers'] == 1


def closed(address, token='', **headers):
    with viewer(address, token, **headers) as socket, pytest.raises(ConnectionClosed) as found:
        socket.recv(timeout=10)
    return found.value.rcvd.code


def get(address, path, **headers):
    request = urllib.request.Request(f'http://{address}{path}', headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_pages_of_others_and_foreign_names_are_refused(address):
    assert closed(address, Origin='http://evil.example') == 4403
    with viewer(address, Origin=f'http://{address}') as socket:
        assert state_of(socket)
    assert get(address, '/state', Host='evil.example')[0] == 400
    assert get(address, '/state')[0] == get(address, '/')[0] == 200
    assert get(address, '/../state.py')[0] == 404


def test_with_a_token_only_who_knows_it_is_let_in(watcher):
    with served(watcher, Access(port=0, token=TOKEN)) as address:
        assert closed(address) == closed(address, 'another one') == 4401
        with viewer(address, TOKEN) as socket:
            assert state_of(socket)
        assert get(address, '/state')[0] == 401
        status, text = get(address, '/state', Authorization=f'Bearer {TOKEN}')
        assert status == 200 and json.loads(text)['predictor'] == '/grasp_predictor'


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


def test_the_page_survives_the_end_of_monitor_and_of_the_node(watcher, browser, stage):
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
    with served(watcher, Access(port=port)):
        wait(page, "document.body.dataset.phase === 'present'", stage)
    page.close()


def test_the_page_without_its_token_says_so(watcher, browser):
    with served(watcher, Access(port=0, token=TOKEN)) as address:
        with page_of(browser, f'http://{address}/') as page:
            wait(page, "document.getElementById('message').textContent.includes('its token')")
        with page_of(browser, f'http://{address}/#token={TOKEN}') as page:
            wait(page, "document.getElementById('link').textContent.includes('live')")
            # What others could read over your shoulder or in the history.
            assert TOKEN not in page.url
