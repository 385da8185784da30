"""Codes of warnings: unique, stable, and in the text of every warning of a node."""

import ast
from pathlib import Path

from moss_perception.core.codes import coded, CODES
import pytest

ROS = Path(__file__).resolve().parents[2] / 'moss_perception' / 'ros'

# Codes of released versions: people and scripts search for them. Only add to this table.
RELEASED = {
    'no_frames': 1, 'not_received': 2, 'camera_stopped': 3, 'nothing_scored': 4,
    'several_sources': 5, 'same_name': 6, 'clocks_apart': 7, 'overloaded': 8,
    'repeated_samples': 9, 'out_of_distribution': 10, 'internal_error': 11,
    'transition_failed': 12, 'engine_busy': 13, 'message_unreadable': 14, 'camera_clock': 15,
    'candidates_old': 16,
    'zero_stamp': 20, 'encoding': 21, 'step': 22, 'size': 23, 'compressed': 24, 'not_finite': 25,
    'between_samples': 30, 'dropped': 31, 'stale': 32, 'paused': 33, 'gap': 40,
    'stamp_backwards': 41, 'frame_id': 42, 'resolution': 43, 'requested': 44, 'enabled': 45,
    'activated': 46, 'outside_image': 50, 'no_calibration': 51, 'behind_camera': 52,
    'frame_unknown': 53, 'not_a_number': 54, 'beyond_lens_model': 55, 'candidates_refused': 56,
    'dark': 60, 'constant': 61, 'depth': 62, 'alternating': 63, 'lead_times_refused': 70,
    'lead_times_clamped': 71, 'no_time_inputs': 72, 'scores_unreadable': 80, 'scores_old': 81,
    'none_scored': 82, 'attempt_refused': 90, 'attempt_lost': 91, 'not_recorded': 92,
    'silent_input': 93, 'short_run_up': 94, 'unfinished': 95, 'no_outcome': 96, 'frame': 100,
    'old': 101, 'between_scenes': 102, 'reach': 103, 'not_usable': 104, 'behind_real_time':
    105, 'starts_anyway': 106, 'unstable': 110, 'contact': 111, 'out_of_view': 112,
    'type_missing': 120, 'plays_anyway': 121, 'damaged_recording': 122, 'sent_again': 123,
    'not_acknowledged': 124, 'own_dds_profile': 125, 'unsealed_graphs': 130, 'cv_bridge': 131}


def test_codes_are_unique_and_keep_their_meaning():
    numbers = [code.number for code in CODES.values()]
    assert len(set(numbers)) == len(numbers) and min(numbers) > 0 and max(numbers) < 1000
    assert {key: code.number for key, code in CODES.items()} == RELEASED


def test_a_text_has_one_code_at_its_end():
    once = coded('overloaded', 'dropped 4 frames')
    assert once == 'dropped 4 frames [MOSS008]'
    assert coded('no_frames', once) == once
    assert coded('no_frames', '') == ''
    with pytest.raises(KeyError):
        coded('nothing', 'text')


def calls(path):
    """List the calls of a logger's warning in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'warning':
            yield node


def test_every_warning_of_a_node_has_a_code():
    # What shows a system passes on the texts of others.
    files = [path for path in ROS.rglob('*.py') if 'monitor' not in path.parts]
    found = [(path, call) for path in files for call in calls(path)]
    assert len(found) > 15
    for path, call in found:
        first = call.args[0]
        assert isinstance(first, ast.Call) and getattr(first.func, 'id', '') == 'coded', (
            f'{path.name}:{call.lineno}: a warning without a code: expected coded(KEY, TEXT)')
