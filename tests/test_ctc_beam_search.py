"""Prefix beam search against the enumeration of all paths, and against pyctcdecode."""

import functools
import itertools
import math
import random
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

import pipelines.ctc_beam_search as module
from models.ctc import collapse
from pipelines.ctc_beam_search import UNKNOWN_WORD_OFFSET, BeamSearch, Hypothesis, SearchOptions
from pipelines.ctc_confidence import WordSpan
from pipelines.word_ngrams import WordNGrams

pytest.importorskip("ctc_beam_decoder", reason="beam search needs it")

LABELS = ["<pad>", "|", "A", "B"]
ALPHABET = ["<pad>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
MODEL = WordNGrams(
    {
        ("<s>",): (-99.0, -0.3),
        ("</s>",): (-0.6, 0.0),
        ("<unk>",): (-1.2, 0.0),
        ("A",): (-0.5, -0.2),
        ("AB",): (-0.9, -0.1),
        ("<s>", "A"): (-0.3, 0.0),
        ("A", "</s>"): (-0.4, 0.0),
        ("AB", "A"): (-0.6, 0.0),
        ("A", "AB"): (-0.8, 0.0),
    }
)
EXACT = functools.partial(SearchOptions, beam_width=100_000, num_results=100_000, least_label_log_probability=-math.inf)


def random_log_probabilities(steps: int, vocabulary: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(steps, vocabulary, generator=generator, dtype=torch.float64)).log_softmax(dim=1)


def peaky_log_probabilities(steps: int, seed: int) -> Tensor:
    """Make what a trained network says: mostly one label a step, mostly the blank, now and then two alike."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(steps, len(ALPHABET), generator=generator)
    for second in (False, True):
        chosen = torch.randint(0, len(ALPHABET), (steps,), generator=generator)
        chosen[torch.rand(steps, generator=generator) < 0.5] = 0
        chosen[torch.rand(steps, generator=generator) < 0.1] = 1
        logits[torch.arange(steps), chosen] += 7.0 if second else 8.0
    return logits.log_softmax(dim=1)


def spelled(text: str, steps_of_a_label: int = 2) -> Tensor:
    """Make log-probabilities of a text: each label for one step, then blanks."""
    indices = [ALPHABET.index("|" if character == " " else character) for character in text]
    log_probabilities = torch.full((len(text) * steps_of_a_label, len(ALPHABET)), 1e-5)
    log_probabilities[:, 0] = 1.0
    for position, index in enumerate(indices):
        log_probabilities[position * steps_of_a_label, [0, index]] = torch.tensor([1e-5, 1.0])
    return log_probabilities.log().log_softmax(dim=1)


def all_texts(log_probabilities: Tensor, labels: list[str] = LABELS, blank: int = 0) -> dict[str, float]:
    """Sum the paths of every text, one by one."""
    steps, vocabulary = log_probabilities.shape
    sums: dict[str, float] = {}
    for path in itertools.product(range(vocabulary), repeat=steps):
        letters = "".join(labels[label] for label in collapse(path, blank))
        text = " ".join(letters.replace("|", " ").split())
        score = sum(log_probabilities[step, label].item() for step, label in enumerate(path))
        sums[text] = sums.get(text, 0.0) + math.exp(score)
    return {text: math.log(total) for text, total in sums.items()}


def assert_found(found: list[Hypothesis], expected: dict[str, float]) -> None:
    """Compare all hypotheses with all texts, whose scores must say the same order."""
    assert {hypothesis.text: hypothesis.score for hypothesis in found} == pytest.approx(expected, abs=2e-5)
    assert len(found) == len(expected)
    scores = [hypothesis.score for hypothesis in found]
    assert scores == sorted(scores, reverse=True)


def language_model_score(text: str) -> float:
    words = text.split()
    return MODEL.log_probability(words) + UNKNOWN_WORD_OFFSET * sum(word not in {"A", "AB"} for word in words)


@pytest.mark.parametrize(("steps", "seed"), [(4, 0), (5, 1), (6, 2)])
def test_every_text_has_the_probability_of_all_its_alignments(steps, seed):
    log_probabilities = random_log_probabilities(steps, seed=seed)
    found = BeamSearch(LABELS, 0, "|").search(log_probabilities, EXACT())
    assert_found(found, all_texts(log_probabilities))
    assert sum(math.exp(hypothesis.score) for hypothesis in found) == pytest.approx(1, abs=1e-5)


def test_the_blank_and_the_delimiter_may_stand_anywhere():
    labels = ["A", "-", "B", "*"]
    log_probabilities = random_log_probabilities(5)
    found = BeamSearch(labels, 3, "-").search(log_probabilities, EXACT())
    assert_found(found, all_texts(log_probabilities, ["A", "|", "B", "*"], blank=3))


@pytest.mark.parametrize("weight", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("bonus", [0.0, 1.3, -0.4])
def test_the_language_model_and_the_bonus_are_added(weight, bonus):
    log_probabilities = random_log_probabilities(5, seed=3)
    options = EXACT(language_model_weight=weight, word_bonus=bonus)
    expected = {
        text: acoustic + weight * language_model_score(text) + bonus * len(text.split())
        for text, acoustic in all_texts(log_probabilities).items()
    }
    found = BeamSearch(LABELS, 0, "|", MODEL).search(log_probabilities, options)
    assert_found(found, expected)
    for hypothesis in found:
        assert hypothesis.parts["language_model"] == pytest.approx(weight * language_model_score(hypothesis.text))
        assert hypothesis.score == pytest.approx(sum(hypothesis.parts.values()))


@pytest.mark.parametrize("model", [None, MODEL])
def test_each_hot_word_counts_once_for_each_time_it_is_said(model):
    log_probabilities = random_log_probabilities(5, seed=4)
    options = EXACT(hot_words=("B AA", "B"), hot_word_weight=1.5, language_model_weight=0.7)
    expected = {
        text: acoustic
        + (0.7 * language_model_score(text) if model else 0.0)
        + 1.5 * sum(word in {"B", "AA"} for word in text.split())
        for text, acoustic in all_texts(log_probabilities).items()
    }
    assert_found(BeamSearch(LABELS, 0, "|", model).search(log_probabilities, options), expected)


@pytest.mark.parametrize("model", [None, MODEL])
@pytest.mark.parametrize("words", [{"A", "BA"}, {"AB"}, set()])
def test_nothing_outside_the_lexicon_is_found_and_all_inside_is(model, words):
    log_probabilities = random_log_probabilities(5, seed=5)
    options = EXACT(lexicon=frozenset(words), word_bonus=0.3, hot_words=("BA", "B"), hot_word_weight=2.0)
    expected = {
        text: acoustic
        + (0.5 * language_model_score(text) if model else 0.0)
        + 0.3 * len(text.split())
        + 2.0 * text.split().count("BA")
        for text, acoustic in all_texts(log_probabilities).items()
        if words.issuperset(text.split())
    }
    assert_found(BeamSearch(LABELS, 0, "|", model).search(log_probabilities, options), expected)


@pytest.mark.parametrize("lexicon", [None, frozenset({"A", "B"})])
def test_the_parts_say_what_the_decoder_says_where_the_decoder_is_right(lexicon):
    """That is where no alignment ends with a delimiter; B is a word of the lexicon that the model does not know."""
    log_probabilities = random_log_probabilities(6, seed=6)
    log_probabilities[-1] = torch.tensor([-40.0, -40.0, -0.7, -0.7])
    hot_words = {"hot_words": ("B",), "hot_word_weight": 1.5}
    options = EXACT(language_model_weight=0.7, word_bonus=0.4, lexicon=lexicon, **hot_words)
    search = BeamSearch(LABELS, 0, "|", MODEL)
    ours = {hypothesis.text: hypothesis for hypothesis in search.search(log_probabilities, options)}
    beams = search._decoder(0.7, 0.4, lexicon).decode_beams(
        log_probabilities.numpy(), 100_000, -1e30, -20.0, hotwords=["B"], hotword_weight=1.5
    )
    theirs = [beam for beam in beams if lexicon is None or lexicon.issuperset(beam[0].split())]
    assert len(theirs) > 10
    for text, _, _, acoustic, combined in theirs:
        assert ours[text].parts["acoustic"] == pytest.approx(acoustic, abs=1e-4)
        assert ours[text].score == pytest.approx(combined, abs=1e-4)


def test_the_decoder_still_scores_a_last_delimiter_as_an_unknown_word():
    """What our own scores are for; if this fails, the decoder has been mended."""
    decoder = BeamSearch(LABELS, 0, "|", MODEL)._decoder(1.0, 0.0, None)
    log_probabilities = torch.tensor([[0.01, 0.01, 0.97, 0.01], [0.90, 0.08, 1e-9, 0.02]]).log()
    scores = {
        text: combined - acoustic
        for text, _, _, acoustic, combined in decoder.decode_beams(log_probabilities.numpy(), 100, -1e30, -20.0)
    }
    assert scores["A"] < MODEL.log_probability(["A"]) + UNKNOWN_WORD_OFFSET


@pytest.mark.parametrize("model", [None, MODEL])
def test_a_narrow_beam_keeps_to_the_lexicon_too(model):
    search = BeamSearch(ALPHABET, 0, "|", model)
    options = SearchOptions(beam_width=4, num_results=4, lexicon=frozenset({"YES", "NO", "A"}))
    for seed in range(5):
        for hypothesis in search.search(peaky_log_probabilities(40, seed), options):
            assert {"YES", "NO", "A"}.issuperset(hypothesis.text.split())


def test_the_lexicon_corrects_a_word():
    search = BeamSearch(ALPHABET, 0, "|")
    assert search.search(spelled("YEZ NO"))[0].text == "YEZ NO"
    options = SearchOptions(lexicon=frozenset({"YES", "NO", "YESTERDAY"}))
    assert search.search(spelled("YEZ NO"), options)[0].text == "YES NO"


def test_a_part_of_a_word_is_no_word_and_nothing_that_fits_is_an_empty_text():
    log_probabilities = spelled("YE")[:2]  # two steps are too few for YES
    (found,) = BeamSearch(ALPHABET, 0, "|").search(log_probabilities, SearchOptions(lexicon=frozenset({"YES"})))
    assert found.words == () and found.text == ""
    expected = log_probabilities[:, :2].double().logsumexp(dim=1).sum().item()
    assert found.parts["acoustic"] == pytest.approx(expected, abs=1e-4)


def test_a_hot_word_is_chosen_where_it_is_nearly_said():
    log_probabilities = spelled("YEZ")
    log_probabilities[4, ALPHABET.index("S")] = -3.0
    search = BeamSearch(ALPHABET, 0, "|")
    assert search.search(log_probabilities)[0].text == "YEZ"
    found = search.search(log_probabilities, SearchOptions(hot_words=("YES",)))[0]
    assert found.text == "YES" and found.parts["hot_words"] == 10.0


def test_a_hot_word_outside_the_lexicon_takes_no_place_in_the_beam():
    options = SearchOptions(beam_width=1, lexicon=frozenset({"YES"}), hot_words=("YEZ",), hot_word_weight=50.0)
    log_probabilities = spelled("YEZ")
    log_probabilities[4, ALPHABET.index("S")] = -3.0
    assert BeamSearch(ALPHABET, 0, "|").search(log_probabilities, options)[0].text == "YES"


def test_without_steps_nothing_is_said():
    options = SearchOptions(num_results=5, language_model_weight=0.7)
    (found,) = BeamSearch(LABELS, 0, "|", MODEL).search(torch.empty(0, 4), options)
    assert found.words == ()
    assert found.parts == {
        "acoustic": 0.0,
        "language_model": pytest.approx(0.7 * MODEL.log_probability([])),
        "word_bonus": 0.0,
        "hot_words": 0.0,
    }


def test_words_have_their_steps():
    (found,) = BeamSearch(ALPHABET, 0, "|").search(spelled("YES NO", steps_of_a_label=3))
    assert found.words == (WordSpan("YES", 0, 7), WordSpan("NO", 12, 16))


def test_a_long_recording_is_searched_in_pieces(monkeypatch):
    text = " ".join(random.Random(0).choices(["YES", "NO", "A", "AB"], k=60))
    log_probabilities = spelled(text)
    search = BeamSearch(ALPHABET, 0, "|", MODEL)
    options = SearchOptions(num_results=3, least_label_log_probability=-15.0)
    whole = search.search(log_probabilities, options)
    monkeypatch.setattr(module, "LONGEST_PIECE", 100)
    assert len(list(search._pieces(log_probabilities))) > 3
    found = search.search(log_probabilities, options)
    assert found[0].text == whole[0].text == text
    assert all(abs(word.start - same.start) <= 1 for word, same in zip(found[0].words, whole[0].words, strict=True))
    assert found[0].parts == pytest.approx(whole[0].parts, abs=1e-3)


def test_pieces_give_no_text_twice(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PIECE", 4)
    found = BeamSearch(LABELS, 0, "|").search(random_log_probabilities(9), SearchOptions(num_results=100))
    texts = [hypothesis.text for hypothesis in found]
    assert len(set(texts)) == len(texts) > 10
    assert found == sorted(found, key=lambda hypothesis: -hypothesis.score)


def test_a_label_may_be_impossible_but_not_every_label():
    search, impossible = BeamSearch(LABELS, 0, "|"), -math.inf
    assert search.search(torch.tensor([[impossible, impossible, 0.0, impossible]]))[0].text == "A"
    for row in ([impossible] * 4, [math.nan, 0.0, 0.0, 0.0], [math.inf, 0.0, 0.0, 0.0]):
        with pytest.raises(ValueError, match="must be numbers, in every step one above minus infinity"):
            search.search(torch.tensor([row]))


def test_what_looks_like_probabilities_is_not_taken_for_them():
    """The decoder guesses by the sum of a row; logits that sum to 1 must not fool it."""
    logits = torch.tensor([[2.0, -3.0, 1.5, 0.5], [0.0, 0.0, 4.0, -3.0]])
    assert logits.sum(dim=1).tolist() == [1, 1]
    found = BeamSearch(LABELS, 0, "|").search(logits, EXACT())
    assert_found(found, all_texts(logits.double().log_softmax(dim=1)))


@pytest.mark.parametrize("shape", [(4,), (2, 3), (1, 2, 4)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(steps, 4\), a column for each label; got \("):
        BeamSearch(LABELS, 0, "|").search(torch.zeros(shape))


@pytest.mark.parametrize("word", ["a", "É", "A-B", "\x00", "|"])
def test_words_that_no_label_writes_are_refused(word):
    search = BeamSearch(LABELS, 0, "|")
    for options in (SearchOptions(hot_words=("A " + word,)), SearchOptions(lexicon=frozenset({"A", word}))):
        with pytest.raises(ValueError, match="has characters that no label writes"):
            search.search(torch.zeros(2, 4), options)


@pytest.mark.parametrize("word", ["", "A B"])
def test_a_lexicon_has_single_words(word):
    with pytest.raises(ValueError, match=r"lexicon: .* has characters that no label writes"):
        BeamSearch(LABELS, 0, "|").search(torch.zeros(2, 4), SearchOptions(lexicon=frozenset({word})))


def test_blank_hot_words_are_none():
    found = BeamSearch(LABELS, 0, "|").search(random_log_probabilities(3), EXACT(hot_words=("", "  ")))
    assert all(hypothesis.parts["hot_words"] == 0 for hypothesis in found)


@pytest.mark.parametrize(
    ("labels", "blank", "delimiter"),
    [
        ([], 0, "|"),
        (LABELS, 4, "|"),
        (LABELS, 0, " "),
        (LABELS, 1, "|"),
        ([*LABELS, "A"], 0, "|"),
        ([*LABELS, "<unk>"], 0, "|"),
        ([*LABELS, ""], 0, "|"),
        ([*LABELS, " "], 0, "|"),
        ([*LABELS, "▁"], 0, "|"),
        ([*LABELS, "##S"], 0, "|"),
    ],
)
def test_labels_that_cannot_be_searched_are_refused(labels, blank, delimiter):
    with pytest.raises(ValueError, match="Expected labels"):
        BeamSearch(labels, blank, delimiter)


def test_a_language_model_that_does_not_go_with_the_labels_is_refused():
    unigrams = {("<s>",): (-99.0, 0.0), ("</s>",): (-0.3, 0.0), ("A",): (-0.3, 0.0)}
    with pytest.raises(ValueError, match="of order 2 at least"):
        BeamSearch(LABELS, 0, "|", WordNGrams(unigrams))
    lower_case = {("<s>", "</s>"): (-0.3, 0.0), ("a",): (-0.3, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-0.3, 0.0)}
    with pytest.raises(ValueError, match="upper and lower case"):
        BeamSearch(LABELS, 0, "|", WordNGrams(lower_case))


@pytest.mark.parametrize(
    "options",
    [
        {"beam_width": 0},
        {"num_results": 0},
        {"language_model_weight": -1.0},
        {"language_model_weight": math.nan},
        {"word_bonus": math.inf},
        {"hot_word_weight": math.nan},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SearchOptions(**options)


def test_without_the_package_people_are_told_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctc_beam_decoder", None)
    with pytest.raises(ImportError, match="pip install ctc-beam-decoder"):
        BeamSearch(LABELS, 0, "|").search(torch.zeros(2, 4))


def test_decoders_are_kept_and_not_too_many_of_them():
    search = BeamSearch(LABELS, 0, "|", MODEL)
    log_probabilities = random_log_probabilities(4)
    for _ in range(2):
        for hot_words in ((), ("A",)):
            search.search(log_probabilities, SearchOptions(hot_words=hot_words))
    assert search._decoder.cache_info().currsize == 1
    for bonus in range(12):
        search.search(log_probabilities, SearchOptions(word_bonus=bonus))
    assert search._decoder.cache_info().currsize == module.NUM_CACHED_DECODERS


def test_threads_share_a_search():
    search = BeamSearch(ALPHABET, 0, "|", MODEL)
    inputs = [peaky_log_probabilities(60, seed) for seed in range(6)]
    options = [SearchOptions(num_results=5, word_bonus=bonus) for bonus in (0.0, 1.0)]
    jobs = list(itertools.product(inputs, options)) * 3
    alone = [search.search(*job) for job in jobs]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda job: search.search(*job), jobs))
    assert together == alone


@pytest.fixture
def reference_decoder(tmp_path) -> Callable:
    """Return what builds pyctcdecode's decoder; it is not installed everywhere, because it asks for numpy 1."""
    pyctcdecode = pytest.importorskip("pyctcdecode")

    def build(model: WordNGrams | None, weight: float, bonus: float):
        if model is None:
            return pyctcdecode.build_ctcdecoder(ALPHABET)
        pytest.importorskip("kenlm")
        model.write(tmp_path / "words.arpa")
        return pyctcdecode.build_ctcdecoder(
            ALPHABET,
            str(tmp_path / "words.arpa"),
            sorted(model.vocabulary),
            alpha=weight,
            beta=bonus,
            unk_score_offset=UNKNOWN_WORD_OFFSET / math.log(10),
        )

    return build


@pytest.mark.parametrize("hot_words", [(), ("A", "BE", "THE")])
@pytest.mark.parametrize("model", [None, MODEL])
def test_pyctcdecode_finds_the_same(reference_decoder, model, hot_words):
    options = SearchOptions(
        beam_width=16, num_results=16, word_bonus=0.5 if model else 0.0, hot_words=hot_words, hot_word_weight=4.0
    )
    search, decoder = BeamSearch(ALPHABET, 0, "|", model), reference_decoder(model, 0.5, 0.5)
    for seed in range(6):
        log_probabilities = peaky_log_probabilities(60, seed)
        log_probabilities[-2:] = spelled("A")  # not a delimiter, which pyctcdecode scores as an unknown word there
        ours = {hypothesis.text: hypothesis for hypothesis in search.search(log_probabilities, options)}
        theirs = decoder.decode_beams(
            log_probabilities.numpy(), 16, -1e30, -5.0, hotwords=hot_words, hotword_weight=4.0
        )
        assert set(ours) == {text for text, *_ in theirs}
        for text, _, words, acoustic, combined in theirs:
            assert ours[text].parts["acoustic"] == pytest.approx(acoustic, abs=1e-3)
            assert ours[text].score == pytest.approx(combined, abs=1e-3)
            assert [span.word for span in ours[text].words] == [word for word, _ in words]
