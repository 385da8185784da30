"""config/grasp.yaml lists every parameter of the nodes, and values that they take."""

from dataclasses import fields
from pathlib import Path

from moss_perception.core.resources import share_directory
from moss_perception.models.grasp_config import order_names
from moss_perception.ros.cell.node import CellSettings
from moss_perception.ros.common.parameters import check, spec_of
from moss_perception.ros.gate import GateSettings
from moss_perception.ros.predictor.parameters import PredictorParameters
from moss_perception.ros.recorder.settings import RecorderSettings
from moss_perception.runtime.budget import parse_level
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def sections():
    path = share_directory() / 'config' / 'grasp.yaml'
    return {name: section['ros__parameters']
            for name, section in yaml.safe_load(path.read_text()).items()}


def test_the_predictors_parameters_are_listed(sections):
    listed = sections['/**/grasp_predictor']
    known = {field.name: field for field in fields(PredictorParameters)}
    assert set(listed) == set(known)
    for name, value in listed.items():
        assert type(value) is type(known[name].default), name
        check(name, known[name].default, spec_of(known[name]), value)


def test_the_predictors_defaults_are_the_same_in_file_and_node(sections):
    listed = sections['/**/grasp_predictor']
    assert listed == {field.name: field.default for field in fields(PredictorParameters)}


def test_the_cells_parameters_are_listed_with_their_defaults(sections):
    defaults = {field.name: field.default for field in fields(CellSettings)}
    # ROS cannot tell the type of an empty list.
    assert sections['/**/sim_cell'] == defaults | {'wait_for_nodes': ['']}


def test_the_gates_parameters_are_listed_with_their_defaults(sections):
    defaults = {field.name: field.default for field in fields(GateSettings)}
    assert sections['/**/grasp_gate'] == defaults


def test_the_recorders_parameters_are_listed_with_their_defaults(sections):
    listed = sections['/**/attempt_recorder']
    known = {field.name: field for field in fields(RecorderSettings)}
    assert listed == {name: field.default for name, field in known.items()} | {
        'topics': ['/tf', '/tf_static']}


def test_the_budget_is_written_as_the_predictor_reads_it(sections):
    names = order_names(3)
    written = sections['/**/grasp_predictor']['budget']
    assert parse_level('budget', written, names) is None
    assert parse_level('budget', '1,2,3', names) == 3
