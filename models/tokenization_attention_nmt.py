"""SentencePiece tokenizer with one vocabulary for source and target, which can also guess a text's language."""

import math
from collections.abc import Iterable, Mapping

from transformers import SentencePieceBackend


def language_token(language: str) -> str:
    """Return the token that asks for a language (Johnson et al. 2016, section 3), such as "<2de>"."""
    return f"<2{language}>"


def written_counts(counts: Mapping[int, int]) -> str:
    """Write how often pieces were counted on one line, for tokenizer_config.json: "4:1533 7:20"."""
    return " ".join(f"{piece}:{count}" for piece, count in sorted(counts.items()))


class AttentionNmtTokenizer(SentencePieceBackend):
    """Cuts text into the pieces of `spm.model` and ends it with the end-of-sentence piece."""

    vocab_files_names = {"vocab_file": "spm.model"}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | None = None,
        pad_token: str = "<pad>",
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        unk_token: str = "<unk>",
        split_special_tokens: bool = True,  # a "</s>" that somebody types is text
        piece_counts: dict[str, str] | None = None,
        **kwargs,
    ):
        """Load the vocabulary.

        Args:
            vocab_file: `spm.model`.
            pad_token: of padding.
            bos_token: of a translation's start.
            eos_token: of a sentence's end.
            unk_token: of what no piece covers.
            split_special_tokens: whether a special token that somebody types is text.
            piece_counts: for each language how often its training text has each piece, as `written_counts` writes it;
                None for a tokenizer that does not guess languages.
            **kwargs: transformers' own.
        """
        if piece_counts:
            kwargs["piece_counts"] = piece_counts  # what transformers is given, it saves
        super().__init__(
            vocab_file=vocab_file,
            pad_token=pad_token,
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            split_special_tokens=split_special_tokens,
            **kwargs,
        )
        self._counts = {
            language: {int(piece): int(count) for piece, count in (one.split(":") for one in counts.split())}
            for language, counts in (piece_counts or {}).items()
        }

    @property
    def counted_languages(self) -> tuple[str, ...]:
        """The languages that `guess_language` knows."""
        return tuple(self._counts)

    def set_piece_counts(self, counts: Mapping[str, Mapping[int, int]]) -> None:
        """Let it guess languages from now on, and when it is saved and loaded again.

        Args:
            counts: for each language how often its training text has each piece.
        """
        self._counts = {language: dict(pieces) for language, pieces in counts.items()}
        self.init_kwargs["piece_counts"] = {language: written_counts(pieces) for language, pieces in counts.items()}

    def guess_language(self, text: str, languages: Iterable[str] | None = None) -> tuple[str, float]:
        """Guess which language a text is written in, by naive Bayes over its pieces.

        Every language is as likely beforehand; a language's piece has the probability
        (count + 1) / (all counts + vocabulary size). Unknown pieces say nothing.

        Args:
            text: a sentence.
            languages: those that it may be, all of them counted; None: every one that is.

        Returns:
            The language, and its probability among them; pieces are no independent witnesses, so it is too sure.

        Raises:
            ValueError: where nothing was counted.
        """
        languages = list(self._counts if languages is None else languages)
        if not languages or not set(languages) <= self._counts.keys():
            raise ValueError(f"Pieces were counted of {list(self._counts)}; cannot guess among {languages}.")
        pieces = [piece for piece in self.pieces_of(text) if piece != self.unk_token_id]
        scores = []
        for language in languages:
            counts = self._counts[language]
            total = sum(counts.values()) + self.vocab_size
            scores.append(sum(math.log((counts.get(piece, 0) + 1) / total) for piece in pieces))
        best = max(scores)
        return languages[scores.index(best)], 1 / math.fsum(math.exp(score - best) for score in scores)

    def pieces_of(self, text: str, **options) -> list[int]:
        """Cut a text into pieces, and add nothing: as calling the tokenizer does, in a tenth of its time.

        Only a special token that somebody types, and that no piece covers, is text here and the token there.

        Args:
            text: any.
            **options: sentencepiece's, such as `enable_sampling`.
        """
        return self.sp_model.encode(text, out_type=int, **options)

    def unknown_parts(self, text: str) -> list[str]:
        """List the parts of a text that no piece covers, each once."""
        ids = self.pieces_of(text)
        if self.unk_token_id not in ids:
            return []
        pieces = self.sp_model.encode(text, out_type=str)
        parts = [piece.strip("▁") for piece, number in zip(pieces, ids, strict=True) if number == self.unk_token_id]
        return [part for part in dict.fromkeys(parts) if part]

    def encode_source(self, text: str, target_language: str | None = None, **options) -> list[int]:
        """Cut a source into pieces and end it.

        Args:
            text: a sentence.
            target_language: the one to be written, such as "de", whose token then stands first; None for a network
                that knows no other.
            **options: sentencepiece's, such as `enable_sampling`.

        Raises:
            ValueError: where the vocabulary has no token of that language.
        """
        pieces = [*self.pieces_of(text, **options), self.eos_token_id]
        if target_language is None:
            return pieces
        token = self.sp_model.piece_to_id(language_token(target_language))
        if token == self.unk_token_id:
            raise ValueError(f"This vocabulary has no token for the language {target_language!r}.")
        return [token, *pieces]

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Append the end of the sentence; pairs are not used."""
        return [*token_ids_0, self.eos_token_id]
