"""Every byte of a storage, held against what vouches for it: ``assay check``.

Records vouch for trials, ``done.json`` for stages, a name for the code of a method, checksums for plans and
points. One file each for what lies in a folder of the storage; :mod:`~assay.storage.integrity.check` goes
through all, and :func:`set_aside` moves what can be made again.
"""

from assay.storage.integrity.check import Findings, check_storage
from assay.storage.integrity.damage import Damage, set_aside

__all__ = ["Damage", "Findings", "check_storage", "set_aside"]
