"""The command `label`: the attempts of a recording, their table and their contact sheet."""

import csv
import json

from calibrations import write_calibration
import cv2
import lab_bag as lab
from moss_perception.cli.main import main as moss
import numpy as np
import pytest


@pytest.fixture
def bag(make_bag):
    return make_bag(lab.images() + lab.executed())


@pytest.fixture
def table(tmp_path):
    def write(text, name='table.csv'):
        path = tmp_path / name
        path.write_text(text)
        return str(path)
    return write


def test_the_stamps_and_the_attempts_of_a_recording_are_printed(bag, capsys, tmp_path):
    before = sorted(tmp_path.rglob('*'))
    assert moss(['label', str(bag)]) == 0
    out = capsys.readouterr().out
    assert '60 images on /camera/color/image_raw' in out
    assert 'first stamp  1700000000.000000000 (2023-11-14 22:13:20.000 UTC)' in out
    assert 'last stamp   1700000029.500000000 (2023-11-14 22:13:49.500 UTC), 29.500 s later' in out
    assert '3 attempts found by the executed grasps on /planner/executed_grasp' in out
    assert out.splitlines()[-1].split() == ['3', '17.500', '21.500', '24.500']
    assert sorted(tmp_path.rglob('*')) == before


def test_a_template_is_filled_in_checked_and_evaluated(
        bag, tiny_checkpoint, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level('INFO')
    assert moss(['label', 'bag/', '--template']) == 0
    text = (tmp_path / 'bag.csv').read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0]) == ['attempt', 'start', 'decision', 'end', 'success']
    assert [x.pop('success') for x in rows] == ['', '', '']
    assert all(all(x.values()) for x in rows)
    assert 'fill in success in bag.csv' in capsys.readouterr().out
    # An unfinished table is refused, and nothing is taken for a failure.
    assert moss(['label', 'bag/', '--outcomes', 'bag.csv']) == 1
    assert "bag.csv, line 2: success is '', expected" in caplog.text
    filled = [line + word for line, word in zip(
        text.splitlines(), ['', 'yes', 'no', 'OK'], strict=True)]
    (tmp_path / 'bag.csv').write_text('\n'.join(filled))
    assert moss(['label', 'bag/', '--outcomes', 'bag.csv']) == 0
    out = capsys.readouterr().out
    assert '3 of 3 rows are attempts of bag/: 2 successes, 1 failures, 0 not executed' in out
    assert '3 attempts are few: expected at least 20' in caplog.text
    command = out.splitlines()[-1].removeprefix('next: moss ').split()
    assert command == ['evaluate', 'bag/', '--outcomes', 'bag.csv', '--executed-topic',
                       '/planner/executed_grasp']
    assert moss([*command, '--model', str(tiny_checkpoint), '--record', 'record.json']) == 0
    attempts = json.loads((tmp_path / 'record.json').read_text())['bags'][0]['attempts']
    assert [(x['attempt'], x['success'], x['decision_ns'] - lab.START_NS) for x in attempts] == [
        (1, True, 5 * 10**9), (2, False, 12 * 10**9), (3, True, 215 * 10**8)]


def test_a_template_is_written_even_if_nobody_reads_the_output(
        bag, tmp_path, monkeypatch, unread):
    monkeypatch.chdir(tmp_path)
    with unread():
        assert moss(['label', 'bag', '--template']) == 1
    assert len((tmp_path / 'bag.csv').read_text().splitlines()) == 4
    assert (tmp_path / 'bag.png').exists()


