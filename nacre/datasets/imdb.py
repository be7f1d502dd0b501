"""IMDB: 50,000 film reviews, half of them praise."""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nacre.core.errors import ArgumentError, FileFormatError, explain
from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.splitting import Split
from nacre.datasets.tar import read_tar

__all__ = ["get_word_index", "load_data"]

PARTS = ("train/neg", "train/pos", "test/neg", "test/pos")
SEPARATORS = b'!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
TO_BLANKS = bytes.maketrans(SEPARATORS, b" " * len(SEPARATORS))
MOST_BYTES = 1 << 30
MOST_FILE_BYTES = 1 << 20
FILE = DataFile(
    folder="imdb",
    name="aclImdb_v1.tar.gz",
    checksum=Checksum("sha256", "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"),
    size=84_125_825,
    mirrors=("https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",),
    homepage="https://ai.stanford.edu/~amaas/data/sentiment/",
)


@dataclass(frozen=True)
class Corpus:
    """The reviews as ranks of words; those of one part follow each other in ``ranks``."""

    vocabulary: tuple[str, ...]  # by rank, from 1
    ranks: np.ndarray  # every review's words, one after another; 0 for a word never trained on
    lengths: np.ndarray  # the number of words of each review
    part_sizes: tuple[int, ...]  # the number of reviews in each of PARTS


def load_data(
    *,
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
) -> tuple[Split, Split]:
    """Load the reviews as lists of word numbers: 25,000 to train on and 25,000 to test with.

    A word's number is its rank by frequency (see :func:`get_word_index`) plus ``index_from``.

    The numbers are made here from the text of the reviews. Keras downloads them ready-made, from
    a file whose order of reviews and exact word list differ; its keywords mean the same here, and
    networks reach the same accuracy, but a network trained on one numbering cannot read the other.

    Args:
        num_words: keep words whose number is below this; all by default.
        skip_top: leave out words whose number is below this.
        maxlen: keep reviews that are shorter than this, the start mark counted.
        seed: the seed of the order of the reviews.
        start_char: the number at the start of each review; None for none.
        oov_char: the number that stands for a word left out; None to drop it.
        index_from: what is added to a word's rank, to leave room for the marks above and for 0,
            which fills up short reviews.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: object arrays of N lists of whole numbers, and
        labels of shape ``(N,)``, int64: 1 for praise, 0 for a pan. A word of the test reviews
        that occurs in no training review is left out of the lists.

    Raises:
        ArgumentError: if no review is shorter than ``maxlen``.
        DownloadError: if the file is nowhere and cannot be downloaded.
        FileFormatError: if the file is damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10000)  # doctest: +SKIP
        >>> len(x_train), max(max(review) for review in x_train) < 10000  # doctest: +SKIP
        (25000, True)

    Reference:
        A. L. Maas and others: Learning word vectors for sentiment analysis. ACL 2011.
    """
    corpus = _read_corpus(FILE.fetch())
    numbers, ends = _without(corpus.ranks, corpus.lengths, corpus.ranks == 0)
    reviews = np.split(numbers + index_from, ends[:-1])
    labels = np.repeat(np.arange(len(PARTS)) % 2, corpus.part_sizes)
    trained = corpus.part_sizes[0] + corpus.part_sizes[1]
    generator = np.random.RandomState(seed)
    orders = [np.arange(trained), np.arange(trained, len(reviews))]
    splits: list[Split] = []
    for order in orders:
        generator.shuffle(order)
        if maxlen is not None:
            marks = 0 if start_char is None else 1
            order = [place for place in order if len(reviews[place]) + marks < maxlen]
            _require_reviews(len(order), maxlen)
        chosen = np.empty(len(order), object)
        chosen[:] = [
            _choose(reviews[place], num_words, skip_top, start_char, oov_char) for place in order
        ]
        splits.append((chosen, labels[order]))
    return splits[0], splits[1]


