"""The command `evaluate` on recordings: what it tells, asks, requires and refuses."""

import argparse
import io
import json

from calibrations import write_calibration
from moss_perception.cli.evaluate_recordings import domain_of
from moss_perception.cli.main import main as moss
from moss_perception.cli.topic_options import (
    add_camera_options,
    add_topic_options,
    add_topics_by_recording,
    recordings_of,
)
from moss_perception.core.resources import share_directory
import pytest

SAMPLES = share_directory() / 'samples'


@pytest.mark.timeout(115)
def test_recordings_by_several_workers_become_one_report(tiny_checkpoint, tmp_path, capsys):
    arguments = [str(SAMPLES / 'sim_20'), f'odd:{SAMPLES / "shifted_20"}', '--model',
                 str(tiny_checkpoint), '--workers', '2', '--report', str(tmp_path / 'report'),
                 '--record', str(tmp_path / 'record.json')]
    assert moss(['evaluate', *arguments, '--require', 'attempts>=20', 'auroc>1']) == 3
    out = capsys.readouterr().out
    assert 'sim: 9 of 20 attempts succeeded' in out and 'odd: 10 of 20' in out
    assert out.count('SHORT') == 2 and out.count(' met') == 2
    made = {x.name for x in (tmp_path / 'report').iterdir()}
    assert made >= {'report.html', 'report.json', 'attempts.csv'}
    bags = json.loads((tmp_path / 'record.json').read_text())['bags']
    assert [x['domain'] for x in bags] == ['sim', 'odd']


def test_a_table_for_one_recording_leaves_the_other_its_own(
        factory, make_bag, tiny_checkpoint, tmp_path, capsys):
    bags = [str(make_bag([factory.image(factory.START_NS, side=40)], name=x)) for x in 'ab']
    start = factory.START_NS // 10**9
    (tmp_path / 'b.csv').write_text(f'start,end,success,domain\n{start},{start + 1},1,real\n')
    assert moss(['evaluate', *bags, '--model', str(tiny_checkpoint), '--outcomes', '',
                 '--outcomes', str(tmp_path / 'b.csv')]) == 0
    out = capsys.readouterr().out
    assert out.count('no outcomes were recorded') == 1
    assert 'real: 1 of 1 attempts succeeded, 0 scored; AUROC is undefined' in out


@pytest.mark.parametrize(('columns', 'lost', 'unmatched'), [
    ('bag', ['b'], [[], [1]]), ('attempt', ['1'], [[1], []]), ('attempt', [], [[], []])])
def test_a_row_is_unmatched_whatever_row_has_its_number_in_another_recording(
        factory, make_bag, tiny_checkpoint, tmp_path, columns, lost, unmatched):
    bags = [str(make_bag([factory.image(factory.START_NS, side=40)], name=x)) for x in 'ab']
    start = factory.START_NS // 10**9
    rows = [f'start,end,success,{columns}', f'{start},{start + 1},1,{"a1"[columns != "bag"]}',
            *[f'{start + 500},{start + 501},1,{x}' for x in lost]]
    (tmp_path / 'both.csv').write_text('\n'.join(rows))
    table, store = ['--outcomes', str(tmp_path / 'both.csv')], str(tmp_path / 'store')
    model = ['--model', str(tiny_checkpoint)]
    for arguments in ([*bags, *model, *table], [*bags, *model, *table, '--store', store],
                      [*bags, *model, *table, '--store', store], ['--merge', store]):
        record = tmp_path / 'record.json'
        record.unlink(missing_ok=True)
        assert moss(['evaluate', *arguments, '--record', str(record)]) == 0
        assert [[x['attempt'] for x in bag['unmatched']]
                for bag in json.loads(record.read_text())['bags']] == unmatched


def test_outcomes_of_another_clock_are_no_error_but_no_attempts_either(
        factory, make_bag, tiny_checkpoint, tmp_path, capsys):
    bag = make_bag([factory.image(factory.START_NS, side=40)])
    (tmp_path / 'wall.csv').write_text('start,end,success,domain\n5,6,1,real\n7,8,0,real\n')
    arguments = [str(bag), '--model', str(tiny_checkpoint), '--outcomes',
                 str(tmp_path / 'wall.csv')]
    assert moss(['evaluate', *arguments]) == 0
    assert 'none of the 2 outcomes overlaps the images in time' in capsys.readouterr().out
    assert moss(['evaluate', *arguments, '--require', 'attempts>=1']) == 3


