"""``inspect``: print what a model folder holds, its sources, and the memory to serve it."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from service.model_folder.inspection import Inspection, inspect_folder
from service.model_folder.vision_config import WEIGHTS_FILE, BackboneVisionConfig, VisionConfig
from service.tensors.byte_size import format_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="model folder to inspect")


def run(arguments: argparse.Namespace) -> None:
    """Print the facts of a model folder."""
    for line in describe(inspect_folder(arguments.folder)):
        print(line)


def describe(inspection: Inspection) -> Iterator[str]:
    """Yield the lines that ``inspect`` prints."""
    yield from _describe_model(inspection)
    for part in inspection.parts:
        yield f"{part.name:<17} {part.parameters:,} parameters, {', '.join(part.dtypes)}"
    index = inspection.folder.index
    yield f"sha256            {inspection.vision_sha256}  {index.vision}/{WEIGHTS_FILE}"
    yield from _describe_provenance(inspection)
    yield from _describe_memory(inspection)


def _describe_model(inspection: Inspection) -> Iterator[str]:
    folder, vision = inspection.folder, inspection.vision
    yield f"family            {folder.index.family}"
    yield (
        f"image             {vision.image_size} px, {vision.visual_tokens} embeddings of "
        f"{vision.hidden_size}"
    )
    yield from _describe_vision(vision)
    yield f"language model    {folder.language_model}"
    if config := inspection.language_model:
        yield (
            f"                  {config['num_hidden_layers']} layers of {config['hidden_size']}, "
            f"vocabulary {config['vocab_size']}, "
            f"context {config.get('max_position_embeddings', 'not stated')}"
        )


def _describe_vision(vision: VisionConfig) -> Iterator[str]:
    if isinstance(vision, BackboneVisionConfig):
        backbone = vision.backbone
        layers = ", ".join(map(str, backbone.layers))
        class_token = " and the class token" if backbone.class_token else ""
        yield (
            f"vision model      {backbone.config['model_type']} of {backbone.width}: "
            f"layers {layers}{class_token}; grouping {backbone.grouping}"
        )
        return
    yield f"ViT               {vision.vit.num_hidden_layers} layers of {vision.vit.hidden_size}"
    if vision.qformer:
        yield (
            f"Q-Former          {vision.qformer.num_hidden_layers} layers of "
            f"{vision.qformer.hidden_size}, {vision.qformer.query_tokens} query tokens"
        )


def _describe_provenance(inspection: Inspection) -> Iterator[str]:
    provenance = inspection.folder.index.provenance
    if provenance is None:
        return
    yield f"made by           {provenance.made_by}"
    for name, source in provenance.sources.items():
        location = source.get("path") or source.get("hub_id") or source.get("name", "")
        maker = f"made by {source['made_by']}" if source.get("made_by") else ""
        details = ", ".join(filter(None, (location, maker)))
        suffix = f" ({details})" if details else ""
        yield f"made from         {source.get('sha256', '-')}  {name}{suffix}"
        if notes := source.get("notes"):
            yield f"                  {notes}"
    for note in provenance.notes:
        yield f"note              {note}"


def _describe_memory(inspection: Inspection) -> Iterator[str]:
    quantisation = inspection.quantisation
    kind = f"; the language model is quantised ({quantisation})" if quantisation else " in 16 bits"
    yield f"memory to serve   {format_bytes(inspection.weight_bytes)} of weights{kind}"
    if inspection.cache_bytes_per_token is None:
        yield "                  and the language model's, which is on the hub"
    else:
        cache = format_bytes(1000 * inspection.cache_bytes_per_token)
        yield f"                  and {cache} of cache for each 1,000 tokens in flight"
