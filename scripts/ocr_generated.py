"""How well Tesseract reads clean generated pages: the character error rate by support.

    python scripts/ocr_generated.py [--n 8] [--language san] [generator=printed] [generator.KEY=value …]

Low rates on printed-style pages prove that the text and its shaping are right; they are the base for measuring
restoration by legibility. Needs Debian's tesseract-ocr, tesseract-ocr-san and tesseract-ocr-script-deva.
"""

import argparse
from statistics import mean, median

from hydra import compose, initialize_config_dir

from manuscript_restore.config import build, config_dir
from manuscript_restore.evaluation.ocr import character_error_rate, read_text
from manuscript_restore.synthesis import PageGenerator


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--n", type=int, default=8, help="pages of each support")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--language", action="append", help="model of Tesseract, may be repeated; default: san and Devanagari"
    )
    parser.add_argument("overrides", nargs="*", default=["generator=printed"])
    options = parser.parse_args()
    languages = options.language or ["san", "Devanagari"]
    print(
        "| support | pages | characters | "
        + " | ".join(f"CER {name} %: mean · median" for name in languages)
        + " |"
    )
    print("|---" * (3 + len(languages)) + "|")
    with initialize_config_dir(config_dir(), version_base="1.3"):
        for kind in ("paper", "parchment", "palm_leaf"):
            only = f"generator.supports={{{kind}: 1, {', '.join(f'{k}: 0' for k in KINDS if k != kind)}}}"
            config = compose("generate", [*options.overrides, only, "out=unused"])
            generator: PageGenerator = build(config.generator, "generator")
            pages = [generator.page(options.seed, i) for i in range(options.n)]
            truths = ["\n".join(line.text for line in page.lines) for page in pages]
            cells = []
            for language in languages:
                rates = [
                    100 * character_error_rate(read_text(page.image, language=language), truth)
                    for page, truth in zip(pages, truths, strict=True)
                ]
                cells.append(f"{mean(rates):.1f} · {median(rates):.1f}")
            print(f"| {kind} | {len(pages)} | {sum(map(len, truths))} | " + " | ".join(cells) + " |", flush=True)


KINDS = ("paper", "parchment", "palm_leaf")

if __name__ == "__main__":
    main()
