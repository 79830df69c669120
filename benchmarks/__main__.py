"""The way in: ``python -m benchmarks NAME [options]``; without a name, the quick ones with small settings."""

import importlib
import sys

BENCHMARKS = {
    "degradation": "milliseconds an image of every degradation and preset, beside other libraries'",
    "generator": "generated pages and crops a second, beside decoding a scan",
    "data": "time to index large folders, memory of the processes that read them",
    "restore": "seconds and peak memory to restore a file by engine, size installed, beside non-local means",
    "cluster": "restoring with one worker of a Ray cluster and with two",
    "training": "steps beside a plain PyTorch loop, parts of a step, waiting for pages, share of the peak",
    "engines": "PyTorch, ONNX Runtime and OpenVINO on the same tiles",
    "ocr_pdf": "character error rate of OCRmyPDF's layer of text, with and without the plugin",
    "quality": "scores of models and classical peers on held-out pages",
    "ablate": "scores of changed recipes after equal training time",
}
QUICK = {
    "degradation": ["--batches", "1"],
    "generator": ["--pages", "3"],
    "data": ["--files", "20000"],
    "restore": ["--sizes", "1463x2316"],
    "training": ["--batch", "2", "--steps", "2", "model=vit_small"],
}


def main() -> None:
    """Run the benchmark that the command line names, or the quick ones."""
    name, *options = sys.argv[1:] or ["quick"]
    if name == "quick":
        for quick, settings in QUICK.items():
            run(quick, settings)
    elif name in BENCHMARKS:
        run(name, options)
    else:
        known = "\n".join(f"  {name:<12}{what}" for name, what in BENCHMARKS.items())
        print(f"python -m benchmarks [NAME [options]]; without NAME the quick ones: {', '.join(QUICK)}\n\n{known}")
        sys.exit(name not in ("-h", "--help"))


def run(name: str, options: list[str]) -> None:
    """Run one: its module's ``main``."""
    try:
        importlib.import_module(f"benchmarks.{name}").main(options)
    except KeyboardInterrupt:
        sys.exit("interrupted; give the same command again")


if __name__ == "__main__":
    main()
