"""A caption, and where the network looked for each word: pipeline("captioning")."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .file_pipeline import FilePipeline
from .image_input import ReadImage, read_image
from .pipeline_common import (
    LENGTH_NORMALIZATION,
    LENGTH_PENALTY,
    NUM_BEAMS,
    RETURN_EVIDENCE,
    InputError,
    Option,
    check_text,
    fit_search_options,
    only_item,
)

MAXIMUM_CHARACTERS = 1000
"""Of a caption to score."""


class CaptioningPipeline(FilePipeline):
    """Describes a picture; returns hypotheses, best first: `generated_text` and `score`.

    A picture is a path, the bytes of a file, a PIL image or a NumPy array; `read_image` tells the rest. With
    `return_evidence=True` each result has `evidence`: `tokens` (T, the end included), `attention` (T lists of rows
    of columns; each sums to 1), `grid` ([rows, columns], laid over the whole upright picture) and
    `token_log_probabilities` (T, nats); and `score_parts`. Where something of the file was not used, such as an
    animation's other frames, `notices` says so.
    """

    _load_image_processor = True

    options = (
        NUM_BEAMS,
        Option("num_return_sequences", "int", "forward", "Captions to return, at most num_beams.", 1, 16),
        LENGTH_PENALTY,
        LENGTH_NORMALIZATION,
        Option("max_new_tokens", "int", "forward", "Longest caption, in words, its end included.", 1, 60),
        Option("min_new_tokens", "int", "forward", "Shortest caption, in words.", 0, 60),
        Option("no_repeat_ngram_size", "int", "forward", "Runs of this many words occur once; 0: no rule.", 0, 10),
        RETURN_EVIDENCE,
    )
    example_input = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAGklEQVR42mN0aHjAQApgYiARjGoY1TB0NAAAKnsBwF/yEwIAAAAASUVORK5C"
        "YII="
    )
    """A PNG of 16 x 16 pixels in one blue."""
    most_together = 2
    """Sixteen take as long for each as one alone, and 400 MiB."""

    def __call__(
        self, inputs: Any, *, batch_size: int | None = None, allowed_hosts: Sequence[str] = (), **options: Any
    ) -> Any:
        """Describe one picture, or a list of them.

        Args:
            inputs: a picture or a list.
            batch_size: how many of a list go through the network together; no result depends on it.
            allowed_hosts: from where a URL may be fetched, such as "example.org"; without it none is. It is for
                Python alone: no HTTP request can set it.
            **options: those of the task.

        Raises:
            InputError: for an input or an option that does not fit; nothing is computed then.
        """
        if allowed_hosts:
            hosts = tuple(allowed_hosts)
            many = isinstance(inputs, (list, tuple))
            inputs = [_Remote(item, hosts) for item in inputs] if many else _Remote(inputs, hosts)
        return super().__call__(inputs, batch_size=batch_size, **options)

    def check_input(self, item: Any) -> ReadImage:
        """Return an upright RGB picture, not much larger than the network reads, or raise an InputError."""
        side = max(self.image_processor.size["height"], self.image_processor.size["width"])
        value, hosts = (item.value, item.allowed_hosts) if isinstance(item, _Remote) else (item, ())
        return read_image(value, target_side=side, allowed_hosts=hosts)

    def measure_use(self, item: Any, results: list[dict]) -> dict[str, float]:
        """Count the words of all captions."""
        return {"tokens": sum(len(result["generated_text"].split()) for result in results)}

    def preprocess(self, picture: ReadImage) -> dict:
        """Turn a picture into what the network reads."""
        pixels = self.image_processor(picture.image, return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels, "notices": _Notices(picture.notices)}

    def _forward(self, model_inputs: dict, **options: Any) -> dict:
        options = fit_search_options(options, self.model.generation_config)
        found = self.network.caption(model_inputs["pixel_values"].to(self.model.dtype), **options)
        notices = model_inputs["notices"]
        notices = notices if isinstance(notices, list) else [notices]  # transformers collects those of a batch
        return {"answers": [_Answer(*answer) for answer in zip(found, notices, strict=True)]}

    def postprocess(self, outputs: dict, return_evidence: bool = False) -> list[dict]:
        """Turn hypotheses into results."""
        answer = only_item(outputs["answers"])
        return [
            self._result(hypothesis, return_evidence) | answer.notices.as_result() for hypothesis in answer.hypotheses
        ]

    def score(self, picture: Any, caption: str, **options: Any) -> dict:
        """Score a given caption as if the search had found it, with its evidence.

        Args:
            picture: as for a call.
            caption: the words; the model must know each of them.
            **options: the penalties `length_penalty` and `length_normalization`.
        """
        inputs = self.preprocess(self.check_input(picture))
        target = self.tokenizer(check_text(caption, MAXIMUM_CHARACTERS))["input_ids"]
        if self.tokenizer.unk_token_id in target or len(target) < 2:
            raise InputError(f"Expected a caption in words that the model knows; got {caption[:60]!r}.", "caption")
        _, penalties, _ = self._sanitize_parameters(**options)
        pixels = inputs["pixel_values"].to(self.device, self.model.dtype)
        (hypothesis,) = self.network.score(pixels, [target], **penalties)
        return self._result(hypothesis, return_evidence=True) | inputs["notices"].as_result()

    def _result(self, hypothesis: Any, return_evidence: bool) -> dict:
        result = {
            "generated_text": self.tokenizer.decode(hypothesis.token_ids, skip_special_tokens=True),
            "score": hypothesis.score,
        }
        if return_evidence:
            result["evidence"] = {
                "tokens": self.tokenizer.convert_ids_to_tokens(hypothesis.token_ids),
                "attention": hypothesis.attention.tolist(),
                "grid": list(hypothesis.attention.shape[1:]),
                "token_log_probabilities": hypothesis.token_log_probabilities,
            }
            result["score_parts"] = hypothesis.score_parts
        return result


@dataclass(frozen=True)
class _Remote:
    """An input that may be a URL at one of the hosts."""

    value: Any
    allowed_hosts: tuple[str, ...]


@dataclass(frozen=True)
class _Notices:
    """What was not used of one picture's file."""

    sentences: tuple[str, ...]

    def as_result(self) -> dict:
        """Return a result's entry, none where there is nothing to say."""
        return {"notices": list(self.sentences)} if self.sentences else {}


@dataclass(frozen=True)
class _Answer:
    """What was found for one picture, kept together while transformers takes batches apart."""

    hypotheses: list
    notices: _Notices
