"""What all our pipelines share: checked options, checked inputs, and errors that tell people what to do."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from transformers import Pipeline
from transformers.pipelines.base import pad_collate_fn

from .network_choice import compiled_network, graph_folder
from .served import Served, attempt

GENERATION_GROUPS = ("generate_parameters", "generation_parameters", "generate_kwargs")
"""Names under which clients of the Hub's inference schema send generation options."""

MAXIMUM_TEXTS = 16
"""In an option that is a list of texts."""


class InputError(ValueError):
    """The caller's mistake: says what was expected, what came, and what to do."""

    def __init__(self, message: str, field: str = "inputs"):
        super().__init__(message)
        self.field = field
        """Which argument it is about; an HTTP answer names it."""


@dataclass(frozen=True)
class Option:
    """One option of a pipeline, the same for Python, HTTP and the demo."""

    name: str
    kind: Literal["bool", "int", "float", "str", "texts"]
    """"texts" is one text or a list of them."""
    stage: Literal["preprocess", "forward", "postprocess"]
    description: str
    minimum: float | None = None
    maximum: float | None = None
    """Largest number, or largest number of characters; of "texts" both limits are each one's characters."""
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Return the value if it fits, or raise an InputError that says what would."""
        if not self._fits(value):
            raise InputError(f"{self.name} must be {self.expectation()}; got {shown(value)}.", field=self.name)
        if self.kind == "texts" and isinstance(value, str):
            return [value]
        return float(value) if self.kind == "float" else value

    def expectation(self) -> str:
        """Say in words which values fit."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind == "bool":
            return "true or false"
        if self.kind == "str":
            return f"a text of at most {self.maximum:g} characters"
        if self.kind == "texts":
            return f"at most {MAXIMUM_TEXTS} texts of {self.minimum:g} to {self.maximum:g} characters"
        noun = "a whole number" if self.kind == "int" else "a number"
        return f"{noun} from {self.minimum:g} to {self.maximum:g}"

    def _fits(self, value: Any) -> bool:
        if self.kind == "bool":
            return isinstance(value, bool)
        if self.kind == "str":
            is_text = isinstance(value, str) and _is_unicode(value)
            return is_text and (value in self.choices if self.choices else len(value) <= self.maximum)
        if self.kind == "texts":
            texts = [value] if isinstance(value, str) else value
            return isinstance(texts, (list, tuple)) and len(texts) <= MAXIMUM_TEXTS and all(map(self._fits_text, texts))
        numbers = (int,) if self.kind == "int" else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers):
            return False
        return self.minimum <= value <= self.maximum

    def _fits_text(self, text: Any) -> bool:
        return isinstance(text, str) and _is_unicode(text) and self.minimum <= len(text) <= self.maximum


RETURN_EVIDENCE = Option(
    "return_evidence",
    "bool",
    "postprocess",
    "Whether to return what the network looked at to give this answer.",
)


NUM_BEAMS = Option("num_beams", "int", "forward", "Hypotheses that are followed; 1 is greedy search.", 1, 16)
LENGTH_PENALTY = Option("length_penalty", "float", "forward", "Exponent of the length in the score.", 0, 3)
LENGTH_NORMALIZATION = Option(
    "length_normalization",
    "str",
    "forward",
    "The score's denominator: length ** penalty, or GNMT's ((5 + length) / 6) ** penalty.",
    choices=("power", "gnmt"),
)


def fit_search_options(options: dict[str, Any], defaults: Any) -> dict[str, Any]:
    """Refuse options of a beam search that each fit but contradict each other or the checkpoint's defaults.

    Args:
        options: those that the caller named.
        defaults: the checkpoint's `generation_config`.

    Returns:
        The options, with as many beams as there are sequences to return.
    """
    wanted = options.get("num_return_sequences", 1)
    if wanted > options.get("num_beams", max(wanted, defaults.num_beams or 1)):
        raise InputError(
            f"num_return_sequences must be at most num_beams, {options['num_beams']}; got {wanted}.",
            field="num_return_sequences",
        )
    longest = options.get("max_new_tokens", defaults.max_new_tokens)
    if longest is not None and options.get("min_new_tokens", 0) > longest:
        raise InputError(
            f"min_new_tokens must be at most max_new_tokens, {longest}; got {options['min_new_tokens']}.",
            field="min_new_tokens",
        )
    return options | {"num_beams": max(wanted, options.get("num_beams") or defaults.num_beams or 1)}


