"""The curve of attempts of one's own robot, on a small scale, with the real nodes."""

from dataclasses import replace
import json
from pathlib import Path
import shlex

from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path
from moss_perception.data.bags.reader import Recording
from moss_perception.data.scenes import load_scenes
from moss_perception.data.shards import write_shard
from moss_perception.evaluation.scene_scores import score_scenes
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.manifest import read_header
from moss_perception.runtime.predictor import Predictor
from moss_perception.runtime.torch_engine import TorchEngine
from moss_perception.simulation.cell_file import read_cell
from moss_perception.training.settings import read_settings
import numpy as np
import programs
import pytest
from spots import MATRIX, scene, TINY
from tiny import TIME, tiny_network

from study.own_robot import plan as plans
from study.own_robot.__main__ import build_parser, main, read_plan
from study.own_robot.figures import plot, tables
from study.own_robot.plan import estimate, Plan, Sizes, SMALL, Training
from study.own_robot.stages import chosen_samples, evaluate, score_file
from study.pages import blocks, fill

STUDY = Path(__file__).resolve().parents[2] / 'study'
CURVES = (plans.FINETUNED, plans.ADAPTED, plans.PRETRAINED_FINETUNED)
NODES = ('attempt_recorder', 'grasp_gate', 'grasp_predictor', 'moss', 'sim_cell')


@pytest.mark.timeout(600)
def test_the_whole_study_runs_on_a_small_scale_and_continues(
        tmp_path, monkeypatch, capsys, caplog):
    for name, value in programs.with_executables(tmp_path, *NODES).items():
        monkeypatch.setenv(name, value)
    out, page = tmp_path / 'study', tmp_path / 'page.md'
    page.write_text('<!-- begin own_robot | curves -->\n<!-- end -->\n')
    initial = tmp_path / 'timed.safetensors'
    save_checkpoint(initial, tiny_network(**TIME))
    words = ['--out', str(out), '--small', '--initial', str(initial), '--workers', '1',
             '--threads', '1', '--curves', *CURVES]
    assert main([*words, '--page', str(page), '--plot', str(tmp_path / 'curves.png')]) == 0
    with Recording(out / 'attempts') as recording:
        outcomes = recording.outcomes()
        topics = {x.name for x in recording.topics.values()}
    assert len(outcomes) == 11 and all(x.executed for x in outcomes)
    # As late as the scenes that all models are measured on.
    assert [round((x.decision_ns - x.start_ns) / 1e9, 3) for x in outcomes] == [1.9] * 11
    # Recorded through the topics, with what the nodes published.
    assert {'/image/compressed', '/selected_grasp', '/grasp_predictor/grasp_scores'} <= topics
    assert len({x.candidate for x in outcomes}) > 2, 'the gate did not explore'
    samples = load_scenes(out / 'samples')
    assert all(x.labelled.sum() == 1 and x.lead_time_s > 1 for x in samples)
    assert all(np.isfinite(x.lead_time_s) for name in ('test', 'ceiling', 'pretrained')
               for x in load_scenes(out / 'scenes' / name))
    result = json.loads((out / 'own_robot.json').read_text())
    points = {(x['curve'], x['attempts']): x for x in result['points']}
    assert set(points) == {('shipped', 0), ('pretrained', 0), ('ceiling', 0), *(
        (curve, 10) for curve in CURVES)}
    assert all(0 <= x['success'][1] <= x['success'][0] <= x['success'][2] <= 1
               for x in points.values())
    assert set(result['seconds']) == {'record', 'import', 'scenes', 'train', 'adapt', 'evaluate'}
    assert 'finetuned' in page.read_text() and (tmp_path / 'curves.png').stat().st_size > 5000
    capsys.readouterr()
    # What is lost is made again, and nothing else.
    before = {x: x.stat().st_mtime_ns for x in out.rglob('*.safetensors')}
    lost, = (out / 'scores').glob('finetuned_10_seed_0_*.npy')
    lost.unlink()
    assert main([*words, '--stages', 'evaluate', 'results']) == 0
    assert lost.exists() and before == {
        x: x.stat().st_mtime_ns for x in out.rglob('*.safetensors')}
    again = json.loads((out / 'own_robot.json').read_text())
    assert again['points'] == result['points']
    printed = capsys.readouterr().out
    assert main(['--results', str(out / 'own_robot.json')]) == 0
    assert capsys.readouterr().out == printed
    # Models of other data are not taken for those of this command.
    for option, value in (('--scenes', '12'), ('--attempts', '20'), ('--test', '5'),
                          ('--initial', str(lost))):
        caplog.clear()
        assert main([*words, option, value]) == 1
        assert f'was begun with {option[2:]} ' in caplog.text


def test_the_robot_is_a_cell_that_its_owner_knows_but_for_friction_and_force(tmp_path):
    plan = Plan(tmp_path)
    plan.write_cells()
    robot, own, table = (read_cell(str(path)) for path in (
        plan.robot, plan.own, 'config/cells/oblique_table.yaml'))
    assert robot.view == own.view == table.view and robot.surface == own.surface
    assert robot.gripper.half_opening_m == own.gripper.half_opening_m
    assert robot.gripper.half_opening_m != table.gripper.half_opening_m
    assert robot.gripper.friction != own.gripper.friction
    assert robot.gripper.force_n != own.gripper.force_n


