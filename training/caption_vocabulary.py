"""The captioner's words: a tokenizer that transformers loads with no code of ours."""

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ["<pad>", "<s>", "</s>", "<unk>"]


def train_tokenizer(captions: list[str], min_word_count: int) -> PreTrainedTokenizerFast:
    """Collect the words of captions: lower case, without punctuation, split at spaces."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[^\p{L}\p{N}'&-]+"), " "),
            normalizers.Replace(Regex(r"(?<![^ ])['&-]+(?![^ ])"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(
        min_frequency=min_word_count, special_tokens=SPECIAL_TOKENS, show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    pad, start, end, unknown = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=start,
        eos_token=end,
        unk_token=unknown,
        clean_up_tokenization_spaces=True,
    )


def encode_captions(
    tokenizer: PreTrainedTokenizerFast, captions: list[list[str]], max_words: int
) -> list[list[list[int]]]:
    """Turn captions into word ids, the end included."""
    return [
        tokenizer(texts, truncation=True, max_length=max_words + 1)["input_ids"] if texts else [] for texts in captions
    ]


def normalise(tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    """Write a text as the model sees it: lower case, no punctuation."""
    backend = tokenizer.backend_tokenizer
    return " ".join(backend.normalizer.normalize_str(text).split())
