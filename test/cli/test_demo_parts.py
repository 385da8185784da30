"""The demo's parts: attempts, pictures' moments, results' folder, sources and logs."""

from dataclasses import replace
import math
from types import SimpleNamespace

import cv2
from moss_perception.cli.demo.film import captions_of, Film, write_film
from moss_perception.cli.demo.nodes import describe_run, Log, RunSettings
from moss_perception.cli.demo.pictures import choose_tiles, plot_scores
from moss_perception.cli.demo.results import (
    Progress,
    summarise_auroc,
    summarise_latency,
    table_row,
    unfamiliar,
)
from moss_perception.cli.demo.source import open_source, record_video
from moss_perception.core.errors import BagError
from moss_perception.core.scores import GraspScores
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.matching import Attempt
from moss_perception.evaluation.outputs import FrameScores, NodeOutputs
from moss_perception.evaluation.pictures import read_images
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.ros.common.conversions import rgb_to_image
from node_outputs import rows_of
import numpy as np
from PIL import Image
import pytest

PLACE = np.array([0.123456789, 0.0, 0.6])


def scores_at(stamp_ns, received_ns=0):
    return FrameScores(stamp_ns, 'camera', received_ns, GraspScores.of(
        rows_of([(*PLACE, 0.0)], [0.5], stamp_ns)))


def attempt(score=math.nan, success=True, scored_ns=None, executed=True):
    return AttemptRecord(7, 10, 20, 30, success, 'constant', 'box', scored_ns, score, 0.1,
                         executed=executed)


@pytest.mark.parametrize(('score', 'success', 'mark'), [
    (0.5, True, 'right'), (0.49, True, 'WRONG'), (0.5, False, 'WRONG'), (0.49, False, 'right'),
    (math.nan, True, 'no score')])
def test_a_row_of_the_table_marks_whether_the_score_was_right(score, success, mark):
    row = table_row(attempt(score, success))
    assert row.endswith(mark) and 'box' in row and 'constant' in row
    assert ('held' if success else 'failed') in row


def test_a_row_says_where_no_grasp_was_executed():
    row = table_row(attempt(success=False, executed=False))
    assert row.endswith('not executed') and 'failed' not in row


def test_a_row_says_where_the_default_point_was_scored_instead_of_the_executed_grasp():
    row = table_row(replace(attempt(0.9, scored_ns=1), source='default', expected=True))
    assert row.endswith('right, not at its grasp')


def test_images_out_of_distribution_are_said_above_the_picture(tmp_path):
    assert unfamiliar(None) == unfamiliar(0.0) == ''
    line = unfamiliar(0.625)
    assert line.startswith('out of distribution in 62% of the time')
    source = SimpleNamespace(start_ns=0, shown='bag')
    red = []
    for warning in ('', line):
        plot_scores(tmp_path / 'scores.png', source, [scores_at(10**9), scores_at(2 * 10**9)], [],
                    warning)
        image = cv2.imread(str(tmp_path / 'scores.png')).astype(int)[:40]
        red.append(((image[..., 2] > 150) & (image[..., :2] < 90).all(axis=2)).sum())
    assert red[0] == 0 and red[1] > 200


def test_tiles_are_decisions_spread_over_all_attempts_or_else_moments():
    scores = [scores_at(stamp) for stamp in range(100)]
    attempts = [attempt(0.5, scored_ns=stamp) for stamp in range(20)]
    decided = choose_tiles(scores, [*attempts, attempt()])
    assert [t.scores.stamp_ns for t in decided] == [0, 2, 3, 5, 7, 9, 10, 12, 14, 16, 17, 19]
    assert all(t.attempt.scored_ns == t.scores.stamp_ns for t in decided)
    moments = choose_tiles(scores, [])
    assert len(moments) == 12 and moments[0].scores.stamp_ns == 0
    assert moments[-1].scores.stamp_ns == 99
    assert len(choose_tiles(scores[:3], [])) == 3


