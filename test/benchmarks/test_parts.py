"""What the benchmarks are made of: the authors' block, timing, memory, the probe, the page."""

import json
from pathlib import Path
import subprocess
import sys
import time

import pytest
import torch

from study.pages import blocks

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture(autouse=True, scope='module')
def benchmarks():
    """Make the benchmarks' modules importable, as they are for their scripts; not for others."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path[:] = before
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], '__file__', None)).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def test_the_authors_block_has_the_published_number_of_parameters():
    from peers import authors_block
    assert authors_block.check_size() == 1_120_640


def test_the_authors_block_compares_what_ours_compares():
    from moss_perception.moss import correlate
    from peers.authors_block import _similarity
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 4, 7, 7, generator=generator)
    expected = correlate(query, key[:, None], 5, 5)[:, :, :, 0]
    assert torch.allclose(_similarity(query, key, 5), expected, atol=1e-5)


def test_our_same_sizes_have_as_many_weights_as_the_peers_layers():
    import blocks
    block = blocks.like_peer()
    # Of each order: the projection, 81 to 64, two 3 x 3, all five offsets to 128; and the output.
    order = 128 * 128 + 1 + (81 * 64 + 64) + 2 * (64 * 64 * 9 + 64) + (320 * 128 + 128)
    assert sum(p.numel() for p in block.parameters()) == 2 * order + 128 * 128 + 128


def test_every_configuration_is_built_and_steps_beside_the_shipped_checkpoint():
    from bare_predictor import BareStep, samples, WholeStep
    import blocks
    import displacement_step
    from moss_perception.models.moss_grasp.network import MossGraspNetwork
    from moss_perception.moss import MOSS
    for block in (blocks.like_peer(), blocks.like_peer(causal=False, learning='conv'),
                  blocks.light(), blocks.light(64, 3), blocks.light(causal=False),
                  blocks.light(projection=64, rank=4),
                  MOSS(128, (1, 2), blocks.WINDOW, **blocks.SMALL_HOST)):
        size = block.in_channels
        assert block(torch.zeros(1, 2, size, 5, 5)).shape == (1, 2, size, 5, 5)
    for options in displacement_step.CASES.values():
        block = displacement_step.block(**{k: v for k, v in options.items() if k != 'side'})
        size = block.in_channels
        assert block(torch.zeros(1, 1, size, 16, 16)).shape == (1, 1, size, 16, 16)
    config = blocks.read_config('')
    assert config.readout == 'displacement'
    network = blocks.randomise(MossGraspNetwork(config))
    images, points = samples(config, 1)
    for step in (BareStep(network), WholeStep(network, config.orders)):
        with torch.no_grad():
            assert step.eval()(images, points, *step.initial_state())[0].isfinite().all()


def test_the_graph_that_is_timed_steps_as_the_block_does():
    import blocks
    from streams import onnx_stream
    frames = torch.randn(7, 1, 128, 6, 5, generator=torch.Generator().manual_seed(0))
    block = blocks.like_peer()
    stream = onnx_stream(block, frames, 1)
    found = [torch.from_numpy(stream()[0]) for _ in frames]
    with torch.no_grad():
        expected = block(frames.transpose(0, 1))
    torch.testing.assert_close(torch.stack(found, dim=1), expected, rtol=0, atol=1e-4)


def test_candidates_take_turns_and_the_slower_one_is_told(monkeypatch):
    import timing
    order = []

    def candidate(name, seconds):
        def call():
            order.append(name)
            time.sleep(seconds)
        return call
    times = timing.take_turns({'slow': candidate('slow', 0.02), 'fast': candidate('fast', 0.002)},
                              rounds=3, burst_s=0.01, warm_up=0)
    turns = [name for n, name in enumerate(order) if not n or order[n - 1] != name]
    assert turns == ['slow', 'fast'] * 3
    middle, low, high = timing.ratio(times['slow'], times['fast'])
    assert low <= high
    assert middle > 1


def test_the_peak_holds_memory_that_is_given_back():
    # In a process of its own: one that ran many tests gives back tens of megabytes meanwhile.
    script = ('import numpy as np, timing\n'
              'print(timing.peak_bytes(lambda: np.ones(32_000_000).sum()))')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          cwd=BENCHMARKS, check=True)
    # 256 MB; the process may give back some megabytes of its own meanwhile, or take some.
    assert 240e6 < int(done.stdout) < 300e6


def test_the_probe_shows_the_displacement_that_it_asks_for():
    import probe_task
    frames, ahead = probe_task.clips(4, 3, probe_task.TRAINING)
    again, _ = probe_task.clips(4, 3, probe_task.TRAINING)
    other, _ = probe_task.clips(4, 4, probe_task.TRAINING)
    assert frames.shape == (4, 8, 3, 48, 48)
    assert ahead.shape == (4, 2)
    assert torch.equal(frames, again)
    assert not torch.equal(frames, other)
    # The ground stands still, so only around the disc do frames differ by more than noise.
    moved = (frames[:, -1] - frames[:, 0]).abs().amax(dim=1) > 0.1
    assert 0 < moved.float().mean() < 0.5


def test_a_mean_comes_with_an_interval_of_students_t():
    from low_rank import mean_with_interval
    mean, interval = mean_with_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert interval == '-0.484 to 4.484'


def result(**more):
    return {'benchmark': 'one', 'quick': False, 'date': 'today', 'seeds': [0], 'curves': {},
            'machine': {'cpu': 'C', 'cores': 2, 'ram_gib': 1.0, 'threads': 2, 'torch': '2',
                        'load_before': 0.0},
            'targets': [{'name': 'speed', 'value': 3.0, 'bound': 'at least', 'target': 4,
                         'unit': 'x', 'met': False, 'note': ''}],
            'tables': {'a table': {'rows': [{'k': 1.5}], 'note': 'so it is'}}, **more}


def test_the_page_is_filled_between_its_comments_and_nowhere_else():
    import report
    page = ('Prose.\n<!-- begin one | a table -->\nold\n<!-- end -->\nMore.\n'
            '<!-- begin all | missed -->\n<!-- end -->\n')
    filled = report.render(page, {'one': result()})
    assert '| 1.5 |' in filled
    assert 'old' not in filled
    assert filled.startswith('Prose.\n') and '\nMore.\n' in filled
    assert '| speed  | 3 x   | at least 4 x | no  |' in filled
    assert report.render(filled, {'one': result()}) == filled


def test_a_quick_run_is_not_reported(tmp_path):
    import report
    (tmp_path / 'performance_one.json').write_text(json.dumps(result(quick=True)))
    with pytest.raises(report.ReportError, match='quick'):
        report.load(tmp_path)


def test_each_benchmark_fills_a_block_of_the_pages_and_each_block_has_a_benchmark():
    import report
    makers = {path.stem for path in BENCHMARKS.glob('*.py')
              if f"Report('{path.stem}'" in path.read_text()}
    tables = {name for page in report.PAGES for name, what in blocks(page.read_text())
              if what not in ('targets', 'machine', 'missed')}
    listed = (BENCHMARKS / 'all.sh').read_text().partition('names=(moss_step')[2].partition(')')[0]
    assert tables == makers
    assert {'moss_step', *listed.split()} == makers


def test_results_from_before_a_table_was_added_leave_its_block_unmeasured():
    import report
    page = '<!-- begin one | another -->\n<!-- end -->\n'
    assert report.NOT_YET in report.render(page, {'one': result()})
    both = result(tables={'a table': {}, 'a tale': {}})
    with pytest.raises(report.ReportError, match='a tale'):
        report.block({'one': both}, 'one', 'a ta')


@pytest.mark.parametrize('name', ['planner', 'several_streams', 'watching', 'precision', 'fleet'])
def test_blocks_that_wait_for_a_measurement_are_filled_once_it_is_there(name):
    import report
    page = next(text for text in (path.read_text() for path in report.PAGES)
                if (name, 'machine') in blocks(text))
    titles = [what for found, what in blocks(page) if found == name and what not in (
        'targets', 'machine')]
    measured = result(benchmark=name, tables={
        f'{title} (more)': {'rows': [{'k': 1.5}], 'note': ''} for title in titles})
    filled = report.render(page, {name: measured})
    assert titles
    for title in titles:
        text = filled.partition(f'<!-- begin {name} | {title} -->')[2].partition('<!-- end -->')[0]
        assert '| 1.5 |' in text


def test_a_profile_tells_kinds_of_operation_apart_in_both_engines():
    import displacement_step
    from moss_step import frames_of
    import profiles
    from streams import Stream
    conv, images = torch.nn.Conv2d(32, 32, 3), torch.randn(8, 32, 32, 32)
    with torch.inference_mode():
        rows = profiles.eager('conv', lambda: conv(images), 5)
    counts = {row['kind']: row['operations'] for row in rows}
    assert counts[profiles.CONVOLUTIONS] == 1
    assert profiles.PRODUCTS not in counts
    rows = profiles.eager('training', lambda: conv(images).sum().backward(), 5)
    counts = {row['kind']: row['operations'] for row in rows}
    assert counts[profiles.CONVOLUTIONS] == 2  # there and back
    frames, block = frames_of(3, 16, 16), displacement_step.block()
    for rows in (profiles.eager('step', Stream(block, frames), 2),
                 profiles.graph('step', block, frames, 1, 5)):
        assert sum(row['share %'] for row in rows) == pytest.approx(100)
        assert {profiles.PRODUCTS, profiles.SUMS, profiles.MOVES, profiles.ELEMENTWISE} <= {
            row['kind'] for row in rows}
    assert profiles.kind_of('_WindowProducts') == profiles.BETWEEN
    assert profiles.kind_of('aten::transpose') == profiles.BETWEEN
    assert profiles.kind_of('autograd::engine::evaluate_function: MmBackward0') == profiles.BETWEEN
    assert profiles.kind_of('Transpose') == profiles.MOVES


def test_every_table_of_the_pages_is_one_that_a_benchmark_makes():
    import report
    for name, what in (found for page in report.PAGES for found in blocks(page.read_text())):
        if name == 'all' or what in ('targets', 'machine'):
            continue
        sources = ''.join(path.read_text() for path in (
            BENCHMARKS / f'{name}.py', BENCHMARKS / 'curves.py'))
        assert f"'{what}" in sources, f'{name} makes no table {what!r}'


def test_the_pages_hold_the_results_that_are_stored():
    import report
    for path in report.PAGES:
        page = path.read_text()
        assert report.render(page, report.load(report.RESULTS)) == page
