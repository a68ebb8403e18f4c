"""Parts of methods as they are commonly written: assay's own are measured beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import MethodType
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.cam.network import Classifier
from trainables.nn.cam.activation import layer_cam, score_gradients
from trainables.nn.cam.guided import GuidedReLU
from trainables.nn.choices import Crf
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.layers.channels_last import GroupNorm, PointwiseConv
from trainables.nn.layers.unet import UNet, UNetOutput
from trainables.unsupervised.anogan import FAnoGan
from trainables.unsupervised.patches import PatchGrid
from trainables.unsupervised.patchnet import PatchNet

__all__ = [
    "convolved",
    "enlarge_first",
    "hooked_maps",
    "layer_maps",
    "looped_maps",
    "naive_mean_field",
    "one_by_one",
    "patchwise",
    "use_torch_layers",
]

Q = 0.5  # of the gradient filter
_CHUNK = 256  # patches that the naive extraction runs together


def convolved(x_BCHW: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing by two convolutions of every channel with a line of weights."""
    channels, radius = x_BCHW.shape[1], round(3 * sigma)
    places = torch.arange(-radius, radius + 1, dtype=x_BCHW.dtype)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    wide = F.pad(x_BCHW, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)


def naive_mean_field(prob_BHW: Tensor, images_BCHW: Tensor, crf: Crf) -> Tensor:
    """The textbook CRF: every step unfolds the window of every pixel, the kernel is held for all offsets."""
    count, channels, height, width = images_BCHW.shape
    side, reach = 2 * crf.radius + 1, crf.radius * crf.dilation

    def windows(x_BCHW: Tensor) -> Tensor:
        unfolded = F.unfold(x_BCHW, side, dilation=crf.dilation, padding=reach)
        return unfolded.reshape(count, x_BCHW.shape[1], side * side, height, width)

    steps = crf.dilation * torch.arange(-crf.radius, crf.radius + 1.0)
    square = (steps[:, None] ** 2 + steps**2).reshape(1, -1, 1, 1)
    exists = windows(torch.ones(count, 1, height, width))[:, 0] * (square > 0)
    near = torch.exp(-square / (2 * crf.s_xy**2)) * exists
    unlike = (windows(images_BCHW) - images_BCHW[:, :, None]).square().sum(1) * (3 / channels)
    alike = torch.exp(-square / (2 * crf.s_far**2) - unlike / (2 * crf.s_rgb**2)) * exists
    pair = torch.zeros_like(near)
    for weight, kernel in ((crf.w_xy, near), (crf.w_rgb, alike)):
        norm = kernel.sum(1, keepdim=True).rsqrt()
        pair = pair + weight * norm * kernel * windows(norm)[:, 0]
    unary = torch.logit(prob_BHW, eps=1e-6)
    q = torch.sigmoid(unary)
    for _ in range(crf.steps):
        q = torch.sigmoid(unary + (pair * windows((2 * q - 1)[:, None])[:, 0]).sum(1))
    return q


def layer_maps(net: Classifier, images: Tensor) -> Tensor:
    """LayerCAM at the first stage."""
    output = net(images)
    activations = output.stages[1]
    (gradients,) = score_gradients(output.score_B, [activations])
    return layer_cam(activations.detach(), gradients)


def _sorted_filter(_site: Any, passed: Any, _gradients: Any) -> tuple[Tensor]:
    """A backward hook: guide, then drop what lies below the quantile of what is not 0."""
    kept = passed[0].clamp(min=0)
    for image in kept:
        ranked = image[image > 0].sort().values
        if len(ranked):
            image[image < ranked[int(Q * (len(ranked) - 1))]] = 0
    return (kept,)


def hooked_maps(net: Classifier, images: Tensor) -> Tensor:
    """Guided backpropagation as it is commonly written: a hook on every ReLU sorts the gradient."""
    with ExitStack() as hooks:
        for site in net.modules():
            if isinstance(site, GuidedReLU):
                hooks.callback(site.register_full_backward_hook(_sorted_filter).remove)
        return layer_maps(net, images)


def looped_maps(net: Classifier, images: Tensor) -> Tensor:
    """The same, image by image."""
    return torch.cat([hooked_maps(net, image[None]) for image in images])


def use_torch_layers(net: SegmentationNet) -> None:
    """Give a U-Net torch's backward passes where it has its own."""
    for layer in net.modules():
        if isinstance(layer, GroupNorm):
            layer.forward = MethodType(nn.GroupNorm.forward, layer)
        elif isinstance(layer, PointwiseConv):
            layer.forward = MethodType(nn.Conv2d.forward, layer)


def enlarge_first(net: SegmentationNet) -> None:
    """Let a U-Net enlarge each map before it convolves it 3 × 3 to fewer channels."""

    def forward(unet: UNet, images_BCHW: Tensor) -> UNetOutput:
        *finer, coarse = cast("Callable[[Tensor], list[Tensor]]", unet.encoder.features)(images_BCHW)
        x_BChw = coarse
        for skip, narrow, decode in zip(reversed(finer), unet.narrow, unet.decoder, strict=True):
            large_BCHW = F.interpolate(x_BChw, size=skip.shape[2:], mode="bilinear")
            x_BChw = decode(torch.cat((skip, narrow(large_BCHW)), dim=1))
        return UNetOutput(unet.head(x_BChw), coarse)

    convs = [conv for conv in net.unet.narrow if isinstance(conv, nn.Conv2d)]
    wide = [nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1) for conv in convs]
    net.unet.narrow = nn.ModuleList(wide)
    net.unet.forward = MethodType(forward, net.unet)


def patchwise(net: PatchNet, images_BCHW: Tensor) -> Tensor:
    """Descriptors at every pixel of one image, of patches that are cut out, 256 at a time."""
    before, after = (net.field - 1) // 2, net.field // 2
    padded = F.pad(images_BCHW, (before, after, before, after), mode="reflect")
    windows = padded.unfold(2, net.field, 1).unfold(3, net.field, 1)
    height, width = windows.shape[2:4]
    descriptors: list[Tensor] = []
    for start in range(0, height * width, _CHUNK):
        places = [divmod(i, width) for i in range(start, min(start + _CHUNK, height * width))]
        descriptors.append(net(torch.stack([windows[0, :, i, j] for i, j in places])))
    return torch.cat(descriptors).T.reshape(1, -1, height, width)


def one_by_one(nets: FAnoGan, images_BCHW: Tensor) -> Tensor:
    """f-AnoGAN's map of one image, each patch by itself."""
    config = nets.config
    grid = PatchGrid(config.image_size, config.patch_size, config.patch_stride, config.patch_placing)
    windows = grid.windows(2 * images_BCHW - 1)
    scores = torch.empty(1, grid.rows, grid.columns)
    for i in range(grid.rows):
        for j in range(grid.columns):
            seen = nets.distances(windows[:, :, i, j])
            scores[0, i, j] = (seen.image_N + config.kappa * seen.feature_N)[0]
    return grid.spread(scores)
