"""The command ``moss`` and the launch arguments, from their parsers and descriptions."""

import argparse
import os

from moss_perception.cli.common import STATUSES
from moss_perception.cli.main import build_parser, COMMANDS
from moss_perception.ros.system.evaluation import EVALUATION_ARGUMENTS
from moss_perception.ros.system.grasp import GRASP_ARGUMENTS
from moss_perception.ros.system.record import RECORD_ARGUMENTS
from tables import code, sentence, table

# What argparse shows as one text of names and values; the page has a table of them.
_WORDS = 'words'


def markdown():
    """Write the exit statuses, and a section for each subcommand."""
    os.environ['COLUMNS'] = '88'
    parts = ['## Exit statuses', table(['status', 'meaning', 'where'], _statuses())]
    for name, command in COMMANDS.items():
        parser = _children(build_parser(name))[name]
        parts += [f'## moss {name}', sentence(parser.description),
                  _fenced('\n'.join(command.examples)), *_describe(parser)]
    return '\n\n'.join(parts)


def _statuses():
    """Return a row for each status of all subcommands, and for each that has another meaning."""
    rows = [(status, meaning, 'every subcommand') for status, meaning in STATUSES.items()]
    rows += [(status, meaning, code(f'moss {name}')) for name, command in COMMANDS.items()
             for status, meaning in command.statuses.items()]
    return [[str(status), sentence(meaning), where]
            for status, meaning, where in sorted(rows, key=lambda row: row[0])]


def launch_markdown():
    """Write the arguments of all systems."""
    parts = []
    for title, arguments in (
            ('grasp.launch.py and moss run grasp', GRASP_ARGUMENTS),
            ('record_attempts.launch.py and moss run record', RECORD_ARGUMENTS),
            ('sim_to_real_eval.launch.py and moss run eval', EVALUATION_ARGUMENTS)):
        parts += [f'## {title}', table(['argument', 'default', 'values', 'meaning'], [
            [code(one.name), code(one.default),
             ', '.join(map(code, one.choices)) or 'any', sentence(one.description)]
            for one in arguments])]
    return '\n\n'.join(parts)


def _children(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


def _describe(parser):
    children = _children(parser)
    if children:
        return [text for child in children.values()
                for text in (f'### {child.prog}', *_describe(child))]
    usage = _fenced(parser.format_usage().removeprefix('usage: ').strip())
    formatter = parser.formatter_class(parser.prog)
    rows = [_row(action, formatter) for action in parser._actions
            if action.help != argparse.SUPPRESS and action.dest not in ('help', _WORDS)]
    return [usage, table(['argument', 'meaning'], rows)] if rows else [usage]


def _row(action, formatter):
    names = ', '.join(action.option_strings)
    value = '' if action.nargs == 0 else formatter._format_args(
        action, action.metavar or action.dest.upper())
    if action.choices and not action.metavar:
        value = '{' + ','.join(map(str, action.choices)) + '}'
    meaning = sentence(formatter._expand_help(action)) if action.help else ''
    return [code(f'{names} {value}'.strip()), meaning]


def _fenced(text):
    return f'```\n{text}\n```'