def get_word_index() -> dict[str, int]:
    """The rank of each word of the training reviews by frequency, from 1.

    Words are what is left between blanks when the text is put in lower case and every punctuation
    mark but the apostrophe is replaced by a blank; equally frequent words are in alphabetical
    order. :func:`load_data` adds ``index_from`` to the rank.

    Raises:
        DownloadError: if the file is nowhere and cannot be downloaded.
        FileFormatError: if the file is damaged.

    Example:
        >>> get_word_index()["the"]  # doctest: +SKIP
        1
    """
    vocabulary = _read_corpus(FILE.fetch()).vocabulary
    return {word: rank for rank, word in enumerate(vocabulary, 1)}


def _choose(
    review: np.ndarray,
    num_words: int | None,
    skip_top: int,
    start_char: int | None,
    oov_char: int | None,
) -> list[int]:
    """Put the start mark before a review, then mark or drop the words that are left out."""
    if start_char is not None:
        review = np.concatenate([[start_char], review])
    kept = review >= skip_top
    if num_words is not None:
        kept &= review < num_words
    return (review[kept] if oov_char is None else np.where(kept, review, oov_char)).tolist()


def _without(
    numbers: np.ndarray, lengths: np.ndarray, dropped: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that are not dropped, and where each review ends among them."""
    kept = np.cumsum(~dropped)
    return numbers[~dropped], np.concatenate([[0], kept])[np.cumsum(lengths)]


def _require_reviews(count: int, maxlen: int) -> None:
    if count == 0:
        raise ArgumentError(
            explain(
                "No review is that short.",
                received=f"maxlen={maxlen}",
                fix="increase maxlen, and cut the reviews with nacre.utils.pad_sequences.",
            )
        )


@functools.lru_cache(maxsize=1)
def _read_corpus(path: Path) -> Corpus:
    """Read the archive and number its words by their rank in the training reviews."""
    identities: defaultdict[str, int] = defaultdict()
    identities.default_factory = identities.__len__  # each new word gets the next number
    parts: dict[str, list[tuple[str, np.ndarray]]] = {part: [] for part in PARTS}
    files = read_tar(
        path,
        lambda name: _part_of(name) in PARTS,
        most_bytes=MOST_BYTES,
        most_file_bytes=MOST_FILE_BYTES,
    )
    for name, content in files:
        words = _words(name, content)
        parts[_part_of(name)].append((name, np.array([identities[w] for w in words], np.int32)))
    if not all(parts.values()):
        raise FileFormatError(
            explain(
                f"{str(path)!r} does not hold the film reviews.",
                expected="text files in " + ", ".join(PARTS),
                received=", ".join(f"{len(found)} in {part}" for part, found in parts.items()),
            )
        )
    reviews = [[review for _, review in sorted(found, key=_name)] for found in parts.values()]
    vocabulary, rank_of = _rank(list(identities), np.concatenate(reviews[0] + reviews[1]))
    every = [review for part in reviews for review in part]
    return Corpus(
        vocabulary=vocabulary,
        ranks=rank_of[np.concatenate(every)],
        lengths=np.array([len(review) for review in every]),
        part_sizes=tuple(len(part) for part in reviews),
    )


def _rank(words: list[str], trained: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The words by falling frequency, and each number's rank, 0 for a word never trained on."""
    counts = np.bincount(trained, minlength=len(words))
    order = sorted(range(len(words)), key=lambda number: (-counts[number], words[number]))
    order = order[: np.count_nonzero(counts)]
    rank_of = np.zeros(len(words), np.int32)
    rank_of[order] = np.arange(1, len(order) + 1)
    return tuple(words[number] for number in order), rank_of


def _part_of(name: str) -> str:
    """The last two folders of a text file's name."""
    return "/".join(name.split("/")[-3:-1]) if name.endswith(".txt") else ""


def _name(entry: tuple[str, np.ndarray]) -> str:
    return entry[0]


def _words(name: str, content: bytes) -> list[str]:
    try:
        return content.translate(TO_BLANKS).decode().lower().split()
    except UnicodeDecodeError:
        raise FileFormatError(
            explain(
                f"The review {name!r} is not UTF-8 text.",
                fix="replace the archive by an intact copy.",
            )
        ) from None
