"""What the character generator's cards say of the texts that we train on: licence, limits, published results.

Sources: the data sets' own pages; nanoGPT's README; Karpathy, Johnson and Fei-Fei 2015 (arXiv:1506.02078), table 1.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Corpus:
    """What a card says of a text that we train on, and of what was published about it."""

    title: str
    manner: str
    language: str
    dataset_id: str
    licence: str
    licence_name: str
    limits: str
    example: str
    paper_results: tuple[tuple[str, str], ...] = ()


CORPORA = {
    "tinyshakespeare": Corpus(
        title="Shakespeare",
        manner="in the manner of Shakespeare's plays",
        language="en",
        dataset_id="tiny_shakespeare",
        licence="Trained on tinyshakespeare alone: 1,115,394 characters of Shakespeare's plays, put together by Andrej "
        "Karpathy for char-rnn (MIT). The text is in the public domain. The split is nanoGPT's: the first 90 % train, "
        "the last 10 % validate, and there is no test split.",
        licence_name="public-domain-text",
        limits="It knows the English of some plays of about 1600 and their layout; a modern prompt is continued as if "
        "it stood in one.",
        example='"ROMEO:\\n"',
        paper_results=(
            ("nanoGPT, Transformer of 10.7 M parameters, same validation split, windows of 256", "1.4697 nats"),
            ("nanoGPT, small Transformer for a CPU, same validation split, windows of 64", "1.88 nats"),
        ),
    ),
    "linux": Corpus(
        title="Linux",
        manner="in the manner of the Linux kernel's C code",
        language="code",
        dataset_id="linux",
        licence="Trained on C files of kernel/ in Linux 6.1, as Debian packages it, all under GPL-2.0, some or later; "
        "the split is by file. What the network writes can repeat stretches of them: treat it, and the weights, as "
        "GPL-2.0.",
        licence_name="gpl-2.0",
        limits="It writes what looks like C and does not compile: names come from nowhere, types do not fit, and a "
        "comment has nothing to do with the code below it. Never use it as code.",
        example='"static int "',
        paper_results=(
            ("Karpathy et al. 2015, LSTM, their own kernel sample and split: near, not comparable", "0.84 nats"),
            ("Karpathy et al. 2015, 20-gram, their own kernel sample and split: near, not comparable", "0.889 nats"),
        ),
    ),
    "jokes": Corpus(
        title="Jokes",
        manner="in the manner of short jokes from the web",
        language="en",
        dataset_id="short-jokes",
        licence="Trained on 14,336 short jokes that others gathered on the web (amoudgl/short-jokes-dataset and "
        "taivop/joke-dataset on GitHub), filtered by keywords. The first makes no statement on the texts' rights, the "
        "second asks for research use only: so use this model for research only. The jokes are not part of it.",
        licence_name="research-only",
        limits="Its jokes may insult: the texts that it learnt from were filtered, what it writes is filtered again, "
        "and neither filter is complete. It has also learnt stale stereotypes, and seldom makes a point.",
        example='"What do you call "',
    ),
}
"""By the name of the folder that holds the text."""


def corpus_called(name: str) -> Corpus:
    """Return what is known of a corpus; of one that is not ours little more than its name."""
    return CORPORA.get(name) or Corpus(
        title=name,
        manner=f"in the manner of {name}",
        language="und",
        dataset_id=name,
        licence=f"Trained on {name}, a text of the trainer's own; the licence of that text applies.",
        licence_name="licence-of-the-text",
        limits="Whatever it is given, it goes on as that text would.",
        example='"The "',
    )
