"""The page and the table that are drawn from the benchmarks' results, on results made up here."""

import html
import re

import pytest

from benchmarks import notes, page, plots, readme, results
from benchmarks.workloads import GOALS, WORKLOADS

FACTS = {
    "date": "2031-02-03",
    "processor": "Model 9 <fast>",
    "cores": 2,
    "memory": "8 GiB",
    "load before": 0.25,
    "system": "Linux 9.9",
    "versions": {"python": "3.99.1", "jax": "0.77", "tensorflow": "not installed"},
    "command": "python -m benchmarks",
    "digits": "MNIST",
    "rounds": 3,
    "seconds": 77,
}
MLP = {
    "ms a step": {
        "nacre": [1.9, 2.0, 8.0],
        "keras_jax": [3.9, 4.0, 4.1],
        "lightning": [9.0, 9.5, 12.0],
        "torch": [5.0, 5.0, 5.0],
        "torch_compile": [4.4, 4.4, 4.4],
        "jax": [1.6, 1.6, 1.6],
    }
}
STREAMED = {"share of the budget and two windows": {"nacre": [0.5, 0.75, 0.9]}}
COLD = {"s in all": {"nacre": [4.0]}, "test accuracy": {"nacre": [0.98], "jax": [0.97]}}


@pytest.fixture
def folder(tmp_path):
    left_out = {"keras_torch": "ImportError: no module <torch>"}
    results.write(WORKLOADS["mlp"], MLP, left_out, FACTS, tmp_path)
    results.write(WORKLOADS["streamed"], STREAMED, {}, FACTS, tmp_path)
    results.write(WORKLOADS["cold_start"], COLD, {}, FACTS, tmp_path)
    return tmp_path


def test_goals_are_measured_against_the_best_peer(folder):
    kept = results.read_all(folder)
    assert list(kept) == ["mlp", "cold_start", "streamed"]  # in the order of the workloads
    best, bound = kept["mlp"]["goals"]
    assert (best["best peer"], best["share"], best["reached"]) == ("keras_jax", 0.5, True)
    assert (bound["best peer"], bound["share"], bound["reached"]) == ("jax", 1.25, False)
    (alone,) = kept["streamed"]["goals"]  # a bound on the figure itself
    assert (alone["best peer"], alone["share"], alone["reached"]) == (None, 0.75, True)
    assert {goal["reached"] for goal in kept["cold_start"]["goals"]} == {None}


def test_every_goal_is_of_a_workload_and_of_those_who_take_part():
    for goal in GOALS:
        assert set(goal.peers) <= set(WORKLOADS[goal.workload].frameworks)


def test_the_table_says_what_was_reached_and_what_was_not(folder):
    text = readme.table(results.read_all(folder))
    row = next(line for line in text.splitlines() if "Dense 512" in line)
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        "ms a step", "**2.00**", "4.00 (Keras on JAX)", "0.500",
        "4.40 (PyTorch, torch.compile)", "0.455", "1.60", "1.25",
    ]  # fmt: skip
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {10}
    assert "- `mlp`, ms a step: 1.25 times JAX by hand; the goal is 1.1 at most." in text
    assert "- `cold_start`, s in all: not measured." in text
    assert "streamed`" not in text  # what was reached needs no sentence
    assert text.count("2031-02-03") == 1
    assert "Model 9 <fast>, 2 threads, 8 GiB, Linux 9.9, with python 3.99.1, jax 0.77." in text


def test_a_note_stands_beside_what_was_missed_only(folder, monkeypatch):
    monkeypatch.setitem(notes.NOTES, ("mlp", "ms a step"), "The profile says: gathers.")
    assert readme.table(results.read_all(folder)).count("The profile says: gathers.") == 1
    assert page.render(results.read_all(folder)).count("The profile says: gathers.") == 1


def test_other_circumstances_have_a_line_of_their_own(folder):
    other = FACTS | {"date": "2031-04-05", "rounds": 9}
    results.write(WORKLOADS["streamed"], STREAMED, {}, other, folder)
    text = readme.table(results.read_all(folder))
    assert "Measured on 2031-02-03 (mlp, cold_start)" in text
    assert "Measured on 2031-04-05 (streamed) by `python -m benchmarks`, 9 rounds" in text
    assert page.render(results.read_all(folder)).count("<table>") == 2


def test_only_what_stands_between_the_markers_is_written(folder, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme.BEGIN}old\n{readme.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        readme.write(path, folder)
        expected = readme.table(results.read_all(folder))
        text = path.read_text(encoding="utf-8")
        assert text == f"before\n{readme.BEGIN}{expected}{readme.END}\nafter\n"
    readme.write(path, tmp_path / "nothing")
    assert path.read_text(encoding="utf-8") == f"before\n{readme.BEGIN}{readme.END}\nafter\n"


def test_the_readme_has_the_table_of_the_results_that_are_kept():
    text = readme.README.read_text(encoding="utf-8")
    expected = readme.table(results.read_all())
    assert readme.between(text) == expected, "run: python -m benchmarks.readme"


def test_the_page_that_is_kept_is_the_page_of_the_results():
    path = results.RESULTS / "index.html"
    kept = results.read_all()
    assert path.exists() == bool(kept), "run: python -m benchmarks.page"
    if kept:
        assert path.read_text(encoding="utf-8") == page.render(kept)


def test_the_page_shows_every_run_and_needs_nothing_else(folder):
    text = page.write(folder).read_text(encoding="utf-8")
    runs = sum(len(r) for f in (MLP, STREAMED) for rows in f.values() for r in rows.values()) + 1
    assert text.count("<circle") == runs
    assert not re.search(r"https?:|<script|<link|<img|src=|url\(|@import", text)
    shown = html.unescape(re.sub(r"<[^>]*>", " ", text))
    for part in (
        "goals reached", "MISSED", "1.25 of JAX by hand; at most 1.1",
        "Keras on PyTorch: ImportError: no module <torch>", "Model 9 <fast>", "2031-02-03",
        "tensorflow not installed", "load before was 0.25", "3 rounds in 77 s",
        "Nacre 0.9800, JAX by hand 0.9700", "not measured",
    ):  # fmt: skip
        assert part in shown
    assert "2.00 \N{MULTIPLICATION SIGN}" in shown  # Keras on JAX to Nacre


def test_a_plot_places_values_by_their_size():
    def middles(by_framework):
        text = plots.dot_plot("ms", by_framework)
        return dict(
            zip(
                re.findall(r'<text class="name \w+"[^>]*>([^<]*)', text),
                map(float, re.findall(r'<line class="median \w+" x1="([\d.]+)"', text)),
                strict=True,
            )
        )

    def runs(median):
        return {"median": median, "min": median, "max": median, "runs": [median]}

    linear = middles({"jax": runs(2.0), "nacre": runs(1.0), "torch": runs(3.0)})
    assert list(linear) == ["Nacre", "JAX by hand", "PyTorch loop"]
    left, middle, right = linear.values()
    assert right - middle == pytest.approx(middle - left, abs=0.2)
    left, middle, right = middles(
        {"nacre": runs(1.0), "jax": runs(10.0), "torch": runs(100.0)}
    ).values()  # so far apart that the axis is logarithmic
    assert right - middle == pytest.approx(middle - left, abs=0.2)
    assert right > left


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.01234, "0.0123"), (0.9996, "1.00"), (9.996, "10.0"), (99.96, "100"),
     (123.4, "123"), (21799, "21,799"), (1.5, "1.50")],
)  # fmt: skip
def test_numbers_have_three_digits_that_count(value, shown):
    assert plots.number(value) == shown
