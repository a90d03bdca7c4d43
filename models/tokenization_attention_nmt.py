"""SentencePiece tokenizer with one vocabulary for source and target."""

from transformers import SentencePieceBackend


def language_token(language: str) -> str:
    """Return the token that asks for a language (Johnson et al. 2016, section 3), such as "<2de>"."""
    return f"<2{language}>"


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
        **kwargs,
    ):
        super().__init__(
            vocab_file=vocab_file,
            pad_token=pad_token,
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            split_special_tokens=split_special_tokens,
            **kwargs,
        )

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
        pieces = [*self.sp_model.encode(text, out_type=int, **options), self.eos_token_id]
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
