"""``moss doctor``: check an installation, a running system or a recording."""
