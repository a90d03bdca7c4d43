"""SentencePiece tokenizer with one vocabulary for source and target."""

from transformers import SentencePieceBackend


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

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Append the end of the sentence; pairs are not used."""
        return [*token_ids_0, self.eos_token_id]
