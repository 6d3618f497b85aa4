"""What a text shows of its failure."""

import pytest

from service.experiments.verdicts import judge_text

GOOD = "The image shows a dog on a sofa. The dog is brown and it looks at the camera."
POEM = "Upon the sea a boat goes by\nBeneath a wide and silver sky\nIt carries home the light of day\nAnd sings"


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (GOOD, ()),
        ("There is no picture on the wall. The wall is white.", ()),
        ("Please send me one.", ("refusal",)),
        ("I'm sorry, but I cannot see the image.", ("refusal",)),
        ("As an AI language model, I do not have access to images.", ("refusal",)),
        ("I am unable to view the picture you mention.", ("refusal",)),
        ("No image was provided. Could you upload it again?", ("refusal",)),
        ("I don\u2019t see an image.", ("refusal",)),
        ("The dog is brown. The dog is brown.", ("repetition",)),
        ("It is a very very very big dog on a sofa.", ("repetition",)),
        ("A dog on a sofa.", ("fragment",)),
        ("Dog.", ("fragment",)),
        ("", ("fragment", "unfinished")),
        ("The image shows a dog on a", ("unfinished",)),
        ("The image shows a dog on a sofa", ("unfinished",)),
        ("A a a a dog", ("repetition", "fragment", "unfinished")),
    ],
)
def test_descriptions(text: str, reasons: tuple[str, ...]) -> None:
    assert judge_text("caption", text, truncated=False).reasons == reasons


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (POEM, ()),
        ("Roses are red\nRoses are red\nViolets are blue\nSo are you", ()),
        ("Roses are red\nRoses are red\nRoses are red\nViolets are blue", ("repetition",)),
        ("A poem of one line about the sea.", ("fragment",)),
        (f"{POEM} of the", ("unfinished",)),
        ("Of course! Please provide the image.", ("refusal",)),
    ],
)
def test_poems(text: str, reasons: tuple[str, ...]) -> None:
    assert judge_text("poem", text, truncated=False).reasons == reasons


def test_length_and_relevance_come_from_outside() -> None:
    assert judge_text("caption", GOOD, truncated=True).reasons == ("unfinished",)
    verdict = judge_text("caption", GOOD, truncated=False, relevant=False)
    assert verdict.reasons == ("irrelevant",)
    assert verdict.failed
    assert not judge_text("caption", GOOD, truncated=False, relevant=True).failed
