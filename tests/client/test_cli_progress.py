"""The progress line, with a clock and a terminal of the test's own."""

import io

from kandinsky_client import Progress, PromptEncoded, Queued
from kandinsky_client.cli.progress import ProgressLine, steps_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def step(number: int, total: int = 10, image: int = 0) -> Progress:
    return Progress(image, number, total, None)


def test_the_time_left_follows_from_the_pace_since_the_first_step() -> None:
    terminal, clock = Terminal(), Clock()
    line = ProgressLine(terminal, 1, clock)
    line.show(step(1))
    clock.now = 4.0
    line.show(step(3))
    first, second = terminal.getvalue().split("\r")[1:]
    assert first == "[###...........................] 1/10 steps\x1b[K"
    assert second == "[#########.....................] 3/10 steps, 14 s left\x1b[K"


def test_the_steps_of_all_images_count() -> None:
    terminal = Terminal()
    line = ProgressLine(terminal, 2, Clock())
    line.show(step(10, image=0))
    line.show(step(5, image=1))
    assert "15/20 steps" in terminal.getvalue()


def test_a_step_back_after_a_lost_worker_gives_no_nonsense() -> None:
    terminal, clock = Terminal(), Clock()
    line = ProgressLine(terminal, 1, clock)
    line.show(step(5))
    clock.now = 1.0
    line.show(step(3))
    assert terminal.getvalue().endswith("3/10 steps\x1b[K")


def test_waiting_and_encoding_are_told() -> None:
    plain = io.StringIO()
    line = ProgressLine(plain, 1, Clock())
    line.show(Queued("r", "decoder", 2, 12.4))
    line.show(PromptEncoded(cache_hit=True, truncations=()))
    assert plain.getvalue() == "queued, 2 ahead, about 12 s\nprompt encoded (cached)\n"


def test_a_request_that_is_next_is_not_called_queued() -> None:
    plain = io.StringIO()
    ProgressLine(plain, 1, Clock()).show(Queued("r", "decoder", 0, 0.2))
    assert plain.getvalue() == ""


def test_off_a_terminal_there_is_a_line_every_tenth_and_no_control_character() -> None:
    plain = io.StringIO()
    line = ProgressLine(plain, 1, Clock())
    for number in range(1, 51):
        line.show(step(number, 50))
    line.close()
    assert [text.split("/")[0] for text in plain.getvalue().splitlines()] == [str(5 * n) for n in range(1, 11)]
    assert "\x1b" not in plain.getvalue()


def test_closing_clears_the_line_of_a_terminal() -> None:
    terminal = Terminal()
    ProgressLine(terminal, 1, Clock()).close()
    assert terminal.getvalue() == "\r\x1b[K"


def test_steps_are_told_with_and_without_an_estimate() -> None:
    assert steps_text(1, 4, None) == "1/4 steps"
    assert steps_text(2, 4, 0.4) == "2/4 steps, 0 s left"