@pytest.mark.parametrize(('pose', 'status', 'share'), [(True, 3, '0'), (False, 0, '1')])
def test_a_score_away_from_the_known_executed_grasp_is_told_and_falls_short(
        factory, make_bag, tiny_checkpoint, tmp_path, capsys, pose, status, share):
    bag = make_bag(factory.attempt_run(pose=pose))
    arguments = [str(bag), '--model', str(tiny_checkpoint), '--require', 'scored_share>=0.95']
    assert moss(['evaluate', *arguments]) == status
    out = capsys.readouterr().out
    said = 'WARNING: unnamed: 1 of 1 attempts are not scored at the grasp that was executed'
    assert '1 of 1 attempts succeeded, 1 scored' in out and (said in out) == pose
    row = next(line.split() for line in out.splitlines() if ' scored_share ' in line
               and '>=' in line)
    assert row[2] == share
    assert moss(['evaluate', *arguments, '--report', str(tmp_path / 'report')]) == status
    page = (tmp_path / 'report' / 'report.html').read_text()
    assert ('1 of 1 attempts are not scored at the grasp that was executed' in page) == pose


def test_outcomes_outside_of_the_recording_are_told_first_and_fall_short(
        factory, make_bag, tiny_checkpoint, tmp_path, capsys):
    bag = make_bag(factory.attempt_run())
    start = factory.START_NS // 10**9
    rows = [f'{start}.2,{start + 2}.6,{start + 2}.8,1', *(
        f'{start + 100 * n},{start + 100 * n + 2},{start + 100 * n + 3},{n % 2}'
        for n in range(1, 6))]
    table = tmp_path / 'rows.csv'
    arguments = ['evaluate', str(bag), '--model', str(tiny_checkpoint), '--outcomes', str(table),
                 '--require', 'scored_share>=0.95', '--report', str(tmp_path / 'report')]
    for count, status in ((1, 0), (6, 3)):
        table.write_text('\n'.join(['start,decision,end,success', *rows[:count]]))
        assert moss(arguments) == status
    out = capsys.readouterr().out
    said = '5 of 6 outcomes match no image, so the figures are of the others alone: attempt 2: it'
    assert out.count(f'WARNING: unnamed: {said}') == 1
    assert said in (tmp_path / 'report' / 'report.html').read_text()
    report = json.loads((tmp_path / 'report' / 'report.json').read_text())
    assert report['checkpoints'][0]['domains']['unnamed']['shares']['scored_share'] == (
        pytest.approx(1 / 6))


@pytest.mark.parametrize(('own', 'focal'), [
    ('camera_info:=/cam/info', None), ('image:=/cam/image', 50.0),
    ('camera_info:=/cam/info,calibration:={}', 70.0)])
def test_the_topic_of_a_recordings_calibration_takes_precedence_over_the_file_of_all(
        tmp_path, own, focal):
    files = [write_calibration(tmp_path / f'{x:.0f}.yaml', focal=x) for x in (50.0, 70.0)]
    parser = argparse.ArgumentParser()
    for add in (add_topic_options, add_topics_by_recording, add_camera_options):
        add(parser)
    parser.set_defaults(outcomes=[])
    one, = recordings_of(parser.parse_args([
        '--calibration', str(files[0]), '--topics', f'real={own.format(files[1])}']),
        [('real', str(tmp_path / 'bag'))])
    assert (one.setup and one.setup.camera('').matrix[0, 0]) == focal


def test_domains_are_named_before_the_recording_unless_that_is_its_path(tmp_path):
    strange = tmp_path / 'a:b'
    strange.mkdir()
    assert domain_of('real:/data/bag') == ('real', '/data/bag')
    assert domain_of(str(strange)) == ('', str(strange))
    assert domain_of('/data/x:y') == ('', '/data/x:y')


