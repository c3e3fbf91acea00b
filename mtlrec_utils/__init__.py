"""The code behind the course *One Model, Many Goals*.

Rooms: ``data`` (the simulated world, schemas, real data sets), ``models``,
``learning``, ``evidence`` and ``classroom``.  Importing the package imports
none of them.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mtlrec-utils")
except PackageNotFoundError:  # used from a checkout, not installed
    __version__ = "0+checkout"
