"""First files of a user's own: a study for a folder of images, and a plug-in with a method.

Every setting of the study is a plain choice that the comment beside it explains. The plug-in is a copy of
``assay/templates/method/`` under another name. Both are meant to be edited.
"""

from __future__ import annotations

import json
import keyword
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from assay.study.names import counted
from assay.study.planning.resolution_limit import least_dilation
from trainables.data.inspect.survey import Survey
from trainables.data.spec import Supervision, Tiles
from trainables.data.splits import items_of_rows, make_split
from trainables.errors import InputError
from trainables.nn.weight_files import ROOT_VARIABLE
from trainables.plugins.catalogue import TRAINABLES
from trainables.segdec.presets import PRESETS as SEGDEC
from trainables.supervised.presets import PRESETS as SUPERVISED

__all__ = ["method_files", "starter_name", "starter_study"]

_TAKEN = {"assay", "numpy", "tests", "torch", "trainables", *sys.stdlib_module_names}  # it would hide them
_TEMPLATE = Path(__file__).with_name("templates") / "method"
_METHOD_NAME = re.compile(r"[a-z][a-z0-9_]{0,19}")

_SEEDS = (0, 1, 2)
_LONGEST = 512  # pixels of the longer side
_SHORTEST = 128  # of the longer side: the network's last layer needs two cells of 64 pixels
_SMALL_DEFECT = 0.005  # share of the image
_LINE_SCAN = 2048  # pixels of the longer side: above, defects would vanish at the network's size
_TILES = Tiles(height=512, width=512, overlap=64)
_FEWEST_ITEMS = 3  # of a kind: one each for training, validation and test
_FEWEST_TO_VARY = 16  # defective images to train on, of which a quarter is still more than a few masks
_LITE0 = "efficientnet-lite0-57934424.pth"  # docs/methods.md says where it is had
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_NUMBERS = ("", "one", "two", "three", "four", "five")
_IMAGES_SEEN = 4000  # by one training, about


class _Method(NamedTuple):
    """A method, and what a study asks of it."""

    name: str
    what: str
    settings: list[tuple[str, str]]  # with why
    metrics: str


# Published settings, and why.
_SMALL = ("ksdd2", "small defects: masks are dilated, so that they survive at an eighth of the size")
_LARGE = ("dagm", "defects of middling size")


def starter_name(text: str) -> str:
    """A name that a study may have, made from a file's or folder's."""
    name = re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_-")
    # YAML would read these as numbers, truth values or nothing.
    if not name[:1].isalpha() or name in ("true", "false", "null"):
        name = f"images_{name}".rstrip("_")
    return name[:64]


