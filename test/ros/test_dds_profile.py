"""The profile for lock step, for both major versions of Fast DDS."""

import os
from xml.etree import ElementTree

from moss_perception.ros.common.dds_profile import quick_acknowledgement, user_profile
import pytest

FAST_DDS_2, FAST_DDS_3 = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'


@pytest.fixture(autouse=True)
def no_profile(monkeypatch):
    for name in (FAST_DDS_2, FAST_DDS_3):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def prefix(monkeypatch, tmp_path):
    """Give the only folder in which libraries of ROS are looked for."""
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{tmp_path}')
    monkeypatch.setattr('sys.prefix', '/nowhere')
    (tmp_path / 'lib').mkdir()
    return tmp_path


@pytest.mark.parametrize(('library', 'name', 'other'), [
    ('libfastrtps.so', FAST_DDS_2, FAST_DDS_3), ('libfastdds.so', FAST_DDS_3, FAST_DDS_2)])
def test_only_the_variable_of_the_installed_version_is_set(prefix, library, name, other):
    """Fast DDS 3, as in Kilted, also reads the other one, and complains."""
    (prefix / 'lib' / library).touch()
    with quick_acknowledgement():
        assert name in os.environ and other not in os.environ
    assert name not in os.environ


def test_each_version_finds_a_profile_with_its_own_tag(prefix):
    with quick_acknowledgement():
        for name, tag in ((FAST_DDS_2, 'heartbeatPeriod'), (FAST_DDS_3, 'heartbeat_period')):
            period, = ElementTree.parse(os.environ[name]).findall('.//{*}times/*')
            assert period.tag.rpartition('}')[2] == tag
            assert [x.text for x in period] == ['0', '4000000']
    assert not {FAST_DDS_2, FAST_DDS_3} & set(os.environ)


@pytest.mark.parametrize('name', [FAST_DDS_2, FAST_DDS_3])
def test_a_profile_of_the_user_is_kept(monkeypatch, name):
    monkeypatch.setenv(name, '/own.xml')
    assert user_profile() == name
    with quick_acknowledgement():
        assert {x: os.environ.get(x) for x in (FAST_DDS_2, FAST_DDS_3)} == {
            FAST_DDS_2: None, FAST_DDS_3: None} | {name: '/own.xml'}
    assert os.environ[name] == '/own.xml'
