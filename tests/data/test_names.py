"""Masks are told from the images that they lie among."""

from __future__ import annotations

from pathlib import PurePosixPath
from unittest.mock import patch

import pytest

from trainables.data.files import names
from trainables.data.files.names import Naming, composed, split_beside


@pytest.mark.parametrize("naming", [None, Naming(suffix="_mask")])
def test_many_images_in_one_folder_are_looked_at_once_each(naming: Naming | None) -> None:
    paths = [PurePosixPath(f"i{number}{end}.png") for number in range(300) for end in ("", "_mask")]
    with patch.object(names, "composed", wraps=composed) as looked_at:
        images, masks = split_beside(paths, naming)
    assert (len(images), len(masks)) == (300, 300)
    assert looked_at.call_count <= 4 * len(paths)


@pytest.mark.parametrize(
    ("naming", "usual"),
    [
        (Naming(suffix="_ann"), True),
        (Naming(prefix="ann_"), True),
        (Naming(suffix="mask"), True),
        (Naming(suffix="ann"), False),  # `Hofm` and `Hofmann`
        (Naming(prefix="anno"), False),
    ],
)
def test_a_short_word_for_masks_stands_apart_in_a_name(naming: Naming, usual: bool) -> None:
    assert naming.is_usual is usual
