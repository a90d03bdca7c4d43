"""Translation with its alignment: pipeline("attention-translation")."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from .pipeline_common import (
    LENGTH_NORMALIZATION,
    LENGTH_PENALTY,
    NUM_BEAMS,
    RETURN_EVIDENCE,
    EvidencePipeline,
    InputError,
    Option,
    check_text,
    fit_search_options,
    only_item,
    shown,
)
from .translation_alternatives import find_alternatives
from .translation_direction import choose_direction

MAXIMUM_CHARACTERS = 1000
"""Of a source text: the models were trained on single sentences."""


class AttentionTranslationPipeline(EvidencePipeline):
    """Translates a sentence; returns hypotheses, best first: `translation_text` and `score`.

    With `return_evidence=True` each has `evidence`: `source_tokens` (S), `target_tokens` (T) and `attention`,
    T lists of S weights that sum to 1, or None of a network without attention; `token_log_probabilities` (T, nats);
    `direction`, such as "de-en", or None where the checkpoint does not say; `unknown_pieces`, the parts of the source
    that no piece covers; `unfamiliar`, whether the sentence is unlike all that was trained on, or None where nobody can
    tell; and `score_parts`.

    With `alternatives=True` the results go on, after `target_prefix`, with different words, the most probable first.
    """

    options = (
        NUM_BEAMS,
        Option("num_return_sequences", "int", "forward", "Translations to return, at most num_beams.", 1, 16),
        LENGTH_PENALTY,
        LENGTH_NORMALIZATION,
        Option("coverage_penalty", "float", "forward", "Weight of GNMT's penalty on source left unread.", 0, 2),
        Option("max_new_tokens", "int", "forward", "Longest translation, in pieces.", 1, 256),
        Option("min_new_tokens", "int", "forward", "Shortest translation, in pieces.", 0, 256),
        Option(
            "no_repeat_ngram_size",
            "int",
            "forward",
            "Runs of this many pieces occur once; 0: no rule.",
            0,
            10,
        ),
        Option("target_prefix", "str", "forward", "Words that the translation begins with.", maximum=1000),
        Option(
            "alternatives",
            "bool",
            "forward",
            "Whether the translations go on, after target_prefix, with different words, the most probable first; "
            "num_return_sequences says how many.",
        ),
        Option(
            "src_lang",
            "str",
            "preprocess",
            "Language of the source, such as en; the checkpoint must translate from it. Without it a checkpoint of "
            "several languages guesses.",
            maximum=16,
        ),
        Option(
            "tgt_lang",
            "str",
            "preprocess",
            "Language of the target, such as de; the checkpoint must translate into it.",
            maximum=16,
        ),
        RETURN_EVIDENCE,
    )
    example_input = "A dog runs."
    ignored_parameters = ("clean_up_tokenization_spaces", "truncation")

    def join(self, others: Sequence["AttentionTranslationPipeline"]) -> None:
        """Translate from now on as all their networks do together: with the mean of their probabilities."""
        vocabulary = self.tokenizer.sp_model.serialized_model_proto()
        for other in others:
            if other.tokenizer.sp_model.serialized_model_proto() != vocabulary:
                raise ValueError(
                    "The members of an ensemble must have the same vocabulary, spm.model; "
                    f"{Path(self.model.name_or_path).name} and {Path(other.model.name_or_path).name} have not."
                )
        self._ensemble = self.model.join([other.model for other in others])

    def check_input(self, item: Any) -> str:
        """Return a text in which the model knows at least one piece, or raise an InputError."""
        text = check_text(item, MAXIMUM_CHARACTERS)
        known = set(self._pieces(text)) - {
            self.tokenizer.unk_token_id,
            self.tokenizer.convert_tokens_to_ids("▁"),
        }
        if not known:
            raise InputError(f"Expected a sentence in the model's source language; it knows no part of {text[:60]!r}.")
        return text

    def measure_use(self, item: Any, results: list[dict]) -> dict[str, float]:
        """Count the pieces of all translations."""
        return {"tokens": sum(len(self._pieces(result["translation_text"])) for result in results)}

    def preprocess(self, text: str, src_lang: str | None = None, tgt_lang: str | None = None) -> dict:
        """Cut the text into pieces, and say which language is wanted where the network knows several."""
        config = self.model.config
        direction = choose_direction(config, self.tokenizer, text, src_lang, tgt_lang)
        wanted = direction[1] if config.directions else None
        ids = torch.tensor([self.tokenizer.encode_source(text, wanted)])
        source = _Source("-".join(direction) if all(direction) else None, self.tokenizer.unknown_parts(text))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "source": source}

    def _forward(self, model_inputs: dict, target_prefix: str = "", alternatives: bool = False, **options: Any) -> dict:
        self._check_coverage(options)
        ids, mask, sources = model_inputs["input_ids"], model_inputs["attention_mask"], model_inputs["source"]
        prefix = tuple(self._pieces(target_prefix)) if target_prefix.strip() else ()
        if alternatives:
            lengths = mask.sum(dim=1).tolist()
            found = [
                self._alternatives(ids[item : item + 1, :length], mask[item : item + 1, :length], prefix, **options)
                for item, length in enumerate(lengths)
            ]
        else:
            options = fit_search_options(options, self.model.generation_config)
            found = self.network.translate(ids, mask, prefix_ids=prefix, **options)
        sources = sources if isinstance(sources, list) else [sources]
        num_forced = len(prefix) + alternatives
        answers = [
            _Answer(pieces[: len(hypotheses[0].attention[0])], source, hypotheses, num_forced)
            for pieces, source, hypotheses in zip(ids.tolist(), sources, found, strict=True)
        ]
        return {"answers": answers}

    def _alternatives(self, ids: torch.Tensor, mask: torch.Tensor, prefix: Sequence[int], **options: Any) -> list:
        """Return hypotheses of one source that go on differently after a prefix."""
        number = options.pop("num_return_sequences", 1)
        options = fit_search_options(options, self.model.generation_config)
        longest = options.get("max_new_tokens") or self.model.generation_config.max_new_tokens
        if len(prefix) >= longest:
            raise InputError(
                f"max_new_tokens must be more than the {len(prefix)} pieces that all alternatives begin with; "
                f"got {longest}.",
                field="max_new_tokens",
            )

        def translate(**search: Any) -> list:
            return self.network.translate(ids, mask, **search)[0]

        end = self.tokenizer.eos_token_id
        return find_alternatives(translate, prefix, number, longest, end, self._word_at, **options)

    def postprocess(self, outputs: dict, return_evidence: bool = False) -> list[dict]:
        """Turn hypotheses into results."""
        answer = only_item(outputs["answers"])
        return [self._result(answer, hypothesis, return_evidence) for hypothesis in answer.hypotheses]

    def score(self, text: str, translation: str, **options: Any) -> dict:
        """Score a given translation as if the search had found it, with its evidence.

        Args:
            text: the source.
            translation: the target.
            **options: the penalties `length_penalty`, `length_normalization` and `coverage_penalty`; the languages.
        """
        languages, penalties, _ = self._sanitize_parameters(**options)
        self._check_coverage(penalties)
        target = [*self._pieces(self.check_input(translation)), self.tokenizer.eos_token_id]
        ids, mask, source = self._read(text, languages)
        (hypothesis,) = self.network.score(ids, mask, [target], **penalties)
        answer = _Answer(ids[0].tolist(), source, [hypothesis], num_forced=len(target))
        return self._result(answer, hypothesis, return_evidence=True)

    def alternatives(
        self, text: str, target_tokens: list[str], position: int, num: int = 5, **options: Any
    ) -> list[dict]:
        """Find what else could stand in a place of a translation, and how each would go on.

        Args:
            text: the source.
            target_tokens: pieces of a translation, as `evidence` has them; those before the place are kept as they are.
            position: the place, counted from 0; at most the number of pieces.
            num: how many alternatives.
            **options: of the search that completes each; the languages.

        Returns:
            At most `num` results with evidence; each has another word in that place, the most probable piece first.

        Raises:
            InputError: for pieces that are none of the vocabulary's, or a place that is not among them.
        """
        languages, search, _ = self._sanitize_parameters(**options | {"num_return_sequences": num})
        search = {name: value for name, value in search.items() if name not in ("alternatives", "target_prefix")}
        prefix = self._exact_pieces(target_tokens, position)
        ids, mask, source = self._read(text, languages)
        found = self._alternatives(ids, mask, prefix, **search)
        answer = _Answer(ids[0].tolist(), source, found, num_forced=len(prefix) + 1)
        return [self._result(answer, hypothesis, return_evidence=True) for hypothesis in found]

    def inspect(self, text: str, **options: Any) -> dict:
        """Return `alternatives` under that name, for a service, whose `inspect` answers with a dictionary."""
        return {"alternatives": self.alternatives(text, **options)}

    def _read(self, text: str, languages: dict) -> tuple[torch.Tensor, torch.Tensor, Any]:
        read = self.preprocess(self.check_input(text), **languages)
        return read["input_ids"].to(self.device), read["attention_mask"].to(self.device), read["source"]

    def _exact_pieces(self, tokens: Any, position: Any) -> list[int]:
        """Return the pieces before a place of a translation."""
        if not isinstance(tokens, (list, tuple)) or not all(isinstance(token, str) for token in tokens):
            raise InputError(f"target_tokens must be a list of pieces; got {shown(tokens)}.", field="target_tokens")
        if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position <= len(tokens):
            raise InputError(
                f"position must be a whole number from 0 to {len(tokens)}; got {shown(position)}.", field="position"
            )
        pieces = self.tokenizer.convert_tokens_to_ids(list(tokens[:position]))
        special = set(self.tokenizer.all_special_ids)
        for token, piece in zip(tokens, pieces, strict=False):
            if piece in special:
                raise InputError(
                    f"target_tokens must be pieces of the vocabulary, the end last; got {shown(token)}.",
                    field="target_tokens",
                )
        return pieces

    def _word_at(self, pieces: list[int], place: int) -> str:
        """Return the word that stands in a place, with what was before of it."""
        tokens = self.tokenizer.convert_ids_to_tokens(pieces)
        first = next((index for index in range(place, 0, -1) if tokens[index].startswith("▁")), 0)
        last = place + 1
        while last < len(tokens) and not tokens[last].startswith(("▁", self.tokenizer.eos_token)):
            last += 1
        return "".join(tokens[first:last])

    def _unfamiliar(self, answer: Any) -> bool | None:
        """Whether the network has hardly seen the like of a sentence; None where nobody can tell.

        Its best translation says so, by the pieces that nobody forced on it.
        """
        if answer.source.unknown_pieces:
            return True
        own = answer.hypotheses[0].token_log_probabilities[answer.num_forced :]
        threshold = self.model.config.unfamiliar_below
        return None if threshold is None or not own else fmean(own) < threshold

    def _result(self, answer: Any, hypothesis: Any, return_evidence: bool) -> dict:
        result = {
            "translation_text": self.tokenizer.decode(hypothesis.token_ids, skip_special_tokens=True),
            "score": hypothesis.score,
        }
        if return_evidence:
            result["evidence"] = {
                "source_tokens": self.tokenizer.convert_ids_to_tokens(answer.source_ids),
                "target_tokens": self.tokenizer.convert_ids_to_tokens(hypothesis.token_ids),
                "attention": hypothesis.attention.tolist() if self.network.attends else None,
                "token_log_probabilities": hypothesis.token_log_probabilities,
                "direction": answer.source.direction,
                "unknown_pieces": answer.source.unknown_pieces,
                "unfamiliar": self._unfamiliar(answer),
            }
            result["score_parts"] = hypothesis.score_parts
        return result

    def _check_coverage(self, options: dict[str, Any]) -> None:
        if options.get("coverage_penalty") and not self.network.attends:
            raise InputError(
                "coverage_penalty weighs how much of the source was looked at; this model has no attention: leave it "
                "out, or 0.",
                field="coverage_penalty",
            )

    def _pieces(self, text: str) -> list[int]:
        return self.tokenizer.pieces_of(text)


@dataclass(frozen=True)
class _Source:
    """What is known of a source beside its pieces."""

    direction: str | None
    unknown_pieces: list[str]


@dataclass(frozen=True)
class _Answer:
    """One source and what was found for it, kept together while transformers takes batches apart."""

    source_ids: list[int]
    source: _Source
    hypotheses: list
    num_forced: int
    """Pieces that every hypothesis was made to begin with."""