@pytest.mark.parametrize('arguments', [
    [], ['bag', '--scenes', 'x'], ['bag', '--baseline'], ['--scenes', 'x', '--report', 'y'],
    ['bag', '--domain', 'real'], ['--scenes', 'x', '--model', 'a', 'b'],
    ['--scenes', 'x', '--domain', 'sim=bag']])
def test_what_does_not_fit_together_is_a_usage_error(arguments):
    with pytest.raises(SystemExit) as info:
        moss(['evaluate', *arguments])
    assert info.value.code == 2


@pytest.mark.parametrize(('arguments', 'said'), [
    (['bag', '--seed', '3', '--cell', 'belt'], '--cell, --seed: not allowed with recordings'),
    (['bag', '--verify'], '--verify: not allowed with recordings'),
    (['bag', '--scores', 'recorded', '--engine', 'torch'],
     '--engine: not allowed with --scores recorded'),
    (['--scenes', 'x', '--seed', '5'], '--seed: not allowed with --scenes'),
    (['--scenes', 'x', '--workers', '2'], '--workers: not allowed with --scenes'),
    (['--scenes', 'x', '--require', 'auroc>1', '--image-topic', 'y'],
     '--image-topic: not allowed with --scenes'),
    (['bag', '--conditions', '{}'], '--conditions: not allowed with recordings'),
    (['bag', '--latencies', 'x.json'], '--latencies: not allowed with recordings'),
    (['--records', 'x', '--engine', 'torch'], '--engine: not allowed with --records'),
    (['--records', 'x', '--outcomes', 'y'], '--outcomes: not allowed with --records'),
    (['--fresh', '3', '--scores', 'replay'], '--scores: not allowed with --fresh')])
def test_an_option_that_would_do_nothing_is_refused_by_name(arguments, said, capsys):
    with pytest.raises(SystemExit) as info:
        moss(['evaluate', *arguments])
    assert info.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize('text', ['0.06', '{latency: 1}'])
def test_conditions_that_are_no_object_are_refused_before_anything_is_read(text, caplog):
    assert moss(['evaluate', 'bag', '--scores', 'recorded', '--conditions', text]) == 1
    assert f'--conditions {text!r} is not allowed: expected a JSON object' in caplog.text


def test_a_check_finds_what_is_missing_and_evaluates_nothing(
        factory, make_bag, tiny_checkpoint, tmp_path, caplog, capsys):
    bag = make_bag([factory.image(factory.START_NS, side=40)])
    arguments = [str(bag), '--check', '--model', str(tiny_checkpoint)]
    assert moss(['evaluate', *arguments]) == 1
    assert 'no outcomes to compare the scores with' in caplog.text
    (tmp_path / 'wall.csv').write_text('start,end,success\n5,6,1\n')
    assert moss(['evaluate', *arguments, '--outcomes', str(tmp_path / 'wall.csv')]) == 0
    assert moss(['evaluate', *arguments, '--candidates-topic', '/typo']) == 1
    assert 'no grasp candidates on /typo' in caplog.text
    assert capsys.readouterr().out == ''


def test_a_known_error_is_one_line_and_leaves_nothing(tiny_checkpoint, tmp_path, caplog):
    for more, said in (([str(tmp_path / 'none')], 'no such recording'),
                       ([str(SAMPLES / 'sim_20'), '--require', 'beauty>1'], 'beauty'),
                       ([str(SAMPLES / 'sim_20'), '--outcomes', 'a', '--outcomes', 'b'],
                        '--outcomes names 2 files for 1 recordings')):
        caplog.clear()
        assert moss(['evaluate', *more, '--model', str(tiny_checkpoint), '--report',
                              str(tmp_path / 'report')]) == 1
        assert said in caplog.text and caplog.text.count('\n') == 1
    assert not (tmp_path / 'report').exists()
    (tmp_path / 'file').touch()
    assert moss(['evaluate', str(SAMPLES / 'sim_20'), '--report',
                 str(tmp_path / 'file' / 'x')]) == 1
    assert "can't be written" in caplog.text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_of_several_cameras_one_is_asked_for(
        factory, make_bag, tiny_checkpoint, monkeypatch, capsys, caplog):
    bag = make_bag([factory.image(factory.START_NS + n, x, side=40)
                    for n, x in enumerate(('/left', '/right'))])
    arguments = [str(bag), '--model', str(tiny_checkpoint)]
    monkeypatch.setattr('sys.stdin', Terminal('3\n2\n'))
    assert moss(['evaluate', *arguments]) == 0
    said = capsys.readouterr()
    assert '1 images on /right' in said.out and said.err.count('Which one, 1 to 2?') == 2
    monkeypatch.setattr('sys.stdin', io.StringIO())
    assert moss(['evaluate', *arguments]) == 1
    assert 'expected one of /left, /right' in caplog.text


