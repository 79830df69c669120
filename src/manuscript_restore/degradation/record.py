"""The drawn parameters as JSON: small, readable and exact."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from kornia.augmentation.container.params import ParamItem
from torch import Tensor

from manuscript_restore.errors import UserError


def params_to_json(params: Mapping[str, Any]) -> str:
    """Write down the `params` of a pipeline's last call.

    >>> params_to_json({"fading": {"alpha": torch.tensor([0.5])}})
    '{"fading": {"alpha": {"dtype": "float32", "values": [0.5]}}}'
    """
    return json.dumps(_plain(params))


def params_from_json(text: str) -> dict[str, Any]:
    """Read parameters that `DegradationPipeline.replay` repeats to the bit.

    Raises:
        UserError: The text is not what `params_to_json` writes.
    """
    try:
        params: dict[str, Any] = _restored(json.loads(text))
        return dict(params)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"degradation parameters: not what params_to_json writes ({error})") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        plain = {"dtype": str(value.dtype).removeprefix("torch."), "values": value.tolist()}
        # An empty list does not say its shape.
        return plain if value.numel() else {**plain, "shape": list(value.shape)}
    if isinstance(value, ParamItem):
        return {"name": value.name, "data": _plain(value.data)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() in ({"dtype", "values"}, {"dtype", "values", "shape"}):
        tensor = torch.tensor(value["values"], dtype=getattr(torch, value["dtype"]))
        return tensor.view(value["shape"]) if "shape" in value else tensor
    if value.keys() == {"name", "data"}:
        return ParamItem(value["name"], _restored(value["data"]))
    return {key: _restored(each) for key, each in value.items()}