def test_auroc_of_few_attempts_says_so():
    def scored(*pairs):
        return [attempt(score, s, 1) for score, s in pairs]

    result = summarise_auroc(scored((0.9, True), (0.2, False), (0.1, True), (math.nan, True)))
    assert result['auroc'] == 0.5 and 'illustration on 3 attempts' in result['note']
    result = summarise_auroc(scored((0.9, True), (0.2, True)))
    assert result['auroc'] is None and '2 of 2 scored attempts succeeded' in result['note']
    assert 'no outcomes' in summarise_auroc([])['note']


def test_latency_is_matched_by_stamp(tmp_path):
    log = tmp_path / 'timing.csv'
    log.write_text('stamp_ns,publish_monotonic_ns\n1,1000000\n2,2000000\n3,3000000\n')
    scores = [scores_at(2, 12_000_000), scores_at(3, 23_000_000), scores_at(4)]
    result = summarise_latency(log, scores)
    assert (result['p50_ms'], result['p95_ms'], result['frames']) == (15.0, 19.5, 2)
    assert summarise_latency(log, [])['p50_ms'] is None


def test_a_video_becomes_a_recording_by_its_own_clock(tmp_path):
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 25, (1280, 640))
    for shade in (40, 120, 200):
        writer.write(np.full((640, 1280, 3), (0, 0, shade), np.uint8))
    writer.release()
    record_video(path, tmp_path / 'bag')
    source = open_source(tmp_path / 'bag', shown='film.avi')
    assert (source.frames, source.compressed, source.shown) == (3, True, 'film.avi')
    assert source.camera is None and source.attempts == []
    stamps = [source.start_ns + round(index * 4e7) for index in range(3)]
    images = read_images(source.path, source.image_topic, {stamps[0], stamps[2]})
    assert images.keys() == {stamps[0], stamps[2]}
    assert images[stamps[2]].shape == (320, 640, 3)
    # Red, as written; JPEG twice over and its coarser chroma cost a few levels.
    np.testing.assert_allclose(images[stamps[2]][160, 320], (200, 0, 0), atol=12)


@pytest.mark.parametrize(('content', 'expected'), [
    (None, 'is not there'), (b'no film', 'no image that can be read')])
def test_what_is_no_video_is_refused_and_leaves_nothing(tmp_path, content, expected):
    path = tmp_path / 'film.mp4'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BagError, match=f'film.mp4 .*{expected}'):
        record_video(path, tmp_path / 'bag')
    assert [p.name for p in tmp_path.iterdir()] == ([] if content is None else ['film.mp4'])


def test_a_recording_without_calibration_or_labels_is_played_all_the_same(make_bag, factory):
    entries = factory.camera_run(3, topic='/eye/image_raw')
    source = open_source(make_bag(entries, storage='sqlite3'))
    assert (source.image_topic, source.frames, source.compressed) == ('/eye/image_raw', 3, False)
    assert source.topics == ['/eye/image_raw'] and source.camera_topic is None
    processes = {p.executable: p for p in describe_run(source, RunSettings(), source.path)}
    assert processes['bag_player'].parameters['topics'] == ['/eye/image_raw']
    assert processes['bag_player'].parameters['lock_step'] is True
    assert ('image', '/eye/image_raw') in processes['grasp_predictor'].remappings


def test_stamps_that_reset_the_window_are_said_before_anything_is_played(make_bag, factory):
    entries = []
    for n in range(12):
        at = factory.START_NS + n * 10**8
        one = factory.image(at + 3 * 10**9 * (n % 5 == 2))
        entries += [replace(one, stamp_ns=at),
                    replace(factory.candidates(at + 2 * 10**8, '/grasp_candidates'),
                            stamp_ns=at - 10)]
    doubts = ' '.join(open_source(make_bag(entries)).doubts)
    assert '2 of 12 images are stamped before the image recorded before them' in doubts
    assert 'the candidates are stamped 0.200 s ahead of the images' in doubts
    assert open_source(make_bag(factory.camera_run(5), 'good')).doubts == ()