def test_of_several_topics_of_candidates_one_is_asked_for(
        factory, make_bag, tiny_checkpoint, monkeypatch, capsys, caplog):
    bag = make_bag([factory.image(factory.START_NS, side=40), *(
        factory.candidates(factory.START_NS - 1, x) for x in ('/far', '/near'))])
    arguments = [str(bag), '--model', str(tiny_checkpoint)]
    monkeypatch.setattr('sys.stdin', Terminal('2\n'))
    assert moss(['evaluate', *arguments]) == 0
    assert 'note: the grasp candidates are read from /near' in capsys.readouterr().out
    monkeypatch.setattr('sys.stdin', io.StringIO())
    assert moss(['evaluate', *arguments]) == 1
    assert 'several topics of grasp candidates: name one' in caplog.text
    assert moss(['evaluate', *arguments, '--candidates-topic', '/typo']) == 1
    assert 'no grasp candidates on /typo; expected one of /far, /near' in caplog.text


def test_of_several_calibrations_one_is_asked_for_or_the_report_says_so(
        factory, make_bag, tiny_checkpoint, monkeypatch, capsys):
    bag = make_bag([factory.image(factory.START_NS, side=40), *(
        factory.camera_info(factory.START_NS - 1, f'/{x}/camera_info') for x in ('far', 'near'))])
    arguments = [str(bag), '--model', str(tiny_checkpoint)]
    told = ('calibrations are on /far/camera_info, /near/camera_info, but none is in the '
            'namespace of the images, and no topic was given: only the default grasp point can '
            'be scored')
    monkeypatch.setattr('sys.stdin', io.StringIO())
    assert moss(['evaluate', *arguments]) == 0 and told in capsys.readouterr().out
    monkeypatch.setattr('sys.stdin', Terminal('2\n'))
    assert moss(['evaluate', *arguments]) == 0
    said = capsys.readouterr()
    assert told not in said.out and 'several topics of the camera calibration' in said.err
    assert moss(['evaluate', *arguments, '--camera-info-topic', '/far/camera_info']) == 0
    assert told not in capsys.readouterr().out


def test_the_executed_grasp_may_be_on_another_topic(
        factory, make_bag, tiny_checkpoint, caplog):
    bag = make_bag([factory.image(factory.START_NS, side=40),
                    factory.selected(factory.START_NS, (0, 0, 0.5), (0.0, 0, 0, 1))])
    arguments = [str(bag), '--model', str(tiny_checkpoint), '--executed-topic']
    assert moss(['evaluate', *arguments, 'selected_grasp']) == 0
    assert moss(['evaluate', *arguments, '/goal']) == 1
    assert 'no executed grasps on /goal; expected one of /selected_grasp' in caplog.text


def robots_run(factory, prefix):
    """Return one attempt with names of its own, and a pose of the tool beside the grasp's."""
    entries = [x for n in range(30) for x in (
        factory.camera_info(factory.START_NS + n * 10**8, f'{prefix}/camera_info'),
        factory.image(factory.START_NS + n * 10**8, f'{prefix}/color', side=40, fill=9 * n),
        factory.image(factory.START_NS + n * 10**8, f'{prefix}/other', side=40))]
    at = factory.START_NS + 26 * 10**8
    return [*entries, *(
        factory.selected(at, place, (0.0, 0.0, 0.0, 1.0), prefix + name)
        for place, name in (((0.0, 0.0, 0.5), '/goal'), ((0.1, 0.0, 0.5), '/tool')))]


