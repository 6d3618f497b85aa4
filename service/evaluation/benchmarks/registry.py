"""All benchmarks by their name on the command line."""

from service.evaluation.benchmarks import (
    aokvqa,
    chair,
    coco_captions,
    gqa,
    hateful_memes,
    iconqa,
    mme,
    pope,
    refcoco,
    vizwiz,
    vqa,
    vsr,
)
from service.evaluation.benchmarks.benchmark import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    "pope": pope.BENCHMARK,
    "chair": chair.BENCHMARK,
    "aokvqa-choices": aokvqa.MULTIPLE_CHOICE,
    "aokvqa-direct": aokvqa.DIRECT,
    "gqa": gqa.BENCHMARK,
    "vqav2": vqa.VQAV2,
    "okvqa": vqa.OKVQA,
    "vizwiz": vizwiz.BENCHMARK,
    "vsr": vsr.BENCHMARK,
    "hateful-memes": hateful_memes.BENCHMARK,
    "iconqa": iconqa.BENCHMARK,
    "refcoco": refcoco.REFCOCO,
    "refcoco+": refcoco.REFCOCO_PLUS,
    "refcocog": refcoco.REFCOCOG,
    "mme": mme.BENCHMARK,
    "coco-captions": coco_captions.BENCHMARK,
}