class EvidencePipeline(Pipeline):
    """A pipeline whose options are a table and whose answers carry their evidence.

    A subclass lists its `options` and implements `check_input`, `preprocess`, `_forward` and `postprocess`.
    `_forward` returns one key with a list, an entry for each input.
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_video_processor = False  # transformers looks for one beside every image processor

    options: ClassVar[tuple[Option, ...]] = (RETURN_EVIDENCE,)
    example_input: ClassVar[Any] = None
    """An input that any checkpoint of the task answers; a server warms up with it."""
    ignored_parameters: ClassVar[tuple[str, ...]] = ()
    """Parameters of the Hub's schema of the task that change nothing here."""
    most_together: ClassVar[int | None] = None
    """How many inputs a service answers together at most, where more are not answered faster; None: as it likes."""

    def __init__(self, *args: Any, runtime: str = "auto", **kwargs: Any):
        """Set up as transformers' pipelines are, with one option more.

        Args:
            *args: transformers' own.
            runtime: what computes. "torch"; "onnx", ONNX Runtime with weights of eight bits; "onnx-float32", the same
                without rounding; "auto", on a CPU "onnx" where the checkpoint has graphs for it and it is installed,
                and "torch" otherwise. On a GPU it is always PyTorch.
            **kwargs: transformers' own.

        Raises:
            ValueError: for another runtime, or one that this checkpoint or this machine does not have.
        """
        super().__init__(*args, **kwargs)
        self._compiled = compiled_network(self.model, runtime)
        self._ensemble = None

    def join(self, others: Sequence["EvidencePipeline"]) -> None:
        """Answer from now on as all their networks do together, in PyTorch; they are on the same device.

        Raises:
            ValueError: where they do not fit together, or the family knows no ensembles.
        """
        raise ValueError(f"{type(self.model).__name__} has no ensembles: name one model.")

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save all that is loaded, the graphs of the checkpoint too; an ensemble is no checkpoint."""
        if self._ensemble is not None:
            raise ValueError("An ensemble cannot be saved as one checkpoint: save its members.")
        super().save_pretrained(save_directory, **kwargs)
        folder = graph_folder(self.model)
        if folder is not None:
            shutil.copytree(folder, Path(save_directory, folder.name), dirs_exist_ok=True)

    @property
    def network(self) -> Any:
        """What computes: the model, on a CPU what was compiled from it, or all models of an ensemble."""
        if self._ensemble is not None:
            return self._ensemble
        return self.model if self._compiled is None or self.model.device.type != "cpu" else self._compiled

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **options: Any) -> Any:
        """Answer one input with a list of results, or a list of inputs with a list of such lists.

        Args:
            inputs: one input, or a list of them.
            batch_size: how many of a list go through the network together; no result depends on it.
            **options: those of the task.

        Raises:
            InputError: for an input or an option that does not fit; nothing is computed then.
        """
        if isinstance(inputs, (list, tuple)):
            checked = [self._check_item(item, index) for index, item in enumerate(inputs)]
            return super().__call__(checked, batch_size=batch_size, **options) if checked else []
        return super().__call__(self.check_input(inputs), batch_size=batch_size, **options)

    def get_iterator(
        self,
        inputs: Sequence[Any],
        num_workers: int,
        batch_size: int,
        preprocess_params: dict,
        forward_params: dict,
        postprocess_params: dict,
    ) -> Iterator[list[dict]]:
        """Answer a list as transformers does, which calls this, but without a DataLoader where nobody asks for workers.

        To use one takes a third of a millisecond a batch, as much as a step of two translations.
        """
        if num_workers:
            parameters = (preprocess_params, forward_params, postprocess_params)
            yield from super().get_iterator(inputs, num_workers, batch_size, *parameters)
            return
        collate = pad_collate_fn(self.tokenizer, self.feature_extractor or self.image_processor)
        for first in range(0, len(inputs), batch_size):
            read = [self.preprocess(item, **preprocess_params) for item in inputs[first : first + batch_size]]
            outputs = self.forward(read[0] if len(read) == 1 else collate(read), **forward_params)
            ((name, answers),) = outputs.items()
            for answer in answers:
                yield self.postprocess({name: [answer]}, **postprocess_params)

    def serve(self, inputs: Any, parameters: dict[str, Any] | None = None) -> Any:
        """Answer a request of the Hub's inference schema: what the HTTP endpoint and handler.py return.

        Args:
            inputs: as for a call.
            parameters: our options, also inside `generate_parameters` or `generation_parameters`, where
                huggingface_hub's client puts them.

        Raises:
            InputError: naming the field.
        """
        results = self(inputs, **self.served_options(parameters))
        is_many = isinstance(inputs, list)
        return [self.as_response(some) for some in results] if is_many else self.as_response(results)

    def serve_together(self, requests: Sequence[Any], parameters: dict[str, Any] | None = None) -> list[Served]:
        """Answer several requests, each of one input, that have the same parameters.

        Returns:
            For each what `serve` would give it or raise; one that cannot be answered spoils no other.
        """
        try:
            options = self.served_options(parameters)
        except InputError as error:
            return [Served(error=error) for _ in requests]
        read = [attempt(self._read_request, inputs) for inputs in requests]
        answers = iter(self._answer_each([item for item in read if not isinstance(item, Exception)], options))
        return [Served(error=item) if isinstance(item, Exception) else next(answers) for item in read]

    def _read_request(self, inputs: Any) -> Any:
        """Return the one input of a request as `check_input` does."""
        return self.check_input(inputs)

    def _answer_each(self, items: list, options: dict[str, Any]) -> list[Served]:
        answer = super().__call__
        found = attempt(answer, items, batch_size=len(items), **options) if len(items) > 1 else None
        if not isinstance(found, list):  # one of them cannot be answered: which, is found one by one
            found = [attempt(answer, item, **options) for item in items]
        return [self._served(item, results) for item, results in zip(items, found, strict=True)]

    def _served(self, item: Any, results: list[dict] | Exception) -> Served:
        if isinstance(results, Exception):
            return Served(error=results)
        return Served(self.as_response(results), self.measure_use(item, results))

    def measure_use(self, item: Any, results: list[dict]) -> dict[str, float]:
        """Return what an answer took, such as seconds of audio, for a server's counters.

        Args:
            item: what `check_input` made of the input.
            results: its answer.
        """
        return {}

    def as_response(self, results: list[dict]) -> Any:
        """Return one input's results in the form that the Hub's schema of the task asks for: this list, mostly."""
        return results

    def served_options(self, parameters: dict[str, Any] | None) -> dict[str, Any]:
        """Read the options of a request of the Hub's inference schema.

        Raises:
            InputError: naming the field.
        """
        if parameters is not None and not isinstance(parameters, dict):
            raise InputError(f"parameters must be an object; got {shown(parameters)}.", field="parameters")
        options = dict(parameters or {})
        for group in GENERATION_GROUPS:
            nested = options.pop(group, None)
            if nested is not None and not isinstance(nested, dict):
                raise InputError(f"{group} must be an object; got {shown(nested)}.", field=group)
            options |= nested or {}
        options = {name: value for name, value in options.items() if name not in self.ignored_parameters}
        self._check_names(options)  # before they become arguments: __call__ has others, such as batch_size
        return options

    @staticmethod
    def read_argument(text: str) -> Any:
        """Return the input that an argument of the command line is: the text, mostly.

        Raises:
            InputError: for one that cannot be read.
        """
        return text

    def check_input(self, item: Any) -> Any:
        """Return one input if it can be answered, or raise an InputError."""
        raise NotImplementedError

    def _check_item(self, item: Any, index: int) -> Any:
        try:
            return self.check_input(item)
        except InputError as error:
            raise InputError(f"Input {index}: {error}", field=f"inputs[{index}]") from error

    def _check_names(self, options: dict[str, Any]) -> None:
        known = [option.name for option in self.options]
        for name in options:
            if name not in known:
                raise InputError(f"Unknown option {name!r}. Known options: {', '.join(known)}.", field=name)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        self._check_names(options)
        known = {option.name: option for option in self.options}
        stages: dict[str, dict] = {"preprocess": {}, "forward": {}, "postprocess": {}}
        for name, value in options.items():
            if value is not None:
                stages[known[name].stage][name] = known[name].check(value)
        return stages["preprocess"], stages["forward"], stages["postprocess"]


def only_item(outputs: Any) -> Any:
    """Return one input's entry of what `_forward` returned; transformers unpacks batches, not single inputs."""
    if isinstance(outputs, list):
        (outputs,) = outputs
    return outputs


def check_text(text: Any, maximum_characters: int) -> str:
    """Return a text that has something in it, or raise an InputError."""
    if not isinstance(text, str):
        raise InputError(f"Expected a text; got {shown(text)}.")
    if len(text) > maximum_characters:
        raise InputError(f"Expected at most {maximum_characters:,} characters; got {len(text):,}. Send it in parts.")
    if not _is_unicode(text):
        raise InputError("Expected Unicode text; got a lone surrogate, half of a character. Decode the text as UTF-8.")
    if not text.strip():
        raise InputError("Expected a text; got an empty one.")
    return text


def shown(value: Any) -> str:
    """Describe a value that was not expected, in a few words."""
    text = repr(value)
    kind = type(value).__name__
    return f"{text} ({kind})" if len(text) <= 60 else f"{text[:57]}… ({kind})"


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
