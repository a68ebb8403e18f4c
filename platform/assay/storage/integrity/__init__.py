"""Every byte of a storage, held against what vouches for it: ``assay check``.

Records vouch for trials, ``done.json`` for stages, a name for the code of a method, checksums for plans and
points. One file each for what lies in a folder of the storage; :mod:`~assay.storage.integrity.check` goes
through all, and :mod:`~assay.storage.integrity.repair` sets aside what can be made again.
"""

from assay.storage.integrity.check import Findings, check_storage
from assay.storage.integrity.damage import Damage
from assay.storage.integrity.repair import set_aside

__all__ = ["Damage", "Findings", "check_storage", "set_aside"]
