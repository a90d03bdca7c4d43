"""Configuration of the End-To-End Memory Network (Sukhbaatar et al. 2015, arXiv:1503.08895)."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_checks import check_choice, check_positive


@strict
class Memn2nConfig(PreTrainedConfig):
    """Shape of a network that hops through the sentences of a story; `id2label` names its answers."""

    model_type = "memn2n"

    vocab_size: int = 160
    """Words, the padding included and, with adjacent tying, what stands for the answers."""
    embedding_size: int = 50
    """d of the paper: width of an embedded sentence."""
    num_hops: int = 3
    """K of the paper."""
    memory_size: int = 50
    """Sentences that the network was trained to hold; older ones are taken to be as old as the oldest of these."""
    sentence_encoding: str = "position"
    """"position" (section 4.1, PE), "fixed_position", the form of the authors' released code, or "bag_of_words"."""
    longest_sentence: int = 12
    """Words, and one for the age; J of "fixed_position", the same for all sentences."""
    null_memories: bool = False
    """Whether a hop can look at nothing: memories without a sentence keep their share of the softmax, with a score of
    0, as in the authors' released code. What is read from them is 0."""
    temporal_encoding: bool = True
    """Whether a sentence's age, counted from the newest, is embedded too (section 4.1)."""
    weighted_ages: bool = False
    """Whether an age's embedding is weighted as a sentence's last word, as in the authors' released code."""
    tying: str = "adjacent"
    """"adjacent" or "layer_wise" (section 2.2); the latter with the map H between hops."""
    hop_activation: str = "none"
    """"none" or "relu", on the state after each hop."""
    gated: bool = False
    """Whether a gate of each hop mixes what was read with the state (Liu and Perez 2017, arXiv:1610.04211)."""
    initializer_range: float = 0.1
    """Standard deviation of all weights at the start."""

    answer_token_ids: list[int] | None = None
    """With adjacent tying the word that stands for each answer, since W is a part of the last C."""

    pad_token_id: int | None = 0
    """The null word; always 0, and its embedding too."""

    def validate_architecture(self) -> None:
        """Refuse what the modelling code cannot build."""
        check_choice("sentence_encoding", self.sentence_encoding, ("position", "fixed_position", "bag_of_words"))
        check_choice("tying", self.tying, ("adjacent", "layer_wise"))
        check_choice("hop_activation", self.hop_activation, ("none", "relu"))
        for name in ("vocab_size", "embedding_size", "num_hops", "memory_size", "longest_sentence"):
            check_positive(name, getattr(self, name))
        if self.pad_token_id != 0:
            raise ValueError(f"pad_token_id must be 0; got {self.pad_token_id}.")
        if self.tying == "adjacent":
            self._check_answers(self.answer_token_ids or [])

    def _check_answers(self, token_ids: list[int]) -> None:
        if len(token_ids) != self.num_labels:
            raise ValueError(
                "Adjacent tying needs a word for each of the "
                f"{self.num_labels} answers of id2label; answer_token_ids has {len(token_ids)}."
            )
        if not all(0 < token_id < self.vocab_size for token_id in token_ids):
            raise ValueError(f"answer_token_ids must lie between 1 and {self.vocab_size - 1}; got {token_ids}.")
