"""The figures of one load, and of the encoder alone."""

import base64
from io import BytesIO

import pytest
import torch
from PIL import Image
from torch import Tensor

from loadtests import encoder_speed, traffic
from loadtests.client import Run, Sample
from loadtests.client_processes import split_streams
from loadtests.gpu.levels import Observation, differences, figures
from loadtests.observe import ENCODER_METRICS
from service.model_folder.vision_config import VisionConfig


def test_the_published_vit_costs_what_the_paper_trail_says() -> None:
    assert encoder_speed.flops(VisionConfig()) == pytest.approx(0.53e12, rel=0.02)


def test_streams_are_divided_over_the_client_processes() -> None:
    assert split_streams(10, 3) == [4, 3, 3]
    assert split_streams(1, 3) == [1]


def test_an_answer_partly_in_the_window_counts_in_part() -> None:
    samples = [
        Sample(0.0, 200, 2.0, first_token=0.5, tokens=8),  # half of it
        Sample(1.5, 200, 1.0, first_token=0.1, gaps=[0.2, 0.4], tokens=8),
        Sample(4.0, 200, 1.0, first_token=0.9, tokens=8),  # after it
        Sample(2.0, 503, 0.1),
    ]
    found = figures([Run(5.0, samples[:2]), Run(5.0, samples[2:])], begin=1.0, seconds=2.0)
    assert found["requests_per_second"] == 0.75
    assert found["tokens_per_second"] == 6.0
    assert found["first_token_ms"] == [100.0, 100.0]
    assert found["statuses"] == {"200": 3, "503": 1}
    assert found["failed"] == 1


def test_cores_and_images_are_those_between_two_observations() -> None:
    metrics = encoder_metrics(1.0, 10.0, 4.0), encoder_metrics(2.0, 50.0, 9.0)
    found = differences(
        Observation(0.0, {"API": 1.0}, metrics[0]),
        Observation(2.0, {"API": 4.0, "engine": 1.0}, metrics[1]),
    )
    assert found["cores"] == {"API": 1.5, "engine": 0.5}
    assert found["encoder"] == {"images_per_second": 20.0, "images_per_batch": 8.0, "busy": 0.5}
    assert "encoder" not in differences(Observation(0.0, {}, {}), Observation(1.0, {}, metrics[1]))


def encoder_metrics(seconds: float, images: float, batches: float) -> dict[str, float]:
    return dict(zip(ENCODER_METRICS, (seconds, images, batches), strict=True))


def test_a_photograph_is_large_and_each_is_new() -> None:
    data = [base64.b64decode(traffic.photograph(seed).partition(",")[2]) for seed in (1, 2)]
    assert data[0] != data[1]
    assert 200_000 < len(data[0]) < 400_000
    assert Image.open(BytesIO(data[0])).size == (1280, 960)


def test_matrix_products_are_of_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    multiply = torch.mm

    def noting(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        seen.append(a)
        return multiply(a, b, out=out)

    monkeypatch.setattr(torch, "mm", noting)
    assert encoder_speed.matrix_flops(torch.device("cpu"), torch.float32, 0.01) > 0
    assert seen[0].std() == pytest.approx(1, rel=0.05)