def method_files(name: str) -> dict[str, str]:
    """Text of each file of a plug-in with a method, by its path in the plug-in's folder.

    Raises:
        InputError: If no Python package and no method can have this name, or a method has it already.
    """
    if not _METHOD_NAME.fullmatch(name) or keyword.iskeyword(name) or name in _TAKEN:
        raise InputError(
            "a method of your own is named like a new Python package: a letter, then up to 19 of the signs "
            f"a-z 0-9 _; found {name!r}. Choose another name, such as my_method."
        )
    if name in TRAINABLES:
        raise InputError(
            f"a method of your own has a name that no other has, and there is a {name} already: with two of "
            "that name no study could use either. Choose another name, such as my_method."
        )
    words = name.split("_")
    new = {
        "my_method": name,
        "MyMethod": "".join(word.capitalize() for word in words),
        "My method": " ".join(words).strip().capitalize(),
    }
    files = [file for file in _TEMPLATE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    texts = {file.relative_to(_TEMPLATE).as_posix(): file.read_text(encoding="utf-8") for file in files}
    return {_renamed(path, new): _renamed(text, new) for path, text in texts.items()}


def _renamed(text: str, new: Mapping[str, str]) -> str:
    for old, replacement in new.items():
        text = text.replace(old, replacement)
    return text


def starter_study(survey: Survey, name: str, *, labels: bool = False) -> str:
    """The study file: a method on the surveyed images with the supervision that their masks allow.

    ``labels`` asks at once what to label next, which without it stands in comments.

    Raises:
        InputError: If that is to be asked of images that cannot tell, or they show too few items.
    """
    _refuse_few_items(survey)

    # The repeat with the fewest masks decides what is asked: a study that breaks at one of its seeds would be
    # a bad start.
    known = _fewest_masks(survey)
    supervision, why = _supervision(survey, known)
    tiled = supervision != "weak" and max(survey.size) > _LINE_SCAN  # tiles have labels by masks alone
    seen = (_TILES.height, _TILES.width) if tiled else survey.size  # at once, pixels as stored
    method = _segdec(survey, supervision, seen) if survey.normal else _masks_alone(survey, seen)
    what, block = ("", "") if tiled else _question(supervision, known, weak=survey.normal > 0)
    few_masks = survey.normal > 0 and not tiled and known < _FEWEST_TO_VARY
    if labels and "assay labels" not in what:
        raise InputError(
            "what to label next is told by whole images, normal ones among them, and a mask of every defect, "
            f"{_FEWEST_TO_VARY} or more to train on, found {known}. Leave --labels out."
        )
    question = f"{block}\n" if labels else _in_comments(what, block, few_masks=few_masks)
    share = "unknown"
    if survey.defect_share is not None:
        percent = 100 * survey.defect_share
        share = f"{percent:.0f} % of the image" if percent >= 10 else f"{percent:.2g} % of the image"
    masks = f"{survey.with_mask} of them with a mask (median defect: {share})"
    return f"""\
# {survey.normal or "No"} normal and {survey.defective} defective images, {masks}.
#
#   assay plan {name}.yaml --data FOLDER       what is going to be trained
#   assay run {name}.yaml --data FOLDER        FOLDER is the one that was looked at
#
# docs/study-file.md explains every key. Change a line and run again: only what is new is trained.

study: {name}
question: How well are the defects found?
trainable: {method.name:<26}# {method.what}

data:
{_data_block(survey)}{_tiles_line(_median_size(survey)) if tiled else ""}
{_parts(survey)}

supervision: {supervision}{" " * max(1, 24 - len(supervision))}# {why}

config:
{_commented(method.settings)}

{question}repeats: {{seeds: {list(_SEEDS)}}}  # each is a training of its own
metrics: {method.metrics}
resources: {{workers: 1, cpus: 1, pack: auto}}
keep: {{models: best_per_cell, probes: 12}}
"""


def _refuse_few_items(survey: Survey) -> None:
    """Refuse images that show fewer items than the split has parts: all images of an item lie in one part."""
    for what, label in (("normal", False), ("defective", True)):
        rows = [row for row in survey.manifest.rows if row.label is label]
        items = len(items_of_rows(rows))
        if rows and items < _FEWEST_ITEMS:
            raise InputError(
                f"a study needs {_FEWEST_ITEMS} {what} items or more, for training, validation and test; "
                f"{counted(len(rows), f'{what} image')} show {items}: images of one part, and those with "
                "the same bytes, are one item. Add some."
            )


def _tiles_line(median_size: str) -> str:
    return f"""
  # Defects would vanish if images of {median_size} pixels were brought to a network's size.
  tiles: {{height: {_TILES.height}, width: {_TILES.width}, overlap: {_TILES.overlap}}}"""


def _segdec(survey: Survey, supervision: str, seen: tuple[int, int]) -> _Method:
    """SegDecNet with the published settings that suit the defects."""
    # Large or small is what the network sees: in a tile a defect fills a larger share.
    of_seen = (survey.defect_share or 0) * survey.size[0] * survey.size[1] / (seen[0] * seen[1])
    small = survey.defect_share is not None and of_seen < _SMALL_DEFECT
    preset, reason = _SMALL if small else _LARGE
    pixels = "" if supervision == "weak" else ", pixel_iou"
    settings = [
        (f"preset: {preset}{'_weak' if supervision == 'weak' else ''}", f"published settings; {reason}"),
        *_image_settings(survey, seen),
        (
            f"dilation: {_dilation(survey, preset, seen)}",
            "masks are widened by a square of this side, original pixels",
        ),
        ("channel_scale: 0.25", "a quarter of the published width; leave out on a GPU"),
        (f"epochs: {_epochs(survey)}", "an epoch shows every defective image once"),
    ]
    if supervision == "weak":
        settings.append(("gradient_stop: false", "with it the trunk would learn from normal images alone"))
    parts = ", part_ap, part_fp, part_fn" if survey.spec.item else ""
    metrics = f"{{primary: image_ap, report: [image_auroc, fp, fn{pixels}{parts}]}}"
    return _Method("segdec", "SegDecNet with mixed supervision", settings, metrics)


def _masks_alone(survey: Survey, seen: tuple[int, int]) -> _Method:
    """A U-Net on masks: what can be learned where no image is normal."""
    steps = SUPERVISED["unet_small"]["min_steps"]
    settings = [
        ("preset: unet_small", "from random weights, in minutes on two cores"),
        *_image_settings(survey, seen),
        ("image_weight: 0", "no image is normal: there is nothing to tell defective images from"),
        (
            f"epochs: {_epochs(survey)}",
            f"an epoch shows every image once; {steps} steps at least (min_steps)",
        ),
    ]
    return _Method(
        "supervised",
        "a U-Net, which learns from masks alone",
        settings,
        "{primary: pixel_iou, report: [pixel_ap, pixel_pro]}  # no image metric: they rank normal images",
    )


def _image_settings(survey: Survey, seen: tuple[int, int]) -> list[tuple[str, str]]:
    height, width = _network_size(seen)
    what = f"the median image has {_median_size(survey)}" if seen == survey.size else "a tile"
    return [
        (f"image_size: [{height}, {width}]", f"height, width; {what}"),
        (f"channels: {3 if survey.colour else 1}", "3: colour, 1: grey"),
    ]


def _median_size(survey: Survey) -> str:
    return f"{survey.size[0]} × {survey.size[1]}"


def _parts(survey: Survey) -> str:
    """Lines that say who trains, validates and tests."""
    validation = "  validation: {share: 0.2, by: item} # of the rest; chooses thresholds"
    if survey.spec.splits == "per_seed":
        return f"""\
  splits: per_seed                   # every seed divides the images anew; an image is never in two parts
  test: {{share: 0.3, by: item}}       # reports
{validation}"""
    if any(row.split == "validation" for row in survey.manifest.rows):
        validation = f"{'':<37}# their validation images choose thresholds"
    splits = "  splits: published"
    return f"{splits:<37}# the parts that the data name; per_seed draws others\n{validation}"


def _network_size(size: tuple[int, int]) -> tuple[int, int]:
    """Multiples of 8 in about the same proportion, the longer side 128 to 512 pixels."""
    longer = max(size)
    scale = min(max(longer, _SHORTEST), _LONGEST) / longer
    height, width = (max(64, round(side * scale / 8) * 8) for side in size)
    return height, width


def _dilation(survey: Survey, preset: str, seen: tuple[int, int]) -> int:
    """The published square at the same size relative to the image, or what training masks need; odd."""
    settings = SEGDEC[preset]
    side = settings["dilation"] * max(seen) / max(settings["image_size"])
    published = min(99, max(1, round((side - 1) / 2) * 2 + 1))
    tiles = None if seen == survey.size else _TILES
    return least_dilation(
        survey.manifest, _masks_to_learn_from(survey, _SEEDS[0]), _network_size(seen), tiles, published
    )


def _epochs(survey: Survey) -> int:
    # Of the defective images 30 % test and a fifth of the rest validates (see `_parts`). An epoch shows each
    # of the others, with as many normal ones.
    trained = max(1, round(survey.defective * 0.7 * 0.8))
    return min(60, max(10, round(_IMAGES_SEEN / (2 * trained))))


def _fewest_masks(survey: Survey) -> int:
    """Masks that the training part has in every repeat."""
    return min(len(_masks_to_learn_from(survey, seed)) for seed in _SEEDS)


def _masks_to_learn_from(survey: Survey, seed: int) -> list[str]:
    """Images of a repeat's training part that have a mask."""
    any_masks = Supervision(kind="mixed", masks=0)  # asks for none, and for no normal image
    split = make_split(survey.manifest, survey.spec, any_masks, seed, None)
    return [sample for sample in split.train if survey.manifest.by_sample[sample].mask is not None]


def _supervision(survey: Survey, known: int) -> tuple[str, str]:
    """The supervision that the masks allow in every repeat, and why."""
    if survey.with_mask == survey.defective:
        return "full", "all masks"
    if not known:
        return "weak", "image labels only: there are no masks to train with"
    return f"{{mixed: {known}}}", f"the masks that every training part has; {survey.with_mask} in all"


def _question(supervision: str, known: int, *, weak: bool) -> tuple[str, str]:
    """A further question, and the lines that ask it; nothing where there are too few masks."""
    few = min(5, known // 2)
    if not few:
        return "", ""
    what, images, labelling, compared = "what masks buy", "", "", "{factor: masks, to: all}"

    # With enough masks the number of images can be varied as well, which is what tells what to label next.
    if weak and supervision == "full" and known >= _FEWEST_TO_VARY:
        few = min(5, known // 8)
        what = f"what to label next (`assay labels`, {9 * len(_SEEDS)} trainings)"
        images = f"""  images:                            # defective images to train on, of {known}
    quarter: {{says: a quarter of the images, data: {{positives: {known // 4}}}}}
    half: {{says: half of the images, data: {{positives: {known // 2}}}}}
    all: {{}}
"""
        labelling = "labelling: {image_label_seconds: 1, mask_seconds: 79}  # put your own stopwatch's here\n"
        compared = "{factor: masks, to: all}, {factor: images, to: all}"
    alone = "{balance: none, distance_weights: false, gradient_stop: false}"
    none = f"    none: {{supervision: weak, config: {alone}}}\n" if weak else ""
    block = f"""\
factors:
{images}  masks:
{none}    {_NUMBERS[few]}: {{supervision: {{mixed: {few}}}}}
    all: {{supervision: {supervision}}}
design: {{full: all}}
comparisons: [{compared}]
{labelling}"""
    return what, block


def _in_comments(what: str, block: str, *, few_masks: bool) -> str:
    """A question, ready to be asked; where masks are few, below another one, which is asked."""
    text = _two_methods() if few_masks else ""
    if block:
        way = "have instead of the above these lines" if few_masks else "take the signs off these lines"
        text += f"# To ask {what}, {way}:\n{textwrap.indent(block, '# ')}\n"
    return text


def _two_methods() -> str:
    """The comparison that few masks ask for; SuperSimpleNet reads published weights only where they lie."""
    if (Path(os.environ.get(ROOT_VARIABLE, "")) / _LITE0).is_file():
        trunk = "a published network"
        config = f"preset: lite_small, weights_file: {_LITE0},\n      weights_sha256: {_LITE0_SHA256}"
    else:
        trunk = "a network that learns your image labels (published weights: docs/methods.md)"
        config = "preset: own_small"
    return f"""\
# Few masks teach SegDecNet little. SuperSimpleNet learns from made-up defects too, on the maps of {trunk}.
# Which of the two is better depends on the surface, so both are trained. A verdict needs six seeds.
factors:
  method:
    segdec: {{says: SegDecNet}}
    supersimple: {{says: SuperSimpleNet, trainable: supersimple, config: {{{config}}}}}
design: {{full: all}}
comparisons: [{{factor: method, from: segdec, to: supersimple}}]

"""


def _data_block(survey: Survey) -> str:
    spec = survey.spec
    lines = [f"  reader: {spec.reader}"]
    if spec.path is not None:
        lines.append(f"  path: {json.dumps(spec.path, ensure_ascii=False)}")
    if spec.options:
        options = ", ".join(
            f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in spec.options.items()
        )
        lines.append(f"  options: {{{options}}}")
    if spec.white != "auto":
        lines.append(f"  {f'white: {spec.white:g}':<35}# the pixel value that is white")
    if spec.binary_photos:
        lines.append(f"  {'binary_photos: true':<35}# images that look like masks of others are photos")
    if spec.item is not None:
        lines.append(
            f"  item: {json.dumps(spec.item, ensure_ascii=False):<29}# {survey.items}, by their names. "
            "Leave out if each is a part of its own"
        )
    return "\n".join(lines)


def _commented(settings: list[tuple[str, str]]) -> str:
    return "\n".join(f"  {setting:<35}# {why}" for setting, why in settings)
