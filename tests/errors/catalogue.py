"""Reads docs/mistakes.md, runs its code, and compares what is raised with what the page says.

Run as a script, it writes into the page the messages that have changed.
"""

import contextlib
import re
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

from nacre import LearnerWarning

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


class Entry(NamedTuple):
    """A mistake: the code, what Nacre says, and the code that is right."""

    title: str
    wrong: str
    message: str
    right: str


class Page(NamedTuple):
    prelude: str
    entries: list[Entry]
    harmless: list[tuple[str, str]]


def read() -> Page:
    """The page in its parts: what all code begins with, the mistakes, and what is none."""
    sections = re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)
    prelude = BLOCK.search(sections[0]).group(2)
    entries, harmless = [], []
    for section in sections[1:]:
        title = section.splitlines()[0]
        blocks = [text for _, text in BLOCK.findall(section)]
        if len(blocks) == 3:
            entries.append(Entry(title, *blocks))
        elif len(blocks) == 1:
            harmless.append((title, blocks[0]))
        else:
            assert not blocks, f"{title}: {len(blocks)} blocks of code"
    return Page(prelude, entries, harmless)


def run(prelude: str, code: str) -> None:
    """Run code as a learner's script would be."""
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(prelude, "<prelude>", "exec"), names)
    exec(compile(code, "<script>", "exec"), names)


def complaint(prelude: str, code: str) -> tuple[str, BaseException | None]:
    """The error that code ends with, or else the one warning it gives; and the error itself."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run(prelude, code)
        except Exception as error:
            return f"{type(error).__name__}: {error}\n", error
    said = [w for w in caught if issubclass(w.category, LearnerWarning)]
    assert len(said) == 1, f"{len(said)} warnings and no error"
    assert said[0].filename == "<script>", f"the warning points to {said[0].filename}"
    return f"{said[0].category.__name__}: {said[0].message}\n", None


def agrees(shown: str, said: str) -> bool:
    """Whether a message is as the page shows it; ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.split("..."))
    return re.fullmatch(pattern, said, flags=re.DOTALL) is not None


def files_in(error: BaseException) -> list[str]:
    """The files of all frames of an error's traceback, and of what led to it."""
    whole = traceback.TracebackException.from_exception(error)
    files = []
    while whole is not None:
        files += [frame.filename for frame in whole.stack]
        shown_context = None if whole.__suppress_context__ else whole.__context__
        whole = whole.__cause__ or shown_context
    return files


def update() -> None:
    """Write the messages that have changed into the page."""
    text = PAGE.read_text()
    prelude, entries, _ = read()
    for entry in entries:
        said, _ = complaint(prelude, entry.wrong)
        if not agrees(entry.message, said):
            print(f"{entry.title}\n{said}")
            place = text.index(f"### {entry.title}\n")
            start = text.index("```text\n", place) + len("```text\n")
            end = text.index("```\n", start)
            text = text[:start] + said + text[end:]
            PAGE.write_text(text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # some entries save
        update()
