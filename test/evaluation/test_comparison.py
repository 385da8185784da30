"""How well features and distances separate OOD samples."""

from moss_perception.evaluation.comparison import compare_features, flagging
import numpy as np
import pytest


def correlated(count, seed, away=0.0):
    """Draw two correlated features; OOD samples break the correlation and nothing else."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=count)
    other = common if not away else generator.normal(size=count)
    return np.column_stack([common, other + generator.normal(0, 0.1, count)])


def test_what_only_breaks_a_correlation_is_found_by_mahalanobis_alone():
    sets = {'fitted': correlated(800, 0), 'held_out': correlated(400, 1),
            'in_distribution': correlated(400, 2), 'ood': correlated(400, 3, away=1.0)}
    rows = {row['distance']: row for row in compare_features(
        {name: {'both': values} for name, values in sets.items()})}
    assert rows['Mahalanobis']['auroc'] > 0.9 and rows['Mahalanobis']['found'] > 0.8
    assert rows['Mahalanobis']['false_alarms'] == pytest.approx(0.05, abs=0.03)
    assert rows['neighbours']['auroc'] > 0.9
    assert rows['independent']['auroc'] < 0.6


def test_the_best_comes_first():
    generator = np.random.default_rng(4)
    names = ('fitted', 'held_out', 'in_distribution', 'ood')
    sets = {name: {'blind': generator.normal(size=(200, 3)),
                   'sighted': generator.normal(size=(200, 3)) + 4 * (name == 'ood')}
            for name in names}
    rows = compare_features(sets)
    assert rows[0]['feature'] == 'sighted' and rows[-1]['feature'] == 'blind'
    assert [row['auroc'] for row in rows] == sorted((row['auroc'] for row in rows), reverse=True)


def test_flagging_by_hand():
    found = flagging(np.array([0.5, 1.0, 1.5, 3.0]), np.array([2.5, 4.0]), limit=2.0)
    assert found == {'auroc': 7 / 8, 'false_alarms': 0.25, 'found': 1.0, 'median': 1.625,
                     'largest': 1.5}
