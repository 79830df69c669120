"""ONNX files through ONNX Runtime."""

from pathlib import Path

import onnxruntime

from manuscript_restore.inference.backends import Floats
from manuscript_restore.inference.onnx_engine import Graph


def open_graph(path: Path) -> Graph:
    """Open a file; of a damaged one errors of many kinds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the caller's own
    options.enable_mem_pattern = False  # no faster, but takes the memory of every step at once
    options.log_severity_level = 4  # what goes wrong is raised as well
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(feeds: dict[str, Floats]) -> Floats:
        result: Floats = session.run(None, feeds)[0]
        return result

    return Graph(
        engine=f"onnxruntime {onnxruntime.__version__}",
        num_channels=session.get_outputs()[0].shape[1],
        facts=session.get_modelmeta().custom_metadata_map,
        run=run,
    )
