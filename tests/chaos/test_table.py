"""The table of figures keeps what was not measured anew."""

from __future__ import annotations

from pathlib import Path

from chaos.__main__ import BEGIN, END, EXPERIMENTS, put
from chaos.figures import Figure, exactly, unmet

ONE, TWO, *_ = EXPERIMENTS


def test_sections_are_replaced_one_by_one_and_stay_in_their_order(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    put(page, {TWO: [exactly("lost", 0, 0), exactly("done", 119, 120)]})
    put(page, {ONE: [exactly("killed", 20, 20)]})
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows == [
        "| what | must be | found |",
        f"| **{ONE}** | | |",
        "| killed | 20 | 20 |",
        f"| **{TWO}** | | |",
        "| lost | 0 | 0 |",
        "| done | 120 | 119 **(not met)** |",
    ]
    put(page, {ONE: [exactly("killed", 3, 3)]})
    assert page.read_text() == text.replace("| killed | 20 | 20 |", "| killed | 3 | 3 |")


def test_times_are_not_looked_at_where_they_must_not_be() -> None:
    slow = Figure("a transaction", "under 100 ms", "300 ms", met=False, timed=True)
    assert unmet([slow]) == [slow]
    assert unmet([slow], timed=False) == []
