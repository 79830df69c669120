"""ONNX files through OpenVINO, which must be installed: ``pip install 'manuscript-restore[openvino]'``."""

import sys
import threading
from pathlib import Path

from manuscript_restore.inference.backends import Floats
from manuscript_restore.inference.onnx_engine import Graph
from manuscript_restore.threads import num_threads

# Imported as a whole, OpenVINO reports every start to its makers. What does so is its converter of models, and
# where that is missing it goes without. (The converter takes half of the time of importing, too.)
_CONVERTER = "openvino.tools.ovc"
if "openvino" in sys.modules:
    import openvino
else:
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # Python's own way of "not there"
    try:
        import openvino
    finally:
        del sys.modules[_CONVERTER]


def open_graph(path: Path) -> Graph:
    """Open a file; of a damaged one errors of many kinds."""
    core = openvino.Core()
    model = core.read_model(path)
    options = {
        "INFERENCE_PRECISION_HINT": "f32",  # else bf16 on processors that have it
        "INFERENCE_NUM_THREADS": num_threads(),
        "NUM_STREAMS": num_threads(),
        "ENABLE_CPU_PINNING": False,  # a pinned thread cannot get out of another process's way
    }
    compiled = core.compile_model(model, "CPU", options)
    own = threading.local()

    def run(feeds: dict[str, Floats]) -> Floats:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        result: Floats = own.request.infer(feeds)[0]
        return result

    size = model.output(0).partial_shape[1]
    return Graph(
        engine=f"openvino {openvino.__version__.partition('-')[0]}",
        num_channels=size.get_length() if size.is_static else None,
        facts=model.get_rt_info("framework").value,
        run=run,
    )
