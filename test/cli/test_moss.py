"""The command ``moss``: its table, its help, its errors and its completion."""

import resource
import subprocess
import sys

from moss_perception.cli import main as command
from moss_perception.cli.common import UsageError
from moss_perception.cli.main import build_parser, COMMANDS
from moss_perception.cli.main import main as moss
import pytest

# What takes long to import, or is not on every machine.
HEAVY = ('torch', 'cv2', 'rclpy', 'onnxruntime', 'mujoco', 'matplotlib', 'scipy', 'rosbags')


def run_code(programs, folder, code, **more):
    return subprocess.run([sys.executable, '-c', code], cwd=folder, timeout=60, text=True,
                          env=programs.environment(**more), capture_output=True)


def imported_by(programs, folder, words):
    """Return which of the heavy modules a command line imports."""
    done = run_code(programs, folder, f"""
import contextlib, io, sys
from moss_perception.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({words!r})
print(*(x for x in {HEAVY!r} if x in sys.modules))
""")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_help_imports_nothing_heavy(programs, tmp_path):
    assert imported_by(programs, tmp_path, ['--help']) == []


@pytest.mark.parametrize('name', COMMANDS)
def test_the_help_of_a_subcommand_imports_neither_torch_nor_opencv_nor_ros(
        programs, tmp_path, name):
    found = imported_by(programs, tmp_path, [name, '--help'])
    assert not {'torch', 'cv2', 'rclpy'} & set(found)


def test_the_help_takes_less_than_a_second(programs, tmp_path):
    def seconds():
        # What it computes: other processes on a busy machine do not add to it.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*programs.command('moss'), '--help'], cwd=tmp_path, timeout=60,
                       env=programs.environment(), check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert min(seconds() for _ in range(3)) < 1.0


@pytest.mark.parametrize('name', COMMANDS)
def test_each_subcommand_gives_an_example_and_its_exit_statuses(name, capsys):
    with pytest.raises(SystemExit, match='0'):
        moss([name, '--help'])
    shown = capsys.readouterr().out
    assert shown.startswith(f'usage: moss {name}')
    for example in COMMANDS[name].examples:
        assert example.startswith(f'moss {name}') and f'\n  {example}\n' in shown
    shown = ' '.join(shown.split())
    assert 'Exit status: 0 ' in shown and '130 interrupted' in shown


@pytest.mark.parametrize('name', COMMANDS)
def test_the_examples_are_command_lines_that_parse(name):
    import shlex
    for example in COMMANDS[name].examples:
        arguments = build_parser(name).parse_args(shlex.split(example)[1:])
        assert arguments.command == name and callable(arguments.handler)


def test_the_help_lists_every_subcommand_and_tells_of_completion(capsys):
    with pytest.raises(SystemExit, match='0'):
        moss(['--help'])
    shown = capsys.readouterr().out
    assert all(f'\n    {name} ' in shown for name in COMMANDS)
    assert 'moss --completion bash' in shown


@pytest.mark.parametrize(('words', 'message'), [
    ([], 'the following arguments are required: COMMAND'),
    (['evalute'], "invalid choice: 'evalute'"),
    (['evaluate'], 'moss evaluate: error: expected recordings, or --records'),
    (['clips', 'folder', '--out', 'bag'], 'moss clips: error: expected --outcomes FILE.csv'),
    (['demo', '--video', 'a.mp4', '--image-topic', '/a'], 'a video has no topics'),
    (['run', 'gras'], "invalid choice: 'gras'"),
    (['run', 'grasp', 'gate:=maybe'], "moss run grasp: error: argument 'gate' is 'maybe'"),
])
def test_wrong_arguments_are_status_2_and_named_under_the_usage(words, message, capsys):
    with pytest.raises(SystemExit) as info:
        moss(words)
    assert info.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith('usage: moss') and message in said


