"""Build of the ROS 2 package: modules, executables, and what lies in its share folder."""

from pathlib import Path

from setuptools import find_packages, setup

package_name = 'moss_perception'
share = Path('share') / package_name


def share_files(*folders):
    """
    List data files of whole folders, each where it stands in the source tree.

    :returns: list of (folder of the installation, files) as ``data_files`` wants them.
    """
    found = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob('*')):
            if path.is_file() and not path.name.startswith('.') and path.suffix != '.pyc':
                found.setdefault(str(share / path.parent), []).append(str(path))
    return list(found.items())


setup(
    name=package_name,
    version='0.1.0',
    packages=find_packages(include=[package_name, f'{package_name}.*']),
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package_name}']),
        (str(share), ['package.xml']),
        *share_files('launch', 'config', 'models', 'samples'),
    ],
    install_requires=['setuptools'],
    zip_safe=False,
    maintainer='moss_perception maintainers',
    maintainer_email='maintainers@moss-perception.invalid',
    description='Motion features and grasp scores from a camera stream, as ROS 2 nodes.',
    license='Apache-2.0',
    extras_require={'test': ['pytest', 'pytest-timeout']},
    entry_points={
        'console_scripts': [
            'adapt = moss_perception.cli.adapt:main',
            'autostart = moss_perception.ros.entry_points:autostart',
            'bag_evaluator = moss_perception.ros.entry_points:bag_evaluator',
            'bag_player = moss_perception.ros.entry_points:bag_player',
            'bag_topics = moss_perception.cli.bag_topics:main',
            'clips_to_bag = moss_perception.cli.clips:main',
            'demo = moss_perception.cli.demo:main',
            'evaluate = moss_perception.cli.evaluate:main',
            'export = moss_perception.cli.export:main',
            'grasp_gate = moss_perception.ros.entry_points:grasp_gate',
            'grasp_predictor = moss_perception.ros.entry_points:grasp_predictor',
            'novelty = moss_perception.cli.novelty:main',
            'record = moss_perception.cli.record:main',
            'run_eval = moss_perception.cli.run_eval:main',
            'run_grasp = moss_perception.cli.run:main',
            'sim_cell = moss_perception.ros.entry_points:sim_cell',
            'train = moss_perception.cli.train:main',
        ],
    },
)
