"""Small data sets in the published formats, with expected questions and answers.

Each maker writes one data set into a folder. Its value lists image file, expected prompt and
answer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

VQA = "[vqa] Based on the image, respond to this question with a short answer: {}"


@dataclass
class DataSet:
    """A data set under construction; ``known`` has the answer to each image file and prompt."""

    folder: Path
    known: list[tuple[Path, str, str]] = field(default_factory=list)

    def write(self, name: str, content: Any, *, lines: bool = False) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = content if lines else [content]
        file.write_text("\n".join(json.dumps(row) for row in rows))

    def add(self, image: str, prompt: str, answer: str) -> None:
        """A picture of a colour of its own, and what to answer to the prompt."""
        file = self.folder / image
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            number = len(self.known)
            Image.new("RGB", (8, 8), (40 * number % 256, number, 90)).save(file)
        self.known.append((file, prompt, answer))


def pope(data: DataSet) -> None:
    for setting in ("random", "popular", "adversarial"):
        rows = []
        for number, (thing, label, answer) in enumerate(
            [("dog", "yes", "Yes, there is."), ("cat", "no", "No."), ("car", "no", "Yes.")], 1
        ):
            text = f"Is there a {thing} in the image?"
            image = f"COCO_val2014_{number // 2:012}.jpg"
            rows.append({"question_id": number, "image": image, "text": text, "label": label})
            if setting == "random":
                data.add(f"val2014/{image}", text, answer)
        data.write(f"coco_pope_{setting}.json", rows, lines=True)


def aokvqa(data: DataSet) -> None:
    rows = []
    for number, (right, said) in enumerate(
        [(0, "Cab."), (1, "It is a train"), (2, "trian"), (3, "x")]
    ):
        choices = ["cab", "train", "delivery", "skateboard"]
        question = f"What is it, number {number}?"
        rows.append(
            {
                "split": "val",
                "image_id": number,
                "question_id": f"id{number}",
                "question": question,
                "choices": choices,
                "correct_choice_idx": right,
                "direct_answers": ["cab"] * 2 + ["train"] * 8,
                "difficult_direct_answer": number == 3,
            }
        )
        asked = f"{question} Choose one of: cab, train, delivery, skateboard."
        data.add(f"val2017/{number:012}.jpg", VQA.format(asked), said)
        direct = ("cab", "Train", "bus", "")[number]
        data.add(f"val2017/{number:012}.jpg", VQA.format(question), direct)
    data.write("aokvqa_v1p0_val.json", rows)


def gqa(data: DataSet) -> None:
    rows = {}
    for number, (answer, said) in enumerate([("yes", "Yes"), ("left", "right"), ("red", "red")]):
        question = f"Question {number}?"
        rows[f"2019{number}"] = {
            "imageId": f"n{number}",
            "question": question,
            "answer": answer,
            "isBalanced": True,
        }
        data.add(f"images/n{number}.jpg", VQA.format(question), said)
    data.write("testdev_balanced_questions.json", rows)


def _vqa(data: DataSet, prefix: str) -> None:
    questions, annotations = [], []
    rows = [
        ("two", ["2"] * 10),
        ("red", ["red"] * 2 + ["blue"] * 8),
        ("cat", ["dog"] * 9 + ["cat"]),
    ]
    for number, (said, people) in enumerate(rows):
        question = {"question_id": number, "image_id": number, "question": f"What {number}?"}
        questions.append(question)
        answers = [{"answer": one, "answer_id": at} for at, one in enumerate(people)]
        kind = "number" if number == 0 else "other"
        annotations.append({**question, "answers": answers, "answer_type": kind})
        image = f"val2014/COCO_val2014_{number:012}.jpg"
        data.add(image, VQA.format(question["question"]), said)
    data.write(f"{prefix}OpenEnded_mscoco_val2014_questions.json", {"questions": questions})
    data.write(f"{prefix}mscoco_val2014_annotations.json", {"annotations": annotations})


def vqav2(data: DataSet) -> None:
    _vqa(data, "v2_")


def okvqa(data: DataSet) -> None:
    _vqa(data, "")


def vizwiz(data: DataSet) -> None:
    rows = []
    for number, (said, people) in enumerate(
        [("Unanswerable", ["unanswerable"] * 10), ("the can", ["can"] * 5 + ["tin"] * 5)]
    ):
        question = f"What is this, {number}?"
        rows.append(
            {
                "image": f"VizWiz_val_{number:08}.jpg",
                "question": question,
                "answers": [{"answer": one, "answer_confidence": "yes"} for one in people],
                "answerable": 1,
            }
        )
        prompt = (
            f"[vqa] The question is '{question}' Based on the image, answer the question with a "
            "single word or phrase. and reply 'unanswerable' when the provided information is "
            "insufficient"
        )
        data.add(f"val/VizWiz_val_{number:08}.jpg", prompt, said)
    data.write("val.json", rows)


def vsr(data: DataSet) -> None:
    rows = []
    for number, (label, said) in enumerate([(1, "True"), (0, "true"), (0, "false"), (1, "yes")]):
        caption = f"The cat is left of the dog {number}."
        image = f"{number:012}.jpg"
        rows.append({"image": image, "caption": caption, "label": label, "relation": "left of"})
        prompt = f"[vqa] Based on the image, is this statement true or false? {caption}"
        data.add(f"images/{image}", prompt, said)
    data.write("test.jsonl", rows, lines=True)


def hateful_memes(data: DataSet) -> None:
    rows = []
    for number, (label, said) in enumerate([(1, "Yes"), (0, "no"), (0, "It is not.")]):
        rows.append(
            {"id": number, "img": f"img/{number}.png", "label": label, "text": f"t {number}"}
        )
        prompt = (
            f"This is an image writting 't {number}'. Is this image hateful? Answer yes or no. "
            "Answer:"
        )
        data.add(f"img/{number}.png", prompt, said)
    data.write("dev.jsonl", rows, lines=True)


def iconqa(data: DataSet) -> None:
    problems, chosen = {}, []
    for number, said in enumerate(["7", "a circle", "the square"]):
        choices = ["7", "9"] if number == 0 else ["circle", "square"]
        question = f"Which one, {number}?"
        problems[str(number)] = {
            "question": question,
            "choices": choices,
            "answer": 0,
            "grade": "k",
        }
        chosen.append(str(number))
        asked = f"{question} Choose one of: {', '.join(choices)}."
        data.add(f"iconqa/val/choose_txt/{number}/image.png", VQA.format(asked), said)
    problems["9"] = {"question": "How many?", "choices": None, "answer": "3"}
    data.write("problems.json", problems)
    data.write("pid_splits.json", {"choose_txt_val": chosen, "fill_in_blank_val": ["9"]})


def refcoco(data: DataSet) -> None:
    rows = []
    for number, said in enumerate(["{<10><20><50><60>}", "{<50><50><99><99>}", "on the left"]):
        name = f"COCO_train2014_{number // 2:012}_{number}"
        rows.append(
            {
                "img_id": name,
                "sents": f"thing {number}",
                "bbox": [64.0, 96.0, 256.0, 192.0],
                "height": 480,
                "width": 640,
            }
        )
        image = f"train2014/COCO_train2014_{number // 2:012}.jpg"
        data.add(image, f"[refer] give me the location of thing {number}", said)
    data.write("refcoco_val.json", rows)


def mme(data: DataSet) -> None:
    from service.evaluation.benchmarks.mme import COGNITION, PERCEPTION

    for task in (*PERCEPTION, *COGNITION):
        deep = task == "celebrity"
        for number, said in enumerate([("Yes.", "No"), ("Yes", "yes it is")]):
            text = []
            for asked, label, answer in zip(("a", "b"), ("Yes", "No"), said, strict=True):
                question = f"Is it {task} {number} {asked}? Please answer yes or no."
                text.append(f"{question}\t{label}")
                image = f"{task}/{'images/' if deep else ''}{number}.jpg"
                data.add(image, question, answer)
            place = "questions_answers_YN/" if deep else ""
            file = data.folder / task / f"{place}{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(text))


def coco_captions(data: DataSet) -> None:
    images, annotations = [], []
    for number, thing in enumerate(["red bus", "black cat", "old clock"]):
        name = f"COCO_val2014_{number:012}.jpg"
        images.append({"id": number, "file_name": name, "height": 8, "width": 8})
        for at in range(5):
            said = f"A {thing} in the picture, view {at}."
            annotations.append({"image_id": number, "id": 10 * number + at, "caption": said})
        prompt = "[caption] please describe this image?"
        data.add(f"val2014/{name}", prompt, f"a {thing} in the picture view 0")
    content = {"images": images, "annotations": annotations, "info": {}, "licenses": []}
    data.write("annotations/captions_val2014.json", content)


def chair(data: DataSet) -> None:
    (data.folder / "synonyms.txt").write_text("person, man, woman\ndog, puppy\ncat\nbus\n")
    images, segments = [], []
    for number, said in enumerate(["A man and his puppy.", "A dog and two cats.", "Nothing."]):
        name = f"COCO_val2014_{number:012}.jpg"
        images.append({"id": number, "file_name": name})
        segments += [{"image_id": number, "category_id": one, "area": 1.5} for one in (1, 18)]
        prompt = "Please describe the image shortly and precisely, in less than 20 words."
        data.add(f"val2014/{name}", prompt, said)
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    data.write(
        "annotations/instances_val2014.json",
        {"images": images, "annotations": segments, "categories": categories},
    )


MAKERS: dict[str, tuple[Callable[[DataSet], None], dict[str, float]]] = {
    "pope": (pope, {"random: accuracy": 200 / 3, "random: precision": 50, "popular: recall": 100}),
    "aokvqa-choices": (aokvqa, {"accuracy": 50}),
    "aokvqa-direct": (aokvqa, {"accuracy": (200 / 3 + 100) / 3}),
    "gqa": (gqa, {"accuracy": 200 / 3}),
    "vqav2": (vqav2, {"accuracy": 20 + 10, "number": 0, "other": (60 + 30) / 2}),
    "okvqa": (okvqa, {"accuracy": 30}),
    "vizwiz": (vizwiz, {"accuracy": 100, "accuracy, MiniGPT-v2's count": 50}),
    "vsr": (vsr, {"accuracy": 50}),
    "hateful-memes": (hateful_memes, {"accuracy": 200 / 3}),
    "iconqa": (iconqa, {"accuracy": 200 / 3}),
    "refcoco": (refcoco, {"accuracy at IoU 0.5": 100 / 3, "answers without a box": 100 / 3}),
    "mme": (mme, {"perception": 1250, "cognition": 500, "OCR": 125}),
    "coco-captions": (coco_captions, {"BLEU-1": 100, "BLEU-4": 100, "length": 8}),
    "chair": (chair, {"CHAIR_i": 25, "CHAIR_s": 100 / 3, "length": 11 / 3}),
}
"""The maker of each benchmark's data set, and the scores of its answers."""
