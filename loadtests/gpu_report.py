"""Tables of the records of ``loadtests.gpu``: measured figures and the device's limits."""

import json
from pathlib import Path

import numpy as np

from loadtests import report

TARGET_BATCH, TARGET_SHARE = 32, 0.5


def write(out: Path) -> None:
    """Write ``report.md``, and ``compare/report.md`` for the comparison."""
    parts = []
    encoder = read(out / "encoder.json")
    if encoder:
        parts.append(encoder_table(encoder))
        parts.append(encoder_verdict(encoder))
    records = report.load(out)
    for size in sorted({key[1] for key in records}):
        parts.append(report.table(records, size))
        if encoder and ("service", size, 1) in records:
            parts.append(stream_bound(records["service", size, 1], encoder))
    text = "\n\n".join(parts) + "\n"
    (out / "report.md").write_text(text)
    print(text)
    if (out / "compare").is_dir():
        report.write(out / "compare")


def read(file: Path) -> report.Record | None:
    """Read a record; None if it does not exist."""
    return json.loads(file.read_text()) if file.exists() else None


def encoder_table(encoder: report.Record) -> str:
    """Write images/s by batch size, and their share of the roofline."""
    peak, work = encoder["matrix_flops"], encoder["flops_per_image"]
    lines = [
        f"{encoder['device']}: matrix products in {encoder['dtype']} reach "
        f"{peak / 1e12:.3g} TFLOP/s, which bounds the ViT's {work / 1e12:.2g} TFLOP an image "
        f"at {peak / work:.0f} images/s.",
        "",
        "| batch | images/s | of the bound |",
        "| ---: | ---: | ---: |",
    ]
    for row in encoder["rows"]:
        speed, share = row["images_per_second"], row["of_peak"]
        lines.append(f"| {row['batch']} | {speed:.0f} | {share:.0%} |")
    return "\n".join(lines)


def encoder_verdict(encoder: report.Record) -> str:
    """Say whether the target share of the roofline was reached."""
    name = f"encoder's share of the roofline at batch {TARGET_BATCH}"
    shares = {row["batch"]: row["of_peak"] for row in encoder["rows"]}
    if TARGET_BATCH in shares:
        line = report.verdict(name, shares[TARGET_BATCH], TARGET_SHARE)
    else:
        line = f"| {name} ≥ {TARGET_SHARE:g} | - | not measured |"
    return "\n".join([*report.VERDICTS, line])


def stream_bound(record: report.Record, encoder: report.Record) -> str:
    """Compare a single stream with its limit: each token reads all weights."""
    bound = encoder["memory_bytes_per_second"] / record["model_bytes"]
    speed = 1 / float(np.median(report.gaps(record)))
    return (
        f"A single stream, {record['workload']}: {speed:.0f} tokens/s; "
        f"reading the weights for each token bounds it at {bound:.0f}."
    )
