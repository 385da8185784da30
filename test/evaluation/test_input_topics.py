"""Each recording has topics of its own, by its domain or path, as text or in a YAML file."""

from calibrations import write_calibration
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.evaluation.input_topics import (
    check_names,
    named_topics,
    parse_topics,
    take_setup,
    topics_of_recording,
)
import pytest


def test_text_and_file_name_topics_by_domain_and_by_path(tmp_path):
    file, bag = tmp_path / 'topics.yaml', str(tmp_path / 'bag')
    file.write_text(f'real:\n  image: /arm/color\n  outcomes: mine.csv\n{bag}:\n  image: /other\n')
    named = named_topics([str(file), 'sim=image:=/camera/image,candidates:=/planner/grasps'])
    assert topics_of_recording(named, 'sim', 'x') == {
        'image': '/camera/image', 'candidates': '/planner/grasps'}
    assert topics_of_recording(named, 'real', 'x') == {
        'image': '/arm/color', 'outcomes': str(tmp_path / 'mine.csv')}
    # A path is more particular than a domain.
    assert topics_of_recording(named, 'real', bag)['image'] == '/other'
    assert topics_of_recording(named, '', 'x') == {}
    check_names(named, [('sim', 'x'), ('real', bag)])
    with pytest.raises(ConfigError, match="--topics names 'real': expected one of sim, x"):
        check_names({'real': {}}, [('sim', 'x')])


def test_a_recording_says_what_its_messages_do_not_say_about_the_camera(tmp_path):
    file = tmp_path / 'topics.yaml'
    file.write_text('real:\n  image: /arm/color\n  rectified: true\n'
                    '  candidates_frame: base_link\n'
                    '  candidates_transform: [0, 0, 1, 1, 0, 0, 0]\n')
    own = named_topics([str(file), 'sim=rectified:=false'])
    assert take_setup(own['real']) == {
        'rectified': 'true', 'candidates_frame': 'base_link',
        'candidates_transform': '0 0 1 1 0 0 0'}
    assert own['real'] == {'image': '/arm/color'} and take_setup(own['sim']) == {
        'rectified': 'false'}


def test_a_recording_names_a_file_with_its_calibration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'cell'
    folder.mkdir()
    path = write_calibration(folder / 'cal.yaml')
    (folder / 'topics.yaml').write_text('real:\n  image: /arm/color\n  calibration: cal.yaml\n')
    own = named_topics(['cell/topics.yaml', 'sim=calibration:=cell/cal.yaml'])
    assert take_setup(own['real']) == {'calibration': 'cell/cal.yaml'}
    assert take_setup(own['sim']) == {'calibration': 'cell/cal.yaml'}
    path.write_text('no calibration')
    for texts in (['cell/topics.yaml'], ['sim=calibration:=cell/cal.yaml']):
        with pytest.raises(BagError, match='calibration cell/cal.yaml lacks or garbles a value'):
            named_topics(texts)
    with pytest.raises(BagError, match="calibration none.yaml can't be read: No such file"):
        named_topics(['sim=calibration:=none.yaml'])


@pytest.mark.parametrize(('text', 'line'), [
    ('real=rectified:=perhaps', "real has rectified='perhaps' is not allowed: expected one of"),
    ('real=candidates_frame:=base', 'expected the pose of this frame'),
    ('real=candidates_transform:=0 0 1', 'is not allowed'),
    ('real', 'expected a YAML file, or NAME=KEY:=TOPIC'),
    ('image:=/x', 'expected a YAML file, or NAME=KEY:=TOPIC'),
    ('real=image', "--topics real has 'image': expected KEY:=TOPIC"),
    ('real=colour:=/x', "has the key 'colour': expected one of image, camera_info"),
    ('real=image:=/x,image:=/y', "names 'image' twice"),
    ('/no/such.yaml', "topics /no/such.yaml can't be read: No such file")])
def test_what_is_not_understood_is_named_with_what_was_expected(text, line):
    with pytest.raises(ConfigError, match=line.replace('(', r'\(')):
        named_topics([text])


@pytest.mark.parametrize(('text', 'line'), [
    ('', 'has NoneType: expected domains'), ('- a\n', 'has list: expected domains'),
    ('real: /x\n', "'real', has '/x': expected KEY: TOPIC"),
    ('real: {image: 3}\n', 'has image: 3, expected a topic'),
    ('real: {outcomes: }\n', 'has outcomes: None, expected a file'),
    ('{' * 5, "can't be read"), ('[' * 3000, "can't be read")])
def test_a_file_of_another_form_is_refused_in_one_line(tmp_path, text, line):
    (tmp_path / 'topics.yaml').write_text(text)
    with pytest.raises(ConfigError) as caught:
        named_topics([str(tmp_path / 'topics.yaml')])
    assert line in str(caught.value) and '\n' not in str(caught.value)


def test_a_topic_named_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="names 'image' of 'real' twice"):
        named_topics(['real=image:=/x', 'real=image:=/y'])
    assert parse_topics('', 'x') == {}
