"""Import matplotlib's Figure without an irrelevant warning."""

import warnings

with warnings.catch_warnings():
    # If both are installed, pip's matplotlib finds apt's mpl_toolkits. We do not need 3D plots.
    warnings.filterwarnings('ignore', 'Unable to import Axes3D')
    from matplotlib.figure import Figure

__all__ = ['Figure']
