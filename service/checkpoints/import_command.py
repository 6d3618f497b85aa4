"""``import``: make a model folder from published checkpoints."""

import argparse
from pathlib import Path
from typing import get_args

from service.checkpoints.encoder.plan import SizeOptions
from service.checkpoints.import_plan import plan_import
from service.checkpoints.import_request import ImportRequest
from service.checkpoints.import_summary import summarise
from service.checkpoints.import_writer import write_import
from service.checkpoints.language_model.writing import Placement
from service.families import FAMILIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="the new model folder")
    parser.add_argument(
        "--family", choices=FAMILIES, required=True, help="the published variant of MiniGPT-4"
    )
    parser.add_argument(
        "--vit",
        help="eva_vit_g.pth, or a BLIP-2 folder or hub id (default: --qformer, if it is such a folder "
        "or hub id)",
    )
    parser.add_argument(
        "--qformer", help="blip2_pretrained_flant5xxl.pth, or a BLIP-2 folder or hub id"
    )
    parser.add_argument(
        "--projection", required=True, help="the MiniGPT-4 checkpoint (`ckpt` in its configuration)"
    )
    parser.add_argument("--llm", required=True, help="Vicuna or Llama-2 folder, or hub id")
    parser.add_argument(
        "--llm-files",
        choices=get_args(Placement),
        default="reference",
        help="whether to reference, hard-link or copy a language model in safetensors (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--tokenizer", help="folder or hub id with the tokenizer (default: that of --llm)"
    )
    parser.add_argument(
        "--lora-alpha",
        type=float,
        help="minigpt-v2: scale of the LoRA weights (default: the checkpoint's, otherwise 16)",
    )
    parser.add_argument(
        "--merged-already",
        action="store_true",
        help="minigpt-v2: --llm already contains the LoRA weights",
    )
    parser.add_argument(
        "--vit-heads", type=int, help="the ViT's attention heads (default: width / 88)"
    )
    parser.add_argument(
        "--vit-layers",
        type=int,
        help="the ViT's layers to run (default: all but the last one in eva_vit_g.pth)",
    )
    parser.add_argument(
        "--qformer-heads", type=int, help="the Q-Former's attention heads (default: width / 64)"
    )
    parser.add_argument("--dry-run", action="store_true", help="check and summarise, write nothing")


def run(arguments: argparse.Namespace) -> None:
    """Check everything, then write the folder."""
    plan = plan_import(
        ImportRequest(
            target=arguments.folder,
            family=arguments.family,
            projection=arguments.projection,
            language_model=arguments.llm,
            vit=arguments.vit,
            qformer=arguments.qformer,
            tokenizer=arguments.tokenizer,
            placement=arguments.llm_files,
            sizes=SizeOptions(arguments.vit_heads, arguments.vit_layers, arguments.qformer_heads),
            lora_alpha=arguments.lora_alpha,
            merged_already=arguments.merged_already,
        )
    )
    for line in summarise(plan):
        print(line)
    if arguments.dry_run:
        print("Nothing was written (--dry-run).")
        return
    write_import(plan, report=lambda line: print(line, flush=True))
    print(f"{arguments.folder} is ready: python -m service serve --model {arguments.folder}")