def test_recordings_with_names_of_their_own_go_into_one_command(
        factory, make_bag, tiny_checkpoint, tmp_path, capsys, caplog):
    second = factory.START_NS // 10**9
    (tmp_path / 'real.csv').write_text(
        f'start,decision,end,success\n{second}.2,{second + 2}.6,{second + 2}.8,1\n')
    (tmp_path / 'topics.yaml').write_text(
        'real:\n  image: /arm/color\n  executed: /arm/goal\n  outcomes: real.csv\n')
    bags = [f'{name}:{make_bag(robots_run(factory, prefix), name)}'
            for name, prefix in (('lab', '/lab'), ('real', '/arm'))]
    arguments = ['evaluate', *bags, '--model', str(tiny_checkpoint), '--topics',
                 str(tmp_path / 'topics.yaml'), '--topics',
                 f'lab=image:=/lab/color,executed:=/lab/goal,outcomes:={tmp_path}/real.csv']
    assert moss([*arguments, '--require', 'executed_share>=1', 'default_share<=0',
                 'scored_share>=1']) == 0
    out = capsys.readouterr().out
    assert '30 images on /lab/color' in out and '30 images on /arm/color' in out
    assert moss([*arguments, '--check']) == 0
    assert moss([*arguments, '--topics', 'robot=image:=/x']) == 1
    assert "--topics names 'robot': expected one of lab, " in caplog.text
    # Without the name of the executed grasps, the figures rest on nothing, and say so first.
    some = [x.replace(',executed:=/lab/goal', '') for x in arguments]
    assert moss([*some, '--require', 'executed_share>=1', '--report', str(tmp_path / 'r')]) == 3
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith('WARNING: lab: 1 of 1 attempts are not scored at the grasp that was '
                            'executed')
    assert 'poses on /lab/goal, /lab/tool: name one with --executed-topic' in first
    page = (tmp_path / 'r' / 'report.html').read_text()
    assert page.index('lab: 1 of 1 attempts are not scored') < page.index('class="cards"')


def foreign_run(factory):
    """Return two seconds of images, with candidates in base_link."""
    for n in range(20):
        stamp_ns = factory.START_NS + n * 10**8
        yield factory.camera_info(stamp_ns - 2, '/camera_info')
        yield factory.candidates(stamp_ns - 1, '/grasp_candidates', 'base_link')
        yield factory.image(stamp_ns, side=40, fill=9 * n)


def test_options_say_where_the_frame_of_the_candidates_is(
        factory, make_bag, tiny_checkpoint, capsys):
    bag = make_bag(list(foreign_run(factory)))
    arguments = ['evaluate', str(bag), '--model', str(tiny_checkpoint), '--rectified', 'false']
    assert moss(arguments) == 0
    assert ("their candidates in 'base_link': these candidates are not scored; the recording has "
            'no transform from') in capsys.readouterr().out
    assert moss([*arguments, '--candidates-frame', 'base_link', '--candidates-transform', '-0.01',
                 '0', '0', '0', '0', '0', '1']) == 0
    assert 'base_link' not in capsys.readouterr().out


@pytest.mark.parametrize(('options', 'words'), [
    ('--candidates-transform 0 0 0 0 0 0 2', 'its quaternion has the length 2, expected seven'),
    ('--candidates-transform nan 0 0 0 0 0 1', 'expected seven finite numbers x y z qx qy qz qw'),
    ('--candidates-frame base_link', "'base_link' is not allowed without candidates_transform")])
def test_a_setup_that_is_none_is_one_line(factory, make_bag, tiny_checkpoint, caplog, options,
                                          words):
    bag = make_bag([factory.image(factory.START_NS, side=40)])
    assert moss(['evaluate', str(bag), '--model', str(tiny_checkpoint), *options.split()]) == 1
    assert words in caplog.text and 'Traceback' not in caplog.text


@pytest.mark.parametrize(('options', 'words'), [
    ('bag --candidates-transform 0 0 0', 'expected 7 arguments'),
    ('bag --rectified perhaps', "invalid choice: 'perhaps'"),
    ('--records some.json --rectified true', '--rectified: not allowed with --records')])
def test_a_wrong_count_or_choice_is_a_usage_error(capsys, options, words):
    with pytest.raises(SystemExit) as ended:
        moss(['evaluate', *options.split()])
    assert ended.value.code == 2 and words in capsys.readouterr().err
