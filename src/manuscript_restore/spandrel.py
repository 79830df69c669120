"""Models of this project in spandrel, with which ComfyUI and chaiNNer open model files.

>>> from manuscript_restore.spandrel import register  # doctest: +SKIP
>>> register("models/mine")  # doctest: +SKIP
>>> page = spandrel.ModelLoader().load_from_file("models/mine/model.safetensors")(page)  # doctest: +SKIP
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from spandrel import MAIN_REGISTRY, Architecture, ArchSupport, ImageModelDescriptor, ModelTiling, StateDict
from torch import Tensor

from manuscript_restore.checkpoint import load_model
from manuscript_restore.errors import UserError
from manuscript_restore.inference import Restorer
from manuscript_restore.inference.torch_engine import TorchBackend
from manuscript_restore.models import RestorationNetwork
from manuscript_restore.released import CONFIG, RELEASED, WEIGHTS, find_model, identify


def register(*models: str | Path) -> None:
    """Let spandrel open the models of the package, and exported models of yours; again does no harm.

    Spandrel hands over the tensors of a file and nothing else. They do not say which network they are of (heads of
    attention and normalisation have no tensors), so that a model is known by its very weights, and what it is by
    the ``config.json`` beside them.

    Args:
        models: Folders of exported models.

    Raises:
        UserError: One is no such folder, or damaged.
    """
    folders = [*(path.parent for path in RELEASED.glob(f"*/{CONFIG}")), *(find_model(str(m)) for m in models)]
    for folder in folders:
        MAIN_REGISTRY.add(ArchSupport.from_architecture(ExportedModel(folder)), ignore_duplicates=True)


class ExportedModel(Architecture[RestorationNetwork]):  # type: ignore[misc]  # spandrel's types are not published
    """The network of one exported model, as an architecture of spandrel's.

    Args:
        folder: Of the model.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder}: not the folder of a model; make one with `manuscript-restore export`")
        identity = identify(folder)
        self.folder = folder
        super().__init__(id=f"manuscript_restore:{identity.sha256}", name=identity.name, detect=self.is_of)

    def is_of(self, state: StateDict) -> bool:
        """Whether these are its weights."""
        own = load_file(self.folder / WEIGHTS)
        return own.keys() == state.keys() and all(torch.equal(own[key], state[key].to(own[key])) for key in own)

    def load(self, state: StateDict) -> ImageModelDescriptor[RestorationNetwork]:
        """The network, which restores pages whole: it cuts them into tiles itself."""
        return ImageModelDescriptor(
            load_model(self.folder),
            state,
            architecture=self,
            purpose="Restoration",
            tags=[],
            supports_half=False,
            supports_bfloat16=False,
            scale=1,
            input_channels=3,
            output_channels=3,
            tiling=ModelTiling.INTERNAL,
            call_fn=_restore,
        )


def _restore(network: RestorationNetwork, pages: Tensor) -> Tensor:
    """(B, 3, H, W) to the same, as `Restorer` does."""
    restorer = Restorer(TorchBackend(network, device=str(pages.device)))
    return torch.stack([restorer.restore(page) for page in pages.clamp(0, 1)])
