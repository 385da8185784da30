"""Build of the ROS 2 package: modules, executables, and what lies in its share folder."""

from pathlib import Path
import sys

from setuptools import find_packages, setup

package_name = 'moss_perception'
share = Path('share') / package_name
# With pip, console scripts are in bin/ already.
for_pip = {'bdist_wheel', 'editable_wheel'} & set(sys.argv)


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
    package_data={package_name: ['py.typed'],
                  f'{package_name}.ros.monitor': ['page/*'],
                  f'{package_name}.evaluation.report': [
                      'templates/*.html.j2', 'report.css', 'report.js']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package_name}']),
        (str(share), ['package.xml']),
        *share_files('launch', 'config', 'foxglove', 'models', 'rviz', 'samples'),
        *([] if for_pip else [('bin', ['resource/bin/moss'])]),
    ],
    # For pip; colcon and rosdep read package.xml, and scripts/setup.sh pins its own versions.
    # The tests run with those; versions from these bounds on are expected to work.
    install_requires=[
        'argcomplete>=3',
        'lz4>=4',
        'mcap>=1.2',
        'numpy>=1.26',
        'onnxruntime>=1.23',
        'opencv-python-headless>=4.6',
        'pyyaml>=6',
        'rosbags>=0.11',
        'rosbags-image>=0.10',
        'safetensors>=0.8',
        'scipy>=1.15',
        'simplejpeg>=1.7',
        'tabulate>=0.8.9',
        # MOSS itself is torch: who installs the library wants to import it. A robot needs none,
        # and installs by colcon or by scripts/setup.sh, neither of which reads this list.
        'torch>=2.13',
        'tqdm>=4.66',
        'zstandard>=0.22',
    ],
    zip_safe=False,
    maintainer='moss_perception maintainers',
    maintainer_email='maintainers@moss-perception.invalid',
    description='Motion features and grasp scores from a camera stream, as ROS 2 nodes.',
    license='Apache-2.0',
    extras_require={
        'docs': ['mkdocs-material', 'mkdocstrings[python]'],
        'eval': ['scikit-learn>=1.7'],
        'foxglove': ['foxglove-sdk>=0.20'],
        'lerobot': ['av>=15', 'pyarrow>=21'],
        'monitor': ['rich>=13', 'starlette>=0.46', 'uvicorn>=0.35', 'websockets>=13'],
        'report': ['jinja2>=3.1', 'markupsafe>=2', 'matplotlib>=3.10', 'pillow>=10',
                   'scikit-learn>=1.7'],
        'sim': ['mujoco>=3.17'],
        'test': ['mujoco>=3.17', 'onnx>=1.23', 'onnxscript>=0.7', 'openpyxl>=3.1', 'pytest',
                 'pytest-timeout', 'ruff'],
        'train': ['onnx>=1.23', 'onnxscript>=0.7', 'scikit-learn>=1.7'],
        'trees': ['py-trees>=2.2'],
        'xlsx': ['openpyxl>=3.1'],
    },
    python_requires='>=3.10',
    entry_points={
        'console_scripts': [
            'attempt_recorder = moss_perception.ros.entry_points:attempt_recorder',
            'bag_player = moss_perception.ros.entry_points:bag_player',
            'grasp_gate = moss_perception.ros.entry_points:grasp_gate',
            'grasp_predictor = moss_perception.ros.entry_points:grasp_predictor',
            'moss = moss_perception.cli.entry_point:moss',
            'run_recorder = moss_perception.ros.entry_points:run_recorder',
            'sim_cell = moss_perception.ros.entry_points:sim_cell',
        ],
    },
)
