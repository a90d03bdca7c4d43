"""Writing on from a beginning, with the network in the open: pipeline("char-generation")."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from random import SystemRandom
from typing import Any

import torch

from .character_answers import TextAnswer, events, evidence_of, look_into
from .character_blocks import BlockWriter
from .character_vocabulary import check_characters, map_characters
from .character_writing import CharacterWriter, Step, WordFilter, WritingOptions, Written
from .pipeline_common import RETURN_EVIDENCE, EvidencePipeline, InputError, Option, only_item, shown
from .sampling import SamplingOptions
from .unit_activations import Unit, chosen_units

MAXIMUM_CHARACTERS = 10_000
"""Of a prompt, and of a text to look into."""
MAXIMUM_NEW_TOKENS = 5_000
TOP_N_TOKENS = Option(
    "top_n_tokens", "int", "postprocess", "With details: alternatives to name at each character.", 0, 20
)
TOP = replace(TOP_N_TOKENS, name="top")
"""What `inspect` calls it."""


class CharGenerationPipeline(EvidencePipeline):
    """Writes on from a prompt; returns `generated_text`, without the prompt unless `return_full_text`.

    With `return_evidence=True` each result has `evidence`: `characters` (T), those written; `log_probabilities`
    (T, nats, the network's own at temperature 1); and `activations`, what chosen units were after each character. The
    network reads the text again for it, without the rounding that makes writing fast.
    With `details=True` it has `details` in the schema of Hugging Face's text-generation endpoints.

    `stream` yields the same text piece by piece; `inspect` looks into a given text.
    """

    options = (
        Option("max_new_tokens", "int", "forward", "Longest text, in characters.", 1, MAXIMUM_NEW_TOKENS),
        Option("num_return_sequences", "int", "forward", "Texts to write, each with the next seed.", 1, 16),
        Option("do_sample", "bool", "forward", "Whether to draw characters, or always take the most probable."),
        Option("temperature", "float", "forward", "Below 1 bolder guesses are rarer; 0 is not to sample.", 0, 5),
        Option("top_k", "int", "forward", "Draw among this many most probable characters; 0: all.", 0, 1000),
        Option("top_p", "float", "forward", "Draw among the fewest characters that have this probability.", 0.01, 1),
        Option("seed", "int", "forward", "The same seed gives the same text, on one machine.", 0, 2**63 - 1),
        Option("stop", "texts", "forward", "The text ends with the first of these.", 1, 100),
        Option("units", "texts", "forward", 'Units for the evidence, such as "memory.2.137".', 1, 20),
        Option(
            "unknown_characters",
            "str",
            "preprocess",
            "What to do with characters that the model never saw: refuse them, or map them to the nearest.",
            choices=("refuse", "map"),
        ),
        Option("return_full_text", "bool", "postprocess", "Whether the text begins with the prompt."),
        Option("details", "bool", "postprocess", "Whether to return each character's probability, as TGI does."),
        TOP_N_TOKENS,
        Option("decoder_input_details", "bool", "postprocess", "With details: whether to score the prompt too."),
        RETURN_EVIDENCE,
    )
    example_input = "The "
    most_together = 1

    def check_input(self, item: Any) -> str:
        """Return a prompt, or raise an InputError."""
        if not isinstance(item, str):
            raise InputError(f"Expected a text; got {shown(item)}.")
        if len(item) > MAXIMUM_CHARACTERS:
            raise InputError(f"Expected at most {MAXIMUM_CHARACTERS:,} characters; got {len(item):,}.")
        if not item:
            raise InputError('Expected a text; got an empty one. To begin from nothing, send a line end, "\\n".')
        return item

    def measure_use(self, item: Any, results: list[dict]) -> dict[str, float]:
        """Count the characters of all texts."""
        return {"tokens": sum(len(result["generated_text"]) for result in results)}

    def preprocess(self, prompt: str, unknown_characters: str = "refuse") -> dict:
        """Return the prompt as the model can read it.

        Raises:
            InputError: for characters that the model does not know, and for words that it is not to go on from.
        """
        if unknown_characters == "map":
            prompt = map_characters(prompt, self._vocabulary)
            if not prompt:
                raise InputError("The model knows none of the prompt's characters.")
        check_characters(prompt, self._vocabulary)
        blocked = self._words and self._words.find(prompt)
        if blocked:
            raise InputError(f"This model's output is filtered, and it does not go on from {blocked!r}.")
        return {"prompt": prompt}

    def _forward(self, model_inputs: dict, num_return_sequences: int = 1, **options: Any) -> dict:
        prompts = model_inputs["prompt"]
        return {
            "answers": [
                tuple(self._answer(prompt, options, number) for number in range(num_return_sequences))
                for prompt in ([prompts] if isinstance(prompts, str) else prompts)
            ]
        }

    def postprocess(
        self,
        outputs: dict,
        return_full_text: bool = False,
        details: bool = False,
        top_n_tokens: int = 0,
        decoder_input_details: bool = False,
        return_evidence: bool = False,
    ) -> list[dict]:
        """Turn texts into results."""
        results = []
        for answer in only_item(outputs["answers"]):
            result = {"generated_text": (answer.prompt if return_full_text else "") + answer.text}
            if details:
                prefill = self._prefill(answer.prompt) if decoder_input_details else []
                result["details"] = answer.details(prefill, top_n_tokens, self._characters)
            if return_evidence:
                result["evidence"] = evidence_of(self.model, self._ids(answer.prompt + answer.text), answer)
            results.append(result)
        return results

    def stream(self, prompt: str, **options: Any) -> Iterator[str]:
        """Write as a call does, and yield the text piece by piece; closing the iterator ends the writing.

        Args:
            prompt: the beginning.
            **options: those of a call that shape the text.

        Raises:
            InputError: at once, for a prompt or an option that does not fit.
        """
        return (event["token"]["text"] for event in self._events(prompt, options) if event["token"]["text"])

    def serve_stream(self, inputs: Any, parameters: dict[str, Any] | None = None) -> Iterator[dict]:
        """Answer a request of the Hub's schema with TGI's events, one a character.

        Raises:
            InputError: at once, naming the field.
        """
        return self._events(inputs, self.served_options(parameters))

    def inspect(
        self,
        text: str,
        top: int = 5,
        units: Sequence[str] | None = None,
        unknown_characters: str = "refuse",
    ) -> dict:
        """Say what the network thinks of a given text, character by character; a line end comes before the first.

        Args:
            text: at most 10,000 characters.
            top: how many of the most probable characters to name at each place.
            units: names of units to follow; the checkpoint's interpretable ones where there is None.
            unknown_characters: as for a call.

        Returns:
            `characters` (T); `log_probabilities` (T, nats); `top` (T lists of `character` and `log_probability`),
            what was expected in each place; `next`, what is expected after the text; `activations`, for each unit
            its name, what it follows and `values` (T); `nats_per_character` and `bits_per_character`.

        Raises:
            InputError: for a text or an option that does not fit.
        """
        before, forward, _ = self._sanitize_parameters(units=units, unknown_characters=unknown_characters)
        top = TOP.check(top)
        text = self.preprocess(self.check_input(text), **before)["prompt"]
        return look_into(self.model, self._ids(text), text, self._characters, top, self._units(forward.get("units")))

    def _answer(self, prompt: str, options: dict[str, Any], number: int) -> TextAnswer:
        writing = self._writing_options(options, number)
        units = self._units(options.get("units"))
        written = [character.forgetful() for character in self._write(prompt, writing, in_blocks=True)]
        return TextAnswer(prompt, written, writing.seed, units)

    def _events(self, prompt: Any, options: dict[str, Any]) -> Iterator[dict]:
        before, forward, after = self._sanitize_parameters(**options)
        if forward.pop("num_return_sequences", 1) > 1:
            raise InputError("num_return_sequences must be 1 for a stream.", field="num_return_sequences")
        prompt = self.preprocess(self.check_input(prompt), **before)["prompt"]
        writing = self._writing_options(forward, 0)
        return events(
            self._write(prompt, writing), prompt, writing.seed, after.get("top_n_tokens", 0), self._characters
        )

    def _write(self, prompt: str, options: WritingOptions, in_blocks: bool = False) -> Iterator[Written]:
        if in_blocks and self._words is None and self.model.draws_in_blocks():
            writer = BlockWriter(self.model.draw_block, self._characters, options)
        else:
            writer = CharacterWriter(self._step, self._characters, options, self._words)
        logits, state = self.network.read([self._vocabulary[character] for character in prompt])
        return writer.write(logits, state, prompt)

    def _writing_options(self, options: dict[str, Any], number: int) -> WritingOptions:
        defaults = self.model.generation_config
        named = {name: options.get(name, getattr(defaults, name, None)) for name in SamplingOptions.__annotations__}
        sampling = SamplingOptions(**{name: value for name, value in named.items() if value is not None})
        seed = None if sampling.is_greedy else options.get("seed", SystemRandom().randrange(2**32)) + number
        ends = defaults.eos_token_id
        return WritingOptions(
            sampling=sampling,
            max_new_tokens=options.get("max_new_tokens", defaults.max_new_tokens),
            seed=seed,
            stop=tuple(options.get("stop", ())),
            suppressed=frozenset(defaults.suppress_tokens or ()) | {self.tokenizer.pad_token_id},
            ends=frozenset([] if ends is None else [ends] if isinstance(ends, int) else ends),
        )

    def _prefill(self, prompt: str) -> list[dict]:
        scored = self.inspect(prompt, top=0, units=[])
        numbers = [self._vocabulary[character] for character in prompt]
        columns = zip(numbers, prompt, scored["log_probabilities"], strict=True)
        return [{"id": number, "text": text, "logprob": score} for number, text, score in columns]

    def _units(self, names: Sequence[str] | None) -> list[Unit]:
        return chosen_units(self.model.config, names)

    def _ids(self, text: str) -> torch.Tensor:
        return torch.tensor([[self._vocabulary[character] for character in text]], device=self.device)

    @cached_property
    def _step(self) -> Step:
        return self.network.fast_step()

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        padding = self.tokenizer.pad_token_id
        return {text: number for text, number in self.tokenizer.get_vocab().items() if number != padding}

    @cached_property
    def _characters(self) -> list[str]:
        """The vocabulary by number; the padding has no text."""
        characters = [""] * self.model.config.vocab_size
        for text, number in self._vocabulary.items():
            characters[number] = text
        return characters

    @cached_property
    def _words(self) -> WordFilter | None:
        blocked = self.model.config.blocked_words
        return WordFilter(blocked) if blocked else None
