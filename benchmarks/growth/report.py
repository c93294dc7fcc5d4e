"""The table, what it was measured on, and the line that tells the result."""

from collections.abc import Mapping
from dataclasses import asdict, replace

from benchmarks.growth.cases import BASE, BATCH_SIZES, BUSY, SIDES_PX, Case, Decoders, Row
from benchmarks.growth.measuring import Figures
from benchmarks.record import record


def table(rows: list[Row], figures: Mapping[Case, Figures]) -> str:
    """A line for each row, as Markdown."""
    lines = ["| varied | | seconds | × the base | pictures/s |", "|---|---|---|---|---|"]
    for row in rows:
        found = figures[row.case]
        value = f"{row.value} (base)" if row.case == BASE else row.value
        times = found.seconds / figures[BASE].seconds
        lines.append(
            f"| {row.varied} | {value} | {found.seconds:.3f} | {times:.2f} | {found.pictures_per_second:.3f} |"
        )
    return "\n".join(lines)


def record_line(rows: list[Row], figures: Mapping[Case, Figures], rounds: int) -> str:
    """Setting and all figures, as a line of JSON."""
    base = {**asdict(BASE), "decoders": BASE.decoders.workers, "threads": BASE.decoders.threads}
    config = {"base": base, "rounds": rounds, "sides_px": SIDES_PX, "batch_sizes": BATCH_SIZES}
    results = [{"varied": row.varied, "value": row.value, **asdict(figures[row.case])} for row in rows]
    return record(config, results)


def result_line(figures: Mapping[Case, Figures]) -> str:
    """How much more the most costs than the least, and how much more is done."""

    def seconds(case: Case) -> float:
        return figures[case].seconds

    def throughput(case: Case) -> float:
        return figures[case].pictures_per_second

    ratios = {
        "size_256_vs_64": seconds(replace(BASE, side_px=256)) / seconds(replace(BASE, side_px=64)),
        "steps_50_vs_5": seconds(replace(BASE, steps=50)) / seconds(replace(BASE, steps=5)),
        "batch_4_vs_1": seconds(replace(BASE, images=4)) / seconds(BASE),
        "at_once_8_throughput_vs_1": throughput(BUSY) / throughput(BASE),
        "workers_2_throughput_vs_1": throughput(replace(BUSY, decoders=Decoders.TWO_OF_ONE_THREAD))
        / throughput(replace(BUSY, decoders=Decoders.ONE_OF_ONE_THREAD)),
    }
    return "RESULT bench-growth " + " ".join(f"{name}={ratio:.3f}" for name, ratio in ratios.items())
