"""The words of stories and questions, and the answers: a tokenizer that transformers loads with no code of ours."""

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from .babi_stories import Example

PADDING, UNKNOWN = "<pad>", "<unk>"


def build_tokenizer(examples: list[Example]) -> PreTrainedTokenizerFast:
    """Collect the words of stories and questions: lower case, without punctuation, split at spaces.

    An answer that is no such word has an entry of its own, `<answer>`, which no text is turned into.
    """
    normalizer = _normalizer()
    texts = {sentence for example in examples for sentence in (*example.sentences, example.question)}
    words = {word for text in texts for word in normalizer.normalize_str(text).split()}
    others = {f"<{example.answer.lower()}>" for example in examples if example.answer.lower() not in words}
    entries = [PADDING, UNKNOWN, *sorted(words), *sorted(others)]
    tokenizer = Tokenizer(models.WordLevel({entry: index for index, entry in enumerate(entries)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids"],
    )


def answer_token_id(tokenizer: PreTrainedTokenizerFast, answer: str) -> int:
    """Return the word that stands for an answer."""
    vocabulary, word = tokenizer.get_vocab(), answer.lower()
    return vocabulary[word] if word in vocabulary else vocabulary[f"<{word}>"]


def answers_of(examples: list[Example]) -> dict[int, str]:
    """Number the answers in the order of the alphabet."""
    return dict(enumerate(sorted({example.answer for example in examples})))


def words_as_answers(tokenizer: PreTrainedTokenizerFast, examples: list[Example]) -> dict[int, str]:
    """Number every word as an answer, as the paper does; an answer of the data is spelt as there."""
    spellings = {answer_token_id(tokenizer, answer): answer for answer in answers_of(examples).values()}
    words = tokenizer.convert_ids_to_tokens(range(2, len(tokenizer)))  # after the padding and the unknown word
    return {number: spellings.get(number + 2, word) for number, word in enumerate(words)}


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex(r"[^\p{L}\p{N}']+"), " ")])
