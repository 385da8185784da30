"""The command ``moss demo``, end to end: player, predictor and gate in processes of their own."""

import json
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit
import urllib.request

import cv2
from moss_perception.cli.main import main as moss
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.ros.monitor.access import Access, TOKEN_VARIABLE
import numpy as np
import pytest

NODES = ('grasp_predictor', 'grasp_gate', 'bag_player', 'moss')
PERIOD_NS = 100_000_000
START_NS = 1_700_000_000_000_000_000
WAIT_S = 90.0


@pytest.fixture(scope='module')
def model(tiny_checkpoint):
    """Return a tiny network of random weights."""
    return tiny_checkpoint


@pytest.fixture(scope='module')
def environment(programs, tmp_path_factory, no_torch):
    """
    Return the environment of the installation, or of one that is made of the source tree.

    It has no torch: neither the command nor the nodes need it.
    """
    if programs.prefix():
        return programs.environment(no_torch)
    prefix = tmp_path_factory.mktemp('prefix')
    folder = prefix / 'lib' / 'moss_perception'
    folder.mkdir(parents=True)
    for name in NODES:
        script = folder / name
        script.write_text(f'#!{sys.executable}\n{programs.start(name)}\n')
        script.chmod(0o755)
    prefixes = [str(prefix), os.environ.get('AMENT_PREFIX_PATH', '')]
    return programs.environment(
        no_torch, AMENT_PREFIX_PATH=os.pathsep.join(filter(None, prefixes)))


