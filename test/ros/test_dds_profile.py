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


def test_each_version_finds_a_profile_with_its_own_tag():
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
