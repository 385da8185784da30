"""Work of a Ray cluster: results in order, and done again where a worker or a node dies."""

from dataclasses import replace
import json
import os
from pathlib import Path
import signal
import sys
import threading
import time

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import ConfigError, WorkerError
from moss_perception.core.parallel import in_order, RAY
from moss_perception.evaluation.record_files import to_values
from moss_perception.evaluation.runs import merge_runs
import pool_work
from pool_work import die, die_once, refuse, say_node, slow_first
import pytest


@pytest.fixture(scope='module')
def cluster():
    """Start a cluster of two nodes on this machine, with two cores each by its own account."""
    pytest.importorskip('ray', reason='Ray is not installed: it runs the work of a cluster')
    import ray
    from ray.cluster_utils import Cluster
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        # The workers of all nodes import what the tests run.
        patch.setenv('PYTHONPATH', os.pathsep.join(
            [str(Path(pool_work.__file__).parent), os.environ.get('PYTHONPATH', '')]))
        # On a busy machine a node takes more than the usual half minute to start.
        patch.setenv('RAY_raylet_start_wait_time_s', '120')
        size = 100 * 2**20
        made = Cluster(initialize_head=True, head_node_args={
            'num_cpus': 2, 'object_store_memory': size, 'include_dashboard': False})
        made.size = size
        made.second = made.add_node(num_cpus=2, object_store_memory=size)
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()
    # Ray takes the signal for itself, and keeps it.
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize('workers', [1, 2, 8])
def test_results_come_in_the_order_of_the_items(cluster, workers):
    found = list(in_order(slow_first, range(6), workers, executor=RAY))
    assert [number for number, _ in found] == list(range(6))
    assert os.getpid() not in {process for _, process in found}


def test_what_a_dead_worker_was_at_is_done_again(cluster, tmp_path, caplog):
    items = [(str(tmp_path), number) for number in range(4)]
    assert list(in_order(die_once, items, 2, lambda item: f'item {item[1]}', RAY)) == [0, 1, 2, 3]
    assert 'a worker died; doing item 2 again' in caplog.text


def test_an_item_that_kills_every_worker_ends_it(cluster):
    with pytest.raises(WorkerError, match='died 3 times over 7'):
        list(in_order(die, [7], 1, executor=RAY))


def test_an_error_of_the_work_is_raised_as_it_is(cluster):
    with pytest.raises(ConfigError, match='^5 is not allowed: expected another$') as info:
        list(in_order(refuse, [5], 1, executor=RAY))
    assert type(info.value) is ConfigError


def test_without_items_no_cluster_is_started():
    pytest.importorskip('ray', reason='Ray is not installed: it runs the work of a cluster')
    assert list(in_order(die, [], 4, executor=RAY)) == []


@pytest.mark.timeout(120)
def test_records_are_equal_with_any_number_of_workers_of_a_cluster_or_of_this_machine(
        cluster, factory, tiny_checkpoint, tmp_path, capsys):
    bags = [str(factory.write_bag(tmp_path / name, factory.attempt_run(fill)))
            for name, fill in (('a', 3), ('b', 9))]

    def records(name, *options):
        assert moss(['evaluate', *bags, '--model', str(tiny_checkpoint), '--store',
                     str(tmp_path / name), *options]) == 0
        capsys.readouterr()
        evaluation, = merge_runs([tmp_path / name])
        return as_bytes(evaluation)
    expected = records('here')
    assert expected.count(b'"scored_ns": 17') == 2
    for workers in '128':
        assert records(workers, '--workers', workers, '--executor', 'ray') == expected


def as_bytes(evaluation):
    """Return the contents of an evaluation's file, apart from times of this machine."""
    bags = tuple(replace(bag, elapsed_s=0.0, decode_ms=bag.decode_ms[:0],
                         inference_ms=bag.inference_ms[:0]) for bag in evaluation.bags)
    return json.dumps(to_values(replace(evaluation, bags=bags)),
                      default=lambda x: x.tolist()).encode()


def test_what_a_dead_node_was_at_is_done_on_another(cluster, tmp_path, caplog):
    def killed():
        """Kill the second node as soon as it works on an item, then let the others go on."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if any(x.name.endswith(cluster.second.node_id) for x in tmp_path.iterdir()):
                cluster.remove_node(cluster.second, allow_graceful=False)
                break
            time.sleep(0.05)
        (tmp_path / 'go').touch()
    killer = threading.Thread(target=killed)
    killer.start()
    found = list(in_order(say_node, [(str(tmp_path), n) for n in range(6)], 8,
                          lambda item: f'item {item[1]}', RAY))
    killer.join()
    assert found == list(range(6))
    assert 'a worker died; doing item' in caplog.text


def test_a_missing_ray_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ConfigError, match=r"Ray, which is not installed: pip install 'moss_perc"):
        list(in_order(die, [1], 1, executor=RAY))


def test_an_unknown_executor_is_refused():
    with pytest.raises(ConfigError, match="executor='dask' is not allowed: expected one of proc"):
        list(in_order(die, [1], 1, executor='dask'))