def test_the_contact_sheet_shows_the_executed_grasp_on_the_image_at_the_decision(bag, tmp_path):
    assert moss(['label', str(bag), '--sheet', str(tmp_path / 'with.png')]) == 0
    sheet = cv2.imread(str(tmp_path / 'with.png'))
    # Images of one grey level: the grasp is white in the right half of the left image.
    height, width = sheet.shape[:2]
    tile = sheet[height // 4:3 * height // 4, :width // 6]
    white = np.argwhere((tile > 250).all(axis=2) & (np.arange(tile.shape[1])[:, None].T > 20))
    assert len(white) > 50
    assert np.median(white[:, 1]) > tile.shape[1] * 0.5


@pytest.fixture
def labels(monkeypatch):
    """Return what stands below the tiles of a contact sheet."""
    from matplotlib.axes import Axes
    labels, set_label = [], Axes.set_xlabel
    monkeypatch.setattr(Axes, 'set_xlabel', lambda axes, text, **more: (
        labels.append(text), set_label(axes, text, **more))[1])
    return labels


def test_each_grasp_is_drawn_by_the_calibration_and_in_the_frame_of_its_own_image(
        make_bag, factory, tmp_path, labels):
    # Between two attempts there is a calibration of other images, and at the end another frame.
    bag = make_bag([*lab.images(), *lab.executed(), *(
        factory.camera_info(lab.at(x), lab.CAMERA, side)
        for x, side in ((9.0, 20), (9.5, 20), (15.0, 40))),
                    factory.image(lab.at(30.0), lab.IMAGES, side=40, frame_id='tool_camera')])
    assert moss(['label', str(bag), '--sheet', str(tmp_path / 'sheet.png')]) == 0
    assert labels == ['', 'no calibration that fits the image', '']


@pytest.mark.parametrize(('entries', 'said'), [
    (lab.executed(position=(5.0, 0.0, 0.5)), 'the grasp is outside of the image'),
    (lab.signal('std_msgs/msg/Bool', '/gripper/command', lab.opened_and_closed(False, True)),
     'no executed grasp recorded')])
def test_a_grasp_that_cannot_be_drawn_says_why_in_its_tile(make_bag, tmp_path, entries, said,
                                                           labels, caplog):
    bag = make_bag(lab.images() + entries)
    assert moss(['label', str(bag), '--sheet', str(tmp_path / 'sheet.png')]) == 0
    assert labels == [said] * 3
    assert (f'attempt 3: {said}' in caplog.text) == ('outside' in said)


def test_a_calibration_in_a_file_draws_the_grasp_as_that_of_a_topic(
        bag, make_bag, tmp_path, capsys, caplog):
    bare = make_bag(lab.images()[:-1] + lab.executed(), 'bare')
    path = write_calibration(tmp_path / 'cal.yaml', (40, 40), 40.0, ())
    sheets = [tmp_path / f'{name}.png' for name in ('topic', 'without', 'file')]
    assert moss(['label', str(bag), '--sheet', str(sheets[0])]) == 0
    assert moss(['label', str(bare), '--sheet', str(sheets[1])]) == 0
    assert 'attempt 3: no calibration that fits the image' in caplog.text
    caplog.clear()
    capsys.readouterr()
    assert moss(['label', str(bare), '--sheet', str(sheets[2]), '--template', '--out',
                 str(tmp_path / 'bare.csv'), '--calibration', str(path)]) == 0
    assert 'no calibration' not in caplog.text
    assert f'--calibration {path}' in capsys.readouterr().out
    topic, without, file = (cv2.imread(str(x)) for x in sheets)
    np.testing.assert_array_equal(file, topic)
    assert without.shape != topic.shape or (without != topic).any()


def test_a_grasp_in_base_link_is_drawn_where_the_transform_says(bag, make_bag, table, tmp_path,
                                                                capsys, caplog):
    foreign = make_bag(lab.images() + lab.executed(
        position=(0.0, 0.1, 0.1), frame_id='base_link'), 'foreign')
    sheets = [tmp_path / f'{name}.png' for name in ('camera', 'without', 'with')]
    assert moss(['label', str(bag), '--sheet', str(sheets[0])]) == 0
    assert moss(['label', str(foreign), '--sheet', str(sheets[1])]) == 0
    assert "attempt 3: the grasp is in frame 'base_link'" in caplog.text
    # A reason is one line, however many attempts it has.
    line, = caplog.messages
    assert line.startswith(f'{foreign}: 3 executed grasps are not drawn, the last one that of')
    assert line.endswith("expected a transform to 'camera_optical_frame', the frame of the "
                         'images, on /tf or /tf_static, or by --candidates-transform')
    caplog.clear()
    outcomes = table('attempt,success\n1,yes\n2,no\n3,yes\n')
    options = '--rectified false --candidates-transform 0.05 -0.1 0.4 0.0 0.0 0.0 1.0'
    assert moss(['label', str(foreign), '--sheet', str(sheets[2]), *options.split()]) == 0
    assert 'the grasp is in frame' not in caplog.text
    camera, without, placed = (cv2.imread(str(x)) for x in sheets)
    np.testing.assert_array_equal(placed, camera)
    assert (without != camera).any()
    # The next command needs the same options.
    assert moss(['label', str(foreign), '--outcomes', outcomes, *options.split()]) == 0
    assert f' {options} --out table_stamps.csv' in capsys.readouterr().out.splitlines()[-2]


GRIPPER = lab.signal('std_msgs/msg/Bool', '/gripper/command',
                     lab.opened_and_closed(False, True, decisions=(5.7, 12.7, 22.2)))


@pytest.mark.parametrize(('rows', 'words'), [
    # Numbers of attempts; times within them of a clock an hour behind; starts and ends alone.
    ('attempt,success\n1,yes\n2,no\n3,yes\n', '--attempts-by gripper --after 2.5'),
    ('attempt,success\n1,yes\n2,no\n3,yes\n', ''),
    ('start,decision,end,success\n' + ''.join(
        f'{lab.START_NS / 1e9 + x - 3601:.1f},{lab.START_NS / 1e9 + x - 3600:.1f},'
        f'{lab.START_NS / 1e9 + x - 3598:.1f},yes\n' for x in lab.DECISIONS_S), '--offset 3600.0'),
    ('start,end,success\n' + ''.join(
        f'{lab.START_NS / 1e9 + x - 1:.1f},{lab.START_NS / 1e9 + x + 2:.1f},yes\n'
        for x in lab.DECISIONS_S), '')])
def test_what_other_commands_would_read_differently_is_to_be_written_first(
        make_bag, table, tmp_path, monkeypatch, capsys, rows, words):
    monkeypatch.chdir(tmp_path)
    make_bag(lab.images() + lab.executed() + GRIPPER)
    given = ['label', 'bag', '--outcomes', table(rows), *words.split()]

    def advised(words):
        assert moss([*words, '--sheet', '']) == 0
        return [x for x in capsys.readouterr().out.splitlines() if x.startswith('next: moss ')]
    first, = advised(given)
    assert first.removesuffix(' --out table_stamps.csv').endswith(words)
    second, = advised(first.split()[2:])
    assert second.startswith('next: moss evaluate bag --outcomes table_stamps.csv')
    # That table says the same by itself, so nothing more is to be written.
    assert advised(['label', 'bag', '--outcomes', 'table_stamps.csv']) == [second]


def test_a_template_has_the_lead_times_that_the_gripper_tells(make_bag, tmp_path, monkeypatch,
                                                              caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level('INFO')
    make_bag(lab.images() + lab.executed() + GRIPPER)
    assert moss(['label', 'bag', '--template', '--sheet', '']) == 0
    rows = list(csv.DictReader((tmp_path / 'bag.csv').read_text().splitlines()))
    assert [float(x['lead_time']) for x in rows] == pytest.approx([0.7] * 3)
    assert [x['success'] for x in rows] == [''] * 3
    assert 'bag: the lead times of 3 attempts are measured by the gripper on /gripper/command' in (
        caplog.text)


def test_a_template_by_the_gripper_warns_of_its_decisions_unless_you_state_the_lead_time(
        make_bag, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    make_bag(lab.images() + GRIPPER)
    assert moss(['label', 'bag', '--template', '--sheet', '']) == 0
    assert 'so the images show it at the object' in caplog.text
    caplog.clear()
    assert moss(['label', 'bag', '--template', '--sheet', '', '--force', '--lead-time', '0.7']
                ) == 0
    assert not caplog.messages
    rows = list(csv.DictReader((tmp_path / 'bag.csv').read_text().splitlines()))
    assert [float(x['decision']) for x in rows] == pytest.approx(
        [lab.START_NS / 1e9 + x for x in lab.DECISIONS_S])
    assert [float(x['lead_time']) for x in rows] == pytest.approx([0.7] * 3)


def test_a_template_of_one_attempt_of_many_says_which_topics_would_tell_more(
        make_bag, factory, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    make_bag(lab.images() + lab.executed(topic='/arm/goal') + [
        factory.candidates(lab.at(x / 3), lab.GRASPS) for x in range(90)])
    assert moss(['label', 'bag', '--template', '--sheet', '']) == 0
    assert 'so they make one attempt' in caplog.text
    assert 'the recording has poses on /arm/goal: name one with --executed-topic' in caplog.text


def test_a_file_that_you_wrote_is_kept_without_force(bag, tmp_path, caplog):
    out = tmp_path / 'mine.csv'
    out.write_text('my work')
    assert moss(['label', str(bag), '--template', '--out', str(out)]) == 1
    assert 'mine.csv: exists already, and is not overwritten without --force' in caplog.text
    assert out.read_text() == 'my work' and not (tmp_path / 'mine.png').exists()
    assert moss(['label', str(bag), '--template', '--out', str(out), '--force', '--sheet', '']
                ) == 0
    assert out.read_text().startswith('attempt,start') and not (tmp_path / 'mine.png').exists()


def test_a_table_of_another_clock_is_corrected_by_the_option_that_it_is_told(
        bag, table, tmp_path, caplog):
    path = table('begin;end;ok;object\n2023-11-14 23:13:24,5;2023-11-14 23:13:26;OK;cup\n'
                 '2023-11-14 23:13:31;2023-11-14 23:13:33;FAIL;box\n')
    assert moss(['label', str(bag), '--outcomes', path]) == 1
    assert 'a clock that is 1 hour behind: --offset -3600' in caplog.text
    out = tmp_path / 'right.csv'
    for option in (['--offset', '-3600'], ['--zone', '+01:00', '--force']):
        assert moss(['label', str(bag), '--outcomes', path, '--out', str(out), *option]) == 0
        rows = list(csv.DictReader(out.read_text().splitlines()))
        assert [(x['start'], x['decision'], x['success'], x['object']) for x in rows] == [
            ('1700000004.500000000', '1700000005.000000000', 'true', 'cup'),
            ('1700000011.000000000', '1700000012.000000000', 'false', 'box')]


@pytest.mark.parametrize(('text', 'said'), [
    ('start,end,success\n4,6,1\n5,9,0\n', 'line 3: attempt 2 begins at 1700000005.000000000 '),
    ('start,end,success\n4,6,1\n94,96,0\n', 'line 3: attempt 2 at 1700000094.000000000 '),
    ('start,end,success\n4,6,1\n11.1,11.2,0\n', 'line 3: no image is stamped within attempt 2'),
    ('time,success\n5,1\n12,1\n22,1\n', 'all 3 attempts are successes: the AUROC is undefined'),
    ('time,success\n5,1\n12,0\n', 'attempts found by the executed grasps on '
                                  '/planner/executed_grasp have no row: 3')])
def test_what_is_odd_about_a_table_is_one_warning(bag, table, caplog, text, said):
    path = table(text)
    assert moss(['label', str(bag), '--outcomes', path]) == 0
    line, = [x for x in caplog.messages if said in x]
    assert line.startswith(f'{path}: ')


def test_two_rows_of_one_number_are_refused(bag, table, caplog):
    assert moss(['label', str(bag), '--outcomes', table(
        'attempt,start,end,success\n1,4,6,1\n1,11,13,0\n')]) == 1
    assert 'line 3: attempt is 1, which line 2 has already' in caplog.text


def test_evaluate_says_how_it_reads_a_table_and_which_offset_would_match(
        bag, table, tiny_checkpoint, caplog):
    caplog.set_level('INFO')
    arguments = ['evaluate', str(bag), '--model', str(tiny_checkpoint), '--check', '--outcomes']
    assert moss([*arguments, table('time;success\n5,2;OK\n12;FAIL\n')]) == 0
    assert 'the times are read as from the start of the recording' in caplog.text
    assert moss([*arguments, table('start,end,success\n1700003604,1700003606,1\n')]) == 0
    assert '1 of 1 rows would match with a clock that is 1 hour behind' in caplog.text


def test_recordings_cannot_share_times_from_the_start(
        make_bag, table, tiny_checkpoint, caplog):
    bags = [str(make_bag(lab.images(side=4) + lab.executed(), name)) for name in ('one', 'two')]
    arguments = ['evaluate', *bags, '--model', str(tiny_checkpoint), '--check', '--outcomes']
    assert moss([*arguments, table('start,end,success\n4,6,1\n')]) == 1
    assert 'the rows count from the start of a recording, and 2 recordings' in caplog.text
    assert moss([*arguments, table('bag,time,success\none,5,1\ntwo,12,0\n')]) == 0


@pytest.mark.parametrize(('words', 'said'), [
    (['--out', 'a.csv'], '--out: expected --template or --outcomes'),
    (['--template', '--out', 'a.txt'], '--out is a.txt: expected a name that ends with .csv'),
    (['--sheet', 'a.jpg'], '--sheet is a.jpg: expected a name that ends with .png'),
    (['--template', '--outcomes', 'b.csv'], 'not allowed with argument')])
def test_arguments_that_do_not_fit_are_status_2(bag, capsys, words, said):
    with pytest.raises(SystemExit) as info:
        moss(['label', str(bag), *words])
    assert info.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(('words', 'said'), [
    (['--zone', 'Mars/Base'], "time zone 'Mars/Base' is unknown"),
    (['--before', '0'], '--before 0 is not allowed: expected seconds above 0'),
    (['--offset', 'nan'], '--offset nan is not allowed'),
    (['--lead-time', '-1'], '--lead-time -1 is not allowed: expected seconds from 0'),
    (['--image-topic', '/typo'], 'no images on /typo'),
    (['--attempts-by', 'gripper'], 'no gripper: expected'),
    (['--executed-topic', '/typo'], 'no executed grasps on /typo')])
def test_a_setting_that_cannot_be_used_is_one_line(bag, caplog, words, said):
    assert moss(['label', str(bag), *words]) == 1
    assert said in caplog.text and caplog.text.count('\n') == 1