@pytest.fixture
def start(tmp_path, model, environment, programs, ros_domain):
    """Return a function that starts the command from another folder, in this process's domain."""
    running = []

    def start(*arguments):
        process = subprocess.Popen(
            [*programs.command('moss'), 'demo', '--out', str(tmp_path / 'out'),
             '--model', str(model),
             # One by chance may be that of the tests that run beside these.
             '--domain-id', str(ros_domain), *map(str, arguments)],
            cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        running.append(process)
        return process
    yield start
    for process in running:
        # Its way of ending ends the nodes, too.
        process.terminate()
        process.communicate(timeout=30)
    assert not left_running(model)


def left_running(model):
    """List the processes that still run with the tests' model."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if str(model).encode() in command:
            found.append(command)
    return found


def make_jpeg(index):
    image = np.full((48, 64, 3), 90, np.uint8)
    cv2.circle(image, (10 + index % 40, 24), 6, (0, 160, 255), -1)
    return cv2.imencode('.jpg', image)[1].tobytes()


def write_attempts(path, outcomes, frames=20):
    """Write attempts of one grasp candidate too many, a gap of a second between them."""
    grasps = np.array([[0.01, 0.02, 0.5, 0.3], [-0.05, 0.0, 0.55, 1.2]])
    matrix = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
    with RecordingWriter(path) as writer:
        for attempt, success in enumerate(outcomes, 1):
            first = START_NS + (attempt - 1) * (frames + 15) * PERIOD_NS
            stamps = [first + index * PERIOD_NS for index in range(frames)]
            for index, stamp in enumerate(stamps):
                writer.camera_info(stamp, 64, 48, matrix)
                writer.candidates(stamp, grasps + [0.001 * index, 0, 0, 0])
                writer.image(stamp, make_jpeg(index * attempt))
            writer.selected(stamps[-1], grasps[1] + [0.001 * (frames - 1), 0, 0, 0])
            writer.outcome('said', attempt=attempt, start_ns=first, decision_ns=stamps[-1],
                           end_ns=stamps[-1] + 3 * PERIOD_NS, success=success, domain='sim',
                           motion='constant', object='box')
    return path


@pytest.fixture
def browser(tmp_path, environment, monkeypatch):
    """Return the file in which a browser writes the address that it opens."""
    pytest.importorskip('uvicorn', reason='the page needs uvicorn and starlette')
    opened, script = tmp_path / 'opened', tmp_path / 'browser.sh'
    script.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    script.chmod(0o755)
    # Python starts it in the background.
    monkeypatch.setitem(environment, 'BROWSER', f'{script} %s &')
    return opened


def test_a_run_is_watched_in_a_browser(start, tmp_path, browser, environment, monkeypatch):
    from page_viewer import state_of, TOKEN, viewer
    monkeypatch.setitem(environment, TOKEN_VARIABLE, TOKEN)
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    process = start('--bag', write_attempts(tmp_path / 'bag', [True, False]), '--watch', port)
    end = time.monotonic() + WAIT_S
    while not (browser.exists() and browser.read_text().strip()):
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)
    url = browser.read_text().strip()
    assert urlsplit(url).port == port and urlsplit(url).fragment == f'token={TOKEN}'
    with urllib.request.urlopen(url, timeout=20) as page:
        assert page.status == 200 and b'<html' in page.read()
    with viewer(urlsplit(url).netloc, TOKEN) as view:
        seen = state_of(view, lambda x: x['picture'] and x['scored'])
    assert len(seen['candidates']) == 2 and seen['best'] in (0, 1)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    assert f'watch it on {url}\n' in out and 'rate 1;' in out


def test_a_run_is_not_begun_if_its_page_cannot_be_served(start, tmp_path, browser):
    with Access().listen():
        out, err = (process := start('--watch')).communicate(timeout=WAIT_S)
    assert process.returncode == 1 and not browser.exists()
    assert err.strip().splitlines() == [
        'demo: the page cannot be served on 127.0.0.1 port 8470: Address already in use; expected '
        'a free port of this machine, so end what uses this one, or choose another: moss '
        'monitor --port, moss demo --watch, web_port:=']
    assert 'playing' not in out


def test_a_run_is_not_begun_if_its_token_is_refused(start, environment, monkeypatch):
    monkeypatch.setitem(environment, TOKEN_VARIABLE, 'short')
    out, err = (process := start('--watch')).communicate(timeout=WAIT_S)
    assert process.returncode == 1 and 'playing' not in out
    assert err == 'demo: a token of 5 characters is not allowed: expected 16 or more\n'


@pytest.mark.parametrize('port', ['0', '65536', 'web'])
def test_a_port_that_does_not_exist_is_refused(port, capsys):
    with pytest.raises(SystemExit) as ended:
        moss(['demo', '--watch', port])
    assert ended.value.code == 2
    said = f'argument --watch: {port} is not allowed: expected 1 to 65535'
    assert said in capsys.readouterr().err


def test_labelled_recording_gives_a_table_a_summary_pictures_and_a_film(start, tmp_path, model):
    bag = write_attempts(tmp_path / 'bag', [True, False])
    out, err = (process := start('--bag', bag)).communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    rows = [line.split() for line in out.splitlines() if ' constant ' in line]
    assert [(row[0], row[1], row[5]) for row in rows] == [
        ('1', 'box', 'held'), ('2', 'box', 'failed')]
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    # A window of 16: the first 15 frames of each attempt are stored, the other 5 scored.
    assert summary['frames'] == {
        'in_recording': 40, 'in': 40, 'scored': 10, 'stored': 30, 'skipped': 0, 'refused': 0,
        'dropped': 0, 'missing': 0}
    scores = [a['score'] for a in summary['attempts']]
    assert [f'{score:.2f}' for score in scores] == [row[3] for row in rows]
    expected = 1.0 if scores[0] > scores[1] else 0.0 if scores[0] < scores[1] else 0.5
    assert summary['auroc'] == expected
    assert 'illustration' in summary['auroc_note']
    assert all(a['uncertainty'] is not None for a in summary['attempts'])
    assert [a['scored_ns'] for a in summary['attempts']] == [
        a['decision_ns'] for a in summary['attempts']]
    latency = summary['latency']
    assert latency['frames'] == 10 and 0 < latency['p50_ms'] <= latency['p95_ms'] < 60_000
    assert summary['budget_level'] == '1,2,3'
    assert summary['model_sha256'] in (model.parent / 'SHA256SUMS').read_text()
    assert summary['machine']['cpu'] and summary['machine']['versions']['numpy']
    for name in ('scores.png', 'contact_sheet.png'):
        picture = cv2.imread(str(tmp_path / 'out' / name))
        assert min(picture.shape[:2]) > 300 and picture.std() > 5
    film = cv2.VideoCapture(str(tmp_path / 'out' / 'film.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) >= 5
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert (tmp_path / 'out' / 'film.webp').read_bytes()[8:16] == b'WEBPVP8X'
    assert len(list((tmp_path / 'out').iterdir())) == 5


def test_raw_images_without_labels_or_calibration_give_default_scores(
        start, tmp_path, make_bag, factory):
    bag = make_bag([factory.image(START_NS + i * PERIOD_NS, '/eye/image_raw', side=40, fill=7 * i)
                    for i in range(20)], storage='sqlite3')
    file = next(bag.glob('*.db3'))
    process = start('--bag', file, '--image-topic', '/eye/image_raw')
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    assert (summary['frames']['in'], summary['frames']['scored']) == (20, 5)
    assert summary['auroc'] is None and 'no outcomes' in summary['auroc_note']
    assert summary['attempts'] == [] and summary['pace'] == 'lock step'


def test_a_video_is_scored(start, tmp_path):
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 20, (64, 48))
    for index in range(40):
        writer.write(cv2.imdecode(np.frombuffer(make_jpeg(index), np.uint8), cv2.IMREAD_COLOR))
    writer.release()
    _, err = (process := start('--video', path)).communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    frames = json.loads((tmp_path / 'out' / 'summary.json').read_text())['frames']
    # 20 Hz for a model of 10 Hz: every other frame is a sample, and 15 fill the window.
    assert (frames['in'], frames['skipped'], frames['scored']) == (40, 20, 5)


def test_a_recording_too_short_for_the_window_says_so(start, tmp_path):
    bag = write_attempts(tmp_path / 'bag', [True], frames=15)
    _, err = (process := start('--bag', bag)).communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert err.strip().splitlines() == [
        f'demo: {bag}: no score of 15 frames (15 stored): expected 16 samples at 10 Hz without '
        'a gap to fill the window']
    assert not (tmp_path / 'out').exists()


def test_frames_that_are_all_refused_say_why(start, tmp_path, make_bag, factory):
    bag = make_bag([factory.image(START_NS + i * PERIOD_NS, encoding='16UC1') for i in range(20)])
    _, err = (process := start('--bag', bag)).communicate(timeout=WAIT_S)
    assert process.returncode == 1
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert 'all 20 frames were refused, the last: encoding' in lines[0] and '16UC1' in lines[0]


def test_another_checkpoint_than_the_one_named_is_refused_by_the_predictor(start, tmp_path):
    bag = write_attempts(tmp_path / 'bag', [True])
    process = start('--bag', bag, '--sha256', 64 * '0')
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert len(err.strip().splitlines()) == 1
    assert 'tiny.safetensors has sha256' in err and f'expected {64 * "0"}' in err
    assert not (tmp_path / 'out').exists()


def test_without_progress_the_run_is_given_up(start, tmp_path):
    bag = write_attempts(tmp_path / 'bag', [True])
    process = start('--bag', bag, '--stall', '0.5')
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert 'no frame was processed for 0.5 s, after 0 of 20' in err


@pytest.fixture
def hang_ups():
    """Let processes hear a hang-up that is kept from this one, as nohup does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures('hang_ups')
@pytest.mark.parametrize(('number', 'status'), [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_all_of_it_and_leaves_nothing(
        start, tmp_path, model, number, status):
    bag = write_attempts(tmp_path / 'bag', [True])
    process = start('--bag', bag, '--rate', '0.05', '--verbose')
    for line in process.stdout:
        if line.startswith('[grasp_predictor]'):
            break
    assert left_running(model)
    process.send_signal(number)
    if number == signal.SIGHUP:
        # A closed terminal sends it again, and takes no more output.
        process.stdout.close()
        process.send_signal(number)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == status
    assert not (tmp_path / 'out').exists() and not left_running(model)


@pytest.fixture
def refused(tmp_path, caplog):
    """Return a function that runs the command on something bad, and gives its one line."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def refused(*arguments):
        assert moss(['demo', '--out', str(tmp_path / 'out'), *map(str, arguments)]) == 1
        found, = caplog.records
        line = found.getMessage()
        caplog.clear()
        assert found.name == 'demo' and '\n' not in line
        assert not (tmp_path / 'out').exists()
        return line
    yield refused
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_bad_recordings_are_one_line(refused, tmp_path, make_bag, factory):
    assert 'no such recording' in refused('--bag', tmp_path / 'none')
    (tmp_path / 'bad.mcap').write_bytes(b'no bag')
    assert 'bad.mcap' in refused('--bag', tmp_path / 'bad.mcap')
    notes = make_bag([factory.text(START_NS, 'no image')], name='notes')
    assert 'no images, expected a topic of type' in refused('--bag', notes)
    images = make_bag([factory.image(START_NS)], name='images')
    assert 'no images on /wrong; expected one of /image' in refused(
        '--bag', images, '--image-topic', '/wrong')


def test_bad_videos_and_checkpoints_are_one_line(refused, tmp_path, make_bag, factory):
    assert 'none.mp4 is not there' in refused('--video', tmp_path / 'none.mp4')
    bag = make_bag([factory.image(START_NS)])
    assert 'none.safetensors is not there' in refused(
        '--bag', bag, '--model', tmp_path / 'none.safetensors')
    (tmp_path / 'bad.safetensors').write_bytes(b'no weights')
    assert 'bad.safetensors is not a safetensors file' in refused(
        '--bag', bag, '--model', tmp_path / 'bad.safetensors')


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, caplog):
    (tmp_path / 'file').touch()
    assert moss(['demo', '--out', str(tmp_path / 'file')]) == 1
    assert 'cannot write to --out' in caplog.text
