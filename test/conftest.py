"""Fixtures for every test: a ROS domain of its own, and tiny recordings."""

import fcntl
import hashlib
from importlib.metadata import version
import importlib.util
import os
from pathlib import Path
import shutil
import signal
import sys

from moss_perception.runtime.engine import ENGINES, load_engine
from moss_perception.runtime.predictor import Predictor
import pytest

_HERE = Path(__file__).resolve().parent
# What tests share lies beside this file; the study, which is not installed, above it.
sys.path.insert(0, str(_HERE))
sys.path.append(str(_HERE.parent))


def _load(name: str):
    # Tests run without sys.path entries of their own (importmode=importlib).
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def pytest_report_header() -> str:
    return _load('programs').report()


def pytest_configure(config: pytest.Config) -> None:
    _load('failures').pytest_configure(config)
    # A shell starts what runs in its background with interrupts ignored, which is inherited.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='session')
def programs():
    """Return the module programs: how the executables under test are started."""
    return _load('programs')


@pytest.fixture(scope='session', autouse=True)
def ros_domain() -> int:
    """
    Keep the tests' nodes, and those of the processes they start, to themselves.

    Each of several processes that share the tests (pytest-xdist) has a domain of its own.
    """
    base = int(os.environ.get('ROS_DOMAIN_ID', os.getpid() % 100 + 1))
    worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))
    os.environ['ROS_DOMAIN_ID'] = str((base + worker) % 102)
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    return int(os.environ['ROS_DOMAIN_ID'])


@pytest.fixture(scope='module', autouse=True)
def nothing_left(ros_domain):
    """
    Let no node of a module stay in the domain.

    With discovery on this machine only, Fast DDS looks for 32 participants: what starts beside
    them is found by nobody, and says nothing.
    """
    leftovers = _load('leftovers')
    leftovers.mark()
    before = leftovers.collected()
    yield
    assert leftovers.collected() <= before, 'nodes of this process were not destroyed'
    left = leftovers.nodes()
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert not left


@pytest.fixture(scope='session')
def factory():
    """Return the module bag_factory: entries and whole recordings."""
    return _load('bag_factory')


@pytest.fixture(scope='session')
def clip_factory():
    """Return the module clip_factory: tiny video clips."""
    return _load('clip_factory')


@pytest.fixture
def make_bag(factory, tmp_path):
    """Return a function that writes a recording into the test's folder, by name."""
    def make(entries, name='bag', **options) -> Path:
        return factory.write_bag(tmp_path / name, entries, **options)
    return make


@pytest.fixture(scope='session')
def tiny_checkpoint(request, tmp_path_factory) -> Path:
    """
    Write a small checkpoint, all of it random, and its graphs: 16 samples of 10 Hz.

    Exporting takes a quarter of a minute, so what the sources gave the last time is kept.
    """
    kept = request.config.cache.mkdir(f'tiny_{_digest_of_sources()}')
    path = tmp_path_factory.mktemp('models') / 'tiny.safetensors'
    # Of several processes, one exports.
    with (kept / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _export_or_copy(kept, path)
    return path


def _export_or_copy(kept: Path, path: Path) -> None:
    if not (kept / 'SHA256SUMS').is_file():
        from moss_perception.models.checkpoint import save_checkpoint
        from moss_perception.models.export import export_graphs
        save_checkpoint(path, _load('tiny').tiny_network(), {'seeds': [0, 99]})
        export_graphs(path)
        # The manifest comes last: it says that the others are there.
        for made in sorted(path.parent.iterdir(), key=lambda made: made.name == 'SHA256SUMS'):
            shutil.copy(made, kept)
    else:
        for made in kept.iterdir():
            if made.name != 'lock':
                shutil.copy(made, path.parent)


@pytest.fixture(scope='session')
def no_torch(tmp_path_factory) -> Path:
    """Return a folder that, first on PYTHONPATH, makes a process one without torch."""
    folder = tmp_path_factory.mktemp('no_torch')
    (folder / 'torch.py').write_text("raise ModuleNotFoundError('it is hidden', name='torch')\n")
    return folder


def _digest_of_sources() -> str:
    """Tell apart what the tiny checkpoint and its graphs are made from."""
    package = Path(importlib.util.find_spec('moss_perception').origin).parent
    sources = [Path(__file__), Path(__file__).parent / 'tiny.py',
               *sorted((package / 'moss').glob('*.py')),
               *sorted((package / 'models').rglob('*.py'))]
    versions = [version(name) for name in ('torch', 'onnxscript', 'safetensors')]
    digest = hashlib.sha256(''.join(versions).encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope='session', params=ENGINES)
def engine(request, tiny_checkpoint):
    """Return an engine that runs the tiny checkpoint: each test runs with all of them."""
    return load_engine(str(tiny_checkpoint), engine=request.param, threads=1)


@pytest.fixture
def predictor(engine):
    """Return a predictor of the tiny checkpoint."""
    return Predictor(engine)
