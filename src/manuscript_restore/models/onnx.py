"""Networks as ONNX graphs, for engines that need no PyTorch: two files, checked against the network itself.

The graph of the network takes ``tiles`` (B, 3, h, w) float32 in [0, 1], h and w multiples of ``multiple`` (in the
file's metadata), and gives ``restored`` (B, 3, h, w). With maps it takes ``looked`` (B, 1) too and gives
(B, 5, h, w): colours, damage, ink. A second graph gives ``looked`` of ``tiles`` with sides of at least
``min_side``: it is asked of a few tiles of a page only, and a graph always computes all its outputs.
"""

import warnings
from typing import Any
from unittest import mock

import numpy as np
import torch
from timm.layers import pos_embed_sincos
from torch import Tensor, nn

from manuscript_restore.errors import UserError
from manuscript_restore.models.network import RestorationNetwork
from manuscript_restore.models.soundness import MIN_SIDE

TOLERANCE = 1 / 255
"""Largest difference from the network; usually it is some 1e-5."""
OPSET = 23
"""The first with attention as one operation."""
SIDES = (48, 4096)
"""Of tiles, pixels, within which the exporter proves that the graph fits all. (Engines take others as well.)"""
LEAST = 1024
"""Numbers that a tensor of weights has at least for being stored in 16 bits."""