def test_compressed_images_of_any_name_reach_the_predictor(make_bag, factory):
    _, jpeg = cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))
    source = open_source(make_bag([factory.compressed(
        factory.START_NS, jpeg.tobytes(), topic='/eye/jpeg')]))
    settings = RunSettings(rate=2.0, sha256='ab')
    processes = {p.executable: p for p in describe_run(source, settings, source.path)}
    predictor, player = processes['grasp_predictor'], processes['bag_player']
    assert ('/eye/jpeg/compressed', '/eye/jpeg') in predictor.remappings
    assert predictor.parameters['image_transport'] == 'compressed'
    assert predictor.parameters['model_sha256'] == 'ab'
    assert (player.parameters['rate'], player.parameters['lock_step']) == (2.0, False)


def test_the_log_tells_the_first_error_of_a_node():
    log = Log()
    log('grasp_gate', '[WARN] [1.2] [grasp_gate]: expected nothing')
    log('grasp_predictor', '[ERROR] [1.5] [grasp_predictor]: configure failed: bad file')
    log('lifecycle_starter', '[ERROR] [1.6] [lifecycle_starter]: could not configure')
    log('run', 'error: lifecycle_starter failed with status 1')
    assert log.reason() == 'grasp_predictor: configure failed: bad file'


def test_the_log_tells_of_a_node_that_ended_without_a_log_line():
    log = Log()
    log('grasp_gate', 'grasp_gate: min_score=2.0 is not allowed: expected in [0, 1]')
    log('run', 'error: grasp_gate ended with status 1')
    assert log.reason() == 'grasp_gate: min_score=2.0 is not allowed: expected in [0, 1]'
    log = Log()
    log('run', 'error: grasp_gate ended early with signal SIGSEGV')
    assert 'SIGSEGV' in log.reason()


def test_the_log_tells_each_warning_of_predictor_and_player_once():
    log = Log()
    for name in ('grasp_predictor', 'grasp_predictor', 'bag_player', 'grasp_gate'):
        log(name, f'[WARN] [1.2] [{name}]: refused: another frame')
    assert log.warnings() == ['grasp_predictor: refused: another frame',
                              'bag_player: refused: another frame']


def test_the_film_says_what_became_of_each_attempt(tmp_path):
    scores = {20: scores_at(20)}
    one = replace(attempt(0.3, scored_ns=20), start_ns=10, decision_ns=20, end_ns=30)
    captions = captions_of([5, 10, 25], [one], scores)
    assert [(x.text, x.note) for x in captions] == [
        ('between attempts', ''), ('attempt 7 (box, constant): choosing', ''),
        ('attempt 7 (box, constant): held, score 0.30',
         'the best was 0.50, but this was recorded before these scores existed')]
    assert captions_of([25], [replace(one, executed=False)], {})[0].text.endswith(
        'no grasp executed')
    film = Film()
    for stamp in (5, 10, 25):
        image = np.full((61, 81, 3), 10 * stamp, np.uint8)
        assert film.take(rgb_to_image(image, stamp, 'camera'))
    write_film(film, tmp_path / 'film.mp4', tmp_path / 'film.webp', [one], [scores_at(20)])
    video = cv2.VideoCapture(str(tmp_path / 'film.mp4'))
    assert video.read()[1].shape == (110, 80, 3) and video.read()[0] and video.read()[0]
    with Image.open(tmp_path / 'film.webp') as shown:
        assert shown.n_frames == 2


def test_an_attempt_is_shown_once_the_scores_are_there_that_the_predictor_has_said(capsys):
    one = Attempt(Outcome(3, 10, 20, 30, True, '', 'constant', 'box'), None)
    observer = SimpleNamespace(awaited=frozenset(), outputs=NodeOutputs([scores_at(20)], []),
                               statuses=[])
    bar = Progress(SimpleNamespace(attempts=[one], frames=4), observer)

    def shown():
        bar.tick()
        return '0.50' in capsys.readouterr().out
    assert not shown()
    observer.statuses += [(10, 'stored'), (20, 'scored'), (30, 'stored')]
    observer.awaited = frozenset([20])
    assert not shown()
    # Of a later attempt.
    observer.awaited = frozenset([40])
    assert shown()
