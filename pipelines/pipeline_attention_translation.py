"""Translation with its alignment: pipeline("attention-translation")."""

from collections.abc import Sequence
from pathlib import Path
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
)

MAXIMUM_CHARACTERS = 1000
"""Of a source text: the models were trained on single sentences."""


class AttentionTranslationPipeline(EvidencePipeline):
    """Translates a sentence; returns hypotheses, best first: `translation_text` and `score`.

    With `return_evidence=True` each has `evidence`: `source_tokens` (S), `target_tokens` (T) and `attention`,
    T lists of S weights that sum to 1, or None of a network without attention; `token_log_probabilities` (T, nats);
    and `score_parts`.
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
            "src_lang",
            "str",
            "preprocess",
            "Language of the source, such as en; the checkpoint must translate from it.",
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
        ids = torch.tensor([self.tokenizer.encode_source(text, self._language_token(src_lang, tgt_lang))])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def _forward(self, model_inputs: dict, target_prefix: str = "", **options: Any) -> dict:
        self._check_coverage(options)
        options = fit_search_options(options, self.model.generation_config)
        if target_prefix.strip():
            options["prefix_ids"] = tuple(self._pieces(target_prefix))
        found = self.network.translate(model_inputs["input_ids"], model_inputs["attention_mask"], **options)
        sources = [
            ids[: len(hypotheses[0].attention[0])]
            for ids, hypotheses in zip(model_inputs["input_ids"].tolist(), found, strict=True)
        ]
        return {"answers": [_Answer(source, hypotheses) for source, hypotheses in zip(sources, found, strict=True)]}

    def postprocess(self, outputs: dict, return_evidence: bool = False) -> list[dict]:
        """Turn hypotheses into results."""
        answer = only_item(outputs["answers"])
        return [self._result(answer.source_ids, hypothesis, return_evidence) for hypothesis in answer.hypotheses]

    def score(self, text: str, translation: str, **options: Any) -> dict:
        """Score a given translation as if the search had found it, with its evidence.

        Args:
            text: the source.
            translation: the target.
            **options: the penalties `length_penalty`, `length_normalization` and `coverage_penalty`; the languages.
        """
        languages, penalties, _ = self._sanitize_parameters(**options)
        self._check_coverage(penalties)
        source = self.preprocess(self.check_input(text), **languages)
        target = [*self._pieces(self.check_input(translation)), self.tokenizer.eos_token_id]
        source = {name: tensor.to(self.device) for name, tensor in source.items()}
        (hypothesis,) = self.network.score(source["input_ids"], source["attention_mask"], [target], **penalties)
        return self._result(source["input_ids"][0].tolist(), hypothesis, return_evidence=True)

    def _result(self, source_ids: list[int], hypothesis: Any, return_evidence: bool) -> dict:
        result = {
            "translation_text": self.tokenizer.decode(hypothesis.token_ids, skip_special_tokens=True),
            "score": hypothesis.score,
        }
        if return_evidence:
            result["evidence"] = {
                "source_tokens": self.tokenizer.convert_ids_to_tokens(source_ids),
                "target_tokens": self.tokenizer.convert_ids_to_tokens(hypothesis.token_ids),
                "attention": hypothesis.attention.tolist() if self.network.attends else None,
                "token_log_probabilities": hypothesis.token_log_probabilities,
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
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _language_token(self, source: str | None, target: str | None) -> str | None:
        """Return the language that a network of several must be asked for: that of the first direction that fits."""
        config = self.model.config
        known = [tuple(one.split("-")) for one in config.directions or ()]
        known = known or [(config.source_language, config.target_language)]
        for field, wanted, served in (
            ("src_lang", source, {one[0] for one in known}),
            ("tgt_lang", target, {one[1] for one in known}),
        ):
            if wanted is not None and served != {""} and wanted not in served:
                names = " or ".join(repr(name) for name in sorted(served))
                raise InputError(f"{field} must be {names}, this checkpoint's; got {wanted!r}.", field=field)
        if not config.directions:
            return None
        fitting = [one for one in known if source in (None, one[0]) and target in (None, one[1])]
        if not fitting:
            raise InputError(
                f"This checkpoint translates {', '.join(config.directions)}; got {source}-{target}.", field="tgt_lang"
            )
        return fitting[0][1]


class _Answer:
    """One source and what was found for it, kept together while transformers takes batches apart."""

    def __init__(self, source_ids: list[int], hypotheses: list):
        self.source_ids = source_ids
        self.hypotheses = hypotheses