def test_models_score_the_new_scenes_as_their_engines_do(tmp_path, monkeypatch):
    config = replace(TINY, temperature=2.0)
    save_checkpoint(tmp_path / 'warm.safetensors', build(config).eval(), {})
    scenes = [scene(n) for n in range(3)]
    write_shard(tmp_path / 'scenes' / 'test' / 'scenes_00000000.npz', scenes, MATRIX)
    monkeypatch.setattr(Plan, 'trainings', lambda self: [])
    plan = Plan(tmp_path, initial=str(tmp_path / 'warm.safetensors'))
    evaluate(plan)
    engine = TorchEngine(load_checkpoint(tmp_path / 'warm.safetensors'), threads=1)
    np.testing.assert_allclose(np.load(score_file(plan, plans.SHIPPED)),
                               score_scenes(Predictor(engine), scenes), atol=1e-5)


def test_more_attempts_include_the_fewer_of_the_same_seed():
    samples = list(range(30))
    few, more, other = (chosen_samples(samples, Training(plans.FINETUNED, *x))
                        for x in ((10, 0), (20, 0), (10, 1)))
    assert len(few) == 10 and set(few) < set(more) and few != other


def test_trainings_begin_with_their_model_and_take_its_network(tmp_path):
    plan = Plan(tmp_path, SMALL)
    made = set()
    for training in plan.trainings():
        assert training.initial in ('', plans.SHIPPED) or training.initial in made
        made.add(training.name)
    assert len(made) == 2 + len(plan.curves)


def test_scenes_and_attempts_are_trained_on_by_the_recipes_that_the_tutorial_names(tmp_path):
    plan, shipped = Plan(tmp_path), read_header(model_path(''))[0]
    scenes, attempts = (plan.settings(Training(*one), shipped) for one in (
        (plans.PRETRAINED, 0), (plans.FINETUNED, 100)))
    for settings, name in ((scenes, 'pretrain'), (attempts, 'finetune')):
        assert settings.recipe() == read_settings(f'config/{name}.yaml').recipe()
    assert plan.settings(Training(plans.CEILING), shipped) == scenes
    assert scenes.network['gripper_half_width_m'] == 0.05
    text = (STUDY.parent / 'docs' / 'tutorials' / 'own_model.md').read_text(encoding='utf-8')
    assert '--config config/pretrain.yaml' in text


def test_the_medium_size_of_the_page_takes_an_evening():
    text = (STUDY / 'docs' / 'own_robot.md').read_text(encoding='utf-8')
    line, = (x for x in text.splitlines() if x.startswith('python') and '--seeds 1' in x)
    plan = read_plan(build_parser().parse_args(shlex.split(line)[3:]))
    assert (plan.sizes.attempts, plan.sizes.seeds, len(plan.curves)) == ((100, 400), 1, 2)
    assert sum(estimate(plan).values()) / 3600 == pytest.approx(1.4, abs=0.1)


def test_the_estimate_grows_with_what_is_asked_for(tmp_path):
    least, most, fast = (estimate(Plan(tmp_path, sizes, device=device)) for sizes, device in (
        (SMALL, 'cpu'), (Sizes(), 'cpu'), (Sizes(), 'cuda')))
    assert set(least) == {'record', 'import', 'scenes', 'train', 'adapt', 'evaluate'}
    assert all(least[stage] < most[stage] for stage in least)
    assert fast['train'] < most['train'] / 5


def test_the_tables_say_how_far_the_goals_are_reached(tmp_path):
    def point(curve, attempts, share):
        return {'curve': curve, 'attempts': attempts, 'seeds': 1, 'success': [0.5, 0.4, 0.6],
                'auroc': [0.8, None, None], 'share': share, 'successes': [0.5]}

    result = {'scenes': 2, 'conditions': {'scenes': 4}, 'recorded': {'failed': 3},
              'seconds': {'train': 120.0, 'adapt': 6.0},
              'baselines': {'true_motion': 0.75, 'random': None}, 'points': [
                  point('shipped', 0, [0.0, 0.0, 0.0]), point('pretrained', 0, [0.2, 0.1, 0.3]),
                  point('ceiling', 0, [1.0, 1.0, 1.0]), point('finetuned', 100, [0.4, 0.3, 0.5]),
                  point('scratch', 100, [None, None, None])]}
    found = tables(result)
    (row,) = found['goals'].splitlines()[2:]
    assert [cell.strip() for cell in row.split('|')[1:-1]] == [
        '100', '50 %', 'finetuned', '40.0 % (30.0 to 50.0)', 'no']
    assert '50.0 % (40.0 to 60.0)' in found['curves'] and 'true motion' in found['curves']
    assert '2' in found['time'] and '0.1' in found['time'] and 'failed' in found['recording']
    plot(result, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').exists()


@pytest.mark.parametrize(('words', 'line'), [
    (['--attempts', '5', '10'], '--attempts 5 10: expected ascending numbers from 10 on'),
    (['--attempts', '50', '20'], 'expected ascending numbers'),
    (['--seeds', '0'], '--seeds 0: expected 1 or more')])
def test_numbers_that_cannot_work_are_refused(tmp_path, words, line):
    with pytest.raises(ConfigError, match=line):
        read_plan(build_parser().parse_args(['--out', str(tmp_path), *words]))


def test_the_page_has_the_tables_of_the_stored_results():
    stored, page = STUDY / 'results' / 'own_robot.json', STUDY / 'docs' / 'own_robot.md'
    text = page.read_text(encoding='utf-8')
    assert {what for _, what in blocks(text)} == {'curves', 'goals', 'recording', 'time'}
    if not stored.exists():
        assert text.count('*Not run yet at its full size: `python -m study.own_robot`.*') == 4
        return
    found = tables(json.loads(stored.read_text()))
    assert text == fill(text, lambda name, what: found[what] if name == 'own_robot' else None)
