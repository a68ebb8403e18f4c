"""Pairs: ``NAME.png``, with ``NAME_defect.png`` beside it where the part has a defect.

Every image is a part of its own. A mask pixel is a defect above 127. Nobody publishes a split.
"""

from __future__ import annotations

from trainables.data.files.sources import DataFolders
from trainables.data.readers.base import Entry, Listing, NoOptions, Reader, images_in, options_of
from trainables.data.spec import DataSpec
from trainables.errors import InputError

MASK = "_defect"


def read_pairs(spec: DataSpec, folders: DataFolders) -> Listing:
    """List all images by name."""
    options_of(NoOptions, spec)
    root = folders.below_root(READER.name, spec.path)
    stems = {path.stem: path.name for path in images_in(root)}
    images = [stem for stem in stems if not stem.endswith(MASK)]
    if len(images) == len(stems):
        raise InputError(f"{root} holds no pairs: expected NAME.png with NAME{MASK}.png, found no mask.")
    entries = tuple(
        Entry(
            sample=stem,
            image=stems[stem],
            label=stem + MASK in stems,
            mask=stems.get(stem + MASK),
            defect_class="defect" if stem + MASK in stems else None,
            group=stem,
        )
        for stem in images
    )
    return Listing(root, entries, mask_above=127)


READER = Reader(
    name="pairs",
    title="Pairs of images and masks in one folder",
    licence="yours",
    citation="none",
    Options=NoOptions,
    read=read_pairs,
    recognised=True,
)