def test_a_terminal_that_lacks_a_character_is_no_error(programs):
    done = subprocess.run(
        [*programs.command('moss'), 'doctor', '/nowhere/Grüße\u2026.mcap'], capture_output=True,
        env=programs.environment(PYTHONIOENCODING='ascii', PYTHONUTF8='0'), timeout=120)
    assert done.returncode == 1 and b'Traceback' not in done.stderr + done.stdout


@pytest.mark.parametrize(('name', 'words'), [
    ('rclpy', 'moss topics needs the package rclpy, which is not installed: expected ROS 2'),
    ('mujoco', "expected the extra 'sim'"), ('rclpy.node', 'older than that of ROS 2 Jazzy')])
def test_a_missing_package_is_one_line_that_says_what_brings_it(monkeypatch, caplog, name, words):
    def run(arguments):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    monkeypatch.setattr('moss_perception.cli.run.print_image_topic', run)
    assert moss(['topics', 'bag']) == 1
    assert words in caplog.text and 'Traceback' not in caplog.text


def test_a_missing_module_that_nothing_brings_keeps_its_traceback(monkeypatch):
    def run(arguments):
        raise ModuleNotFoundError("No module named 'mossy'", name='mossy')
    monkeypatch.setattr('moss_perception.cli.run.print_image_topic', run)
    with pytest.raises(ModuleNotFoundError):
        moss(['topics', 'bag'])


def test_arguments_that_do_not_go_together_are_no_known_error(monkeypatch, capsys):
    def run(arguments):
        raise UsageError('this and that')
    monkeypatch.setattr('moss_perception.cli.run.print_image_topic', run)
    with pytest.raises(SystemExit, match='2'):
        moss(['topics', 'bag'])
    assert 'moss topics: error: this and that' in capsys.readouterr().err


@pytest.mark.parametrize(('line', 'expected'), [
    ('moss ev', ['evaluate ']),
    ('moss run grasp gat', ['gate:=false', 'gate:=true']),
    ('moss evaluate --requ', ['--require ']),
    ('moss run grasp sim:=t', ['true ']),
])
def test_a_shell_completes_a_command_line(programs, tmp_path, line, expected):
    pytest.importorskip('argcomplete')
    answer = tmp_path / 'answer'
    done = run_code(
        programs, tmp_path, programs.start('moss'), _ARGCOMPLETE='1', COMP_LINE=line,
        COMP_POINT=str(len(line)), _ARGCOMPLETE_IFS='|', _ARGCOMPLETE_COMP_WORDBREAKS=' =:',
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer))
    assert done.returncode == 0, done.stderr
    assert [x for x in sorted(answer.read_text().split('|')) if x] == expected


def test_the_completion_that_is_printed_asks_the_command_itself(programs, tmp_path):
    pytest.importorskip('argcomplete')
    (tmp_path / 'moss').write_text(f'#!{sys.executable}\n{programs.start("moss")}\n')
    (tmp_path / 'moss').chmod(0o755)
    script = """
PATH=$PWD:$PATH
eval "$(moss --completion bash)"
COMP_LINE='moss ev' COMP_POINT=7 COMP_TYPE=9 COMP_WORDS=(moss ev) COMP_CWORD=1
$(complete -p moss | sed -E 's/.* -F ([^ ]+) .*/\\1/') moss
echo "${COMPREPLY[@]}"
"""
    done = subprocess.run(['bash', '-c', script], cwd=tmp_path, env=programs.environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ['evaluate'], done.stderr


def test_a_source_tree_runs_as_a_module(programs, tmp_path):
    done = subprocess.run([sys.executable, '-m', 'moss_perception', '--version'], cwd=tmp_path,
                          env=programs.environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout == f'moss_perception {command.__version__}\n'


def test_the_modules_of_the_table_are_no_other_way_to_run_a_command():
    from importlib import import_module
    for name, one in COMMANDS.items():
        module = import_module(f'moss_perception.cli.{one.module}')
        assert callable(getattr(module, f'add_{name.replace("-", "_")}'))
        assert not hasattr(module, 'main'), f'{name}: expected one way to run it'
