"""Where matplotlib's figures come from, without a warning that concerns nothing here."""

import warnings

with warnings.catch_warnings():
    # pip's matplotlib finds apt's mpl_toolkits where both are installed; nothing here needs 3D.
    warnings.filterwarnings('ignore', 'Unable to import Axes3D')
    from matplotlib.figure import Figure

__all__ = ['Figure']