def to_onnx(
    network: RestorationNetwork, *, weights_sha256: str, single: bool = False
) -> tuple[bytes, bytes | None]:
    """The graphs of a network and of its look (None: of a network without maps), as the contents of files.

    Weights that float16 holds to the bit, as those of a released model, are stored so and cast when loaded.

    Args:
        network: On the CPU, in eval mode.
        weights_sha256: Of the file of its weights; goes into the metadata, so that other weights are noticed.
        single: One graph, ``tiles`` to the three colours alone, each tile judged for itself: for programs that
            know nothing but a picture in and a picture out.

    Raises:
        UserError: It cannot be exported, or an engine computes something else; or a package is missing.
    """
    try:
        import onnxscript  # noqa: F401  # what torch.onnx exports with
    except ImportError as error:
        raise UserError("writing ONNX files needs more: pip install 'manuscript-restore[export]'") from error
    kind, without = f"the network {type(network).__name__}", "export it without (--no-onnx)"
    multiple = network.multiple
    metadata = {"multiple": str(multiple), "min_side": str(MIN_SIDE), "weights_sha256": weights_sha256}
    # Neither side means anything, nor equals the other: what holds for them by chance would be taken for a rule.
    trial = torch.rand(2, 3, *(-(-side // multiple) * multiple for side in (270, 300)))
    try:
        tiles, looks = _Single(network) if single else _Tiles(network), network.has_maps and not single
        model = _export(tiles, trial, multiple=multiple, metadata=metadata)
        look = _export(_Look(network), trial, multiple=1, metadata=metadata) if looks else None
        difference = _compare(network, model, look)
    except Exception as error:  # of many kinds, with a page of text
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise UserError(f"{kind} cannot be exported to ONNX ({reason}); {without}") from error
    if not difference < TOLERANCE:
        raise UserError(f"{kind} as ONNX differs from itself by {difference:.2g} (limit 1/255); {without}")
    return model, look


class _Tiles(nn.Module):
    """What the graph of the network computes."""

    def __init__(self, network: RestorationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, tiles: Tensor, looked: Tensor | None = None) -> Tensor:
        image, damage, ink = self.network.predict(tiles, looked)
        return image if damage is None or ink is None else torch.cat([image, damage, ink], dim=1)


class _Single(_Tiles):
    """What the one graph computes."""

    def forward(self, tiles: Tensor, looked: Tensor | None = None) -> Tensor:
        return self.network.predict(tiles).image


class _Look(_Tiles):
    """What the graph of the look computes."""

    def forward(self, tiles: Tensor, looked: Tensor | None = None) -> Tensor:
        return self.network.look(tiles)


def _export(module: _Tiles, trial: Tensor, *, multiple: int, metadata: dict[str, str]) -> bytes:
    least, most = SIDES
    batch = torch.export.Dim("batch", min=1, max=1024)
    height, width = (torch.export.Dim(n, min=-(-least // multiple), max=most // multiple) for n in ("h", "w"))
    shapes: dict[str, Any] = {"tiles": {0: batch, 2: multiple * height, 3: multiple * width}}
    inputs = [trial]
    is_look = isinstance(module, _Look)
    if module.network.has_maps and type(module) is _Tiles:
        shapes["looked"] = {0: batch}
        inputs.append(torch.zeros(len(trial), 1))
    # DINOv3's rotary positions call float() of the grid's sides, which would fix them to those of the trial.
    kept_free = mock.patch.object(pos_embed_sincos, "float", torch.sym_float, create=True)
    with warnings.catch_warnings(), kept_free:
        warnings.simplefilter("ignore")
        # In two steps: asked to do both, the exporter may settle for a graph of the trial's size alone.
        graph = torch.export.export(module.eval(), tuple(inputs), dynamic_shapes=shapes, strict=False)
        graph = graph.run_decompositions({torch.ops.aten._upsample_bicubic2d_aa.vec: _bicubic})
        program = torch.onnx.export(
            graph, dynamo=True, opset_version=OPSET, input_names=list(shapes),
            output_names=["looked" if is_look else "restored"], verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:  # where in PyTorch's source it comes from, folders and all
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    _halve(proto)
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    content: bytes = proto.SerializeToString()
    return content


def _bicubic(images: Tensor, size: list[int], *_: object) -> Tensor:
    """What resamples the positions of a ViT, as two products with matrices: (B, C, H, W) → (B, C, *size).

    ONNX has an operation for it, but OpenVINO shrinks with that as if it were told not to smooth first.

    Source: Keys 1981, a = −0.5, as in Pillow: stretched when it shrinks, and at the border over what is there.
    """
    down, across = (_cubic_weights(old, new) for old, new in zip(images.shape[2:], size, strict=True))
    return down @ images @ across.T


def _cubic_weights(old: int, new: int) -> Tensor:
    """(new, old): how much of each old sample a new one takes."""
    step = old / new
    centres = (torch.arange(new)[:, None] + 0.5) * step
    stretch: Any = torch.sym_max(step, 1.0)
    distance = (torch.arange(old) + 0.5 - centres).abs() / stretch
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    return weights / weights.sum(dim=1, keepdim=True)


def _halve(proto: Any) -> None:
    """Store in float16 what it holds to the bit; the cast to float32 is an operation that engines fold away."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if values.size < LEAST or not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _compare(network: RestorationNetwork, model: bytes, look: bytes | None) -> float:
    """Largest difference of ONNX Runtime from the network, on noise, a page and a flat tile, of two sizes."""
    import onnxruntime

    def session(content: bytes) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised as well
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    run_model, run_look = session(model), look and session(look)
    generator = torch.Generator().manual_seed(0)
    side, longer = (-(-length // network.multiple) * network.multiple for length in (128, 256))
    noise = torch.rand(3, 3, longer, side, generator=generator)
    differences = []
    for tiles in (noise, _page(longer), torch.full((1, 3, side, side), 0.5)):
        feeds = {"tiles": tiles.numpy()}
        with torch.inference_mode():
            looked = network.look(tiles) if run_look else None
            expected = _Tiles(network)(tiles, looked).numpy()
        if run_look and looked is not None:
            feeds["looked"] = run_look.run(None, {"tiles": tiles.numpy()})[0]
            differences.append(np.abs(feeds["looked"] - looked.numpy()).max())
        found = run_model.run(None, feeds)[0]
        differences.append(np.abs(found - expected[:, : found.shape[1]]).max())  # all channels, or the colours
    return float(np.max(differences))  # no number if one is none


def _page(side: int) -> Tensor:
    """(1, 3, side, side): yellow paper with a shadow, dark strokes in lines, grain."""
    generator = torch.Generator().manual_seed(0)
    along = torch.arange(side)
    stroke = ((along[:, None] % 24) < 10) & ((along[None] * 7 // 5 + along[:, None] // 3) % 9 < 3)
    shade = torch.linspace(1, 0.6, side)
    paper = torch.tensor([0.9, 0.82, 0.65])[:, None, None] * shade
    page = paper * (1 - 0.7 * stroke) + 0.02 * torch.randn(3, side, side, generator=generator)
    return page.clamp(0, 1)[None]
