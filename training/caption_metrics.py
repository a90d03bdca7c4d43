"""Scores of captions against several references each, as the captioning papers compute them: pycocoevalcap's.

Java runs the tokeniser and METEOR. Where there is none, captions are tokenised here, METEOR is left out, and each
signature names the tokeniser that was used. SPICE is left out everywhere: pycocoevalcap fetches its parser's models,
Stanford CoreNLP 3.6.0, from Stanford's site at first use, and no Python package carries them.
"""

import subprocess
import threading
from collections.abc import Callable
from importlib.metadata import version

from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from .metric import Metric

PUNCTUATION = ".?!,:;-'`\"()[]{}"
"""What our own tokeniser takes off both ends of a word."""


def caption_scores(hypotheses: list[str], references: list[list[str]]) -> list[Metric]:
    """Score a split; whatever needs Java is there only where Java is.

    BLEU stands twice, with its brevity penalty and without: Xu et al. 2015 report it without.

    Args:
        hypotheses: a caption for each picture, as text.
        references: for each picture, what people wrote, as text; two people or ten.

    Returns:
        BLEU-1 to BLEU-4, the same without brevity penalty, METEOR and ROUGE-L, all in percent, and CIDEr from 0 to 10.

    Raises:
        ValueError: when there is nothing to score, or a picture lacks its caption or its references.
        RuntimeError: when a Java process breaks off.
    """
    _check(hypotheses, references)
    with_java = java_runs()
    tokenise = tokenise_with_java if with_java else tokenise_without_java
    found, expected = _tokenise_all(tokenise, hypotheses, references)
    counts = {len(texts) for texts in references}
    common = (
        f"nrefs:{counts.pop() if len(counts) == 1 else 'var'}|case:lc|"
        f"tok:{'ptb-corenlp-3.4.1' if with_java else 'own'}-no-punctuation"
    )
    package = f"version:pycocoevalcap-{version('pycocoevalcap')}"

    metrics = _bleu(found, expected, common, package)
    if with_java:
        signature = f"{common}|norm:yes|{package}|meteor:1.5"
        metrics.append(Metric("meteor", "METEOR", _percent(_meteor(found, expected)), signature))
    value = Rouge().compute_score(expected, found)[0]
    metrics.append(Metric("rouge", "ROUGE-L", _percent(value), f"{common}|beta:1.2|{package}"))
    # What pycocoevalcap calls CIDEr is the paper's CIDEr-D: clipped counts, a length penalty, no stemming.
    value = Cider().compute_score(expected, found)[0]
    signature = f"{common}|variant:CIDEr-D|sigma:6|df:these references|{package}"
    return [*metrics, Metric("cider", "CIDEr", round(float(value), 4), signature)]


def java_runs() -> bool:
    """Tell whether there is a Java to run; on macOS the mere command proves nothing."""
    try:
        return subprocess.run(["java", "-version"], capture_output=True).returncode == 0
    except OSError:
        return False


def tokenise_with_java(texts: list[str]) -> list[str]:
    """Tokenise as the Penn Treebank does, lower-cased, and drop punctuation; brackets stay, as in "-lrb-"."""
    # A character that ends a line for Java would shift all later captions.
    lines = [{"caption": " ".join(text.split())} for text in texts]
    tokenised = PTBTokenizer().tokenize({0: lines})[0]
    if len(tokenised) != len(texts):
        raise RuntimeError(f"Java's tokeniser broke off: it returned {len(tokenised)} of {len(texts)} captions.")
    return tokenised


def tokenise_without_java(texts: list[str]) -> list[str]:
    """Split at spaces, lower-cased, and take punctuation off the words; "don't" stays one word."""
    return [" ".join(filter(None, (word.strip(PUNCTUATION) for word in text.lower().split()))) for text in texts]


def _check(hypotheses: list[str], references: list[list[str]]) -> None:
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(
            f"A caption is scored against its picture's references; got {len(hypotheses)} captions and the references "
            f"of {len(references)} pictures."
        )
    if [] in references:
        raise ValueError(f"Picture {references.index([])} has no references; leave out pictures without captions.")


def _tokenise_all(
    tokenise: Callable[[list[str]], list[str]], hypotheses: list[str], references: list[list[str]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Tokenise everything in one go, since Java starts slowly; return hypotheses and references by picture."""
    lines = iter(tokenise([*hypotheses, *(text for texts in references for text in texts)]))
    found = {index: [next(lines)] for index in range(len(hypotheses))}
    return found, {index: [next(lines) for _ in texts] for index, texts in enumerate(references)}


def _bleu(found: dict[int, list[str]], expected: dict[int, list[str]], common: str, package: str) -> list[Metric]:
    """Score the corpus with the closest reference's length in the brevity penalty, then without that penalty."""
    plain, unpenalised = BleuScorer(), BleuScorer(special_reflen=0)
    for index, [hypothesis] in found.items():
        for scorer in (plain, unpenalised):
            scorer += (hypothesis, expected[index])
    metrics = []
    for scorer, penalty, suffix in ((plain, "closest", ""), (unpenalised, "none", ", no brevity penalty")):
        values, _ = scorer.compute_score(option="closest")
        metrics += [
            Metric("bleu", f"BLEU-{order}{suffix}", _percent(value), f"{common}|bp:{penalty}|{package}")
            for order, value in enumerate(values, start=1)
        ]
    return metrics


def _meteor(found: dict[int, list[str]], expected: dict[int, list[str]]) -> float:
    scorer = Meteor()
    # Its destructor takes this lock, which an exception leaves locked: with a plain lock it would wait forever.
    scorer.lock = threading.RLock()
    try:
        return scorer.compute_score(expected, found)[0]
    except (OSError, ValueError) as error:
        raise RuntimeError("METEOR's Java process broke off; it asks for 2 GB of memory.") from error


def _percent(value: float) -> float:
    return round(100 * float(value), 2)
