"""Answering a question about a story, hop by hop: pipeline("memory-qa")."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from .pipeline_common import RETURN_EVIDENCE, EvidencePipeline, InputError, Option, only_item, shown
from .story_reading import Story, check_words, read_story, readable_words

MAXIMUM_ANSWERS = 100


class MemoryQaPipeline(EvidencePipeline):
    """Answers a question about a story; returns `answer`, `score` (its probability), `start` and `end`.

    `start` and `end` are where the answer stands in the context (for a list: in the sentences joined by spaces),
    first looked for in the sentence that the last hop attends to most; 0 and 0 where it stands nowhere. A network
    holds a number of sentences; of a longer story the newest are read, and `dropped_sentences` says how many are not.

    With `return_evidence=True` each result has `evidence`: `sentences` (S), those that were read, and `attention`, for
    each hop S weights. They sum to 1, or to less where a network can look at nothing (`null_memories`) by what it did.
    """

    options = (
        Option("top_k", "int", "postprocess", "Answers to return, best first.", 1, MAXIMUM_ANSWERS),
        RETURN_EVIDENCE,
    )
    example_input = {"context": "Mary went to the kitchen. John moved to the garden.", "question": "Where is Mary?"}
    ignored_parameters = (
        "align_to_words",
        "doc_stride",
        "handle_impossible_answer",
        "max_answer_len",
        "max_question_len",
        "max_seq_len",
    )

    @staticmethod
    def read_argument(text: str) -> Any:
        """Read the object with context and question that an argument of the command line is, in JSON."""
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f'Expected JSON, {{"context": "…", "question": "…"}}; got {shown(text)}.') from error

    def check_input(self, item: Any) -> Story:
        """Return a story whose words the model knows, or raise an InputError that names those it does not."""
        story = read_story(item)
        check_words(story, self._words_of, self.known_words)
        return story

    def as_response(self, results: list[dict]) -> Any:
        """Return one result as an object, several as a list, as the Hub's schema has it."""
        return results[0] if len(results) == 1 else results

    def preprocess(self, story: Story) -> dict:
        """Keep the story as it is: its sentences become numbers when a batch is complete."""
        return {"story": story}

    def _forward(self, model_inputs: dict) -> dict:
        stories = model_inputs["story"]
        stories = [stories] if isinstance(stories, Story) else stories
        read = [story.sentences[-self.model.config.memory_size :] for story in stories]
        texts = [text for sentences in read for text in sentences] + [story.question for story in stories]
        word_ids = self.tokenizer(texts, padding=True, return_tensors="pt")["input_ids"].to(self.device)
        *memories, questions = word_ids.split([*map(len, read), len(stories)])
        output = self.network(pad_sequence(memories, batch_first=True), questions)
        probabilities, attention = output.logits.float().softmax(dim=1), output.attention.float()
        return {
            "answers": [
                _Answer(story, probabilities[row].cpu(), attention[row, :, : len(sentences)].tolist())
                for row, (story, sentences) in enumerate(zip(stories, read, strict=True))
            ]
        }

    def postprocess(self, outputs: dict, top_k: int = 1, return_evidence: bool = False) -> list[dict]:
        """Turn probabilities into results."""
        answer, results = only_item(outputs["answers"]), []
        scores, numbers = answer.probabilities.topk(min(top_k, len(answer.probabilities)))
        for score, number in zip(scores.tolist(), numbers.tolist(), strict=True):
            text = self.model.config.id2label[number]
            start, end = answer.story.place_of(text, answer.order)
            result = {"answer": text, "score": score, "start": start, "end": end}
            if answer.num_dropped:
                result["dropped_sentences"] = answer.num_dropped
            if return_evidence:
                sentences = list(answer.story.sentences[answer.num_dropped :])
                result["evidence"] = {"sentences": sentences, "attention": answer.attention}
            results.append(result)
        return results

    @cached_property
    def known_words(self) -> frozenset[str]:
        """The words that the model can read, in lower case."""
        return readable_words(self.tokenizer.get_vocab())

    def _words_of(self, text: str) -> list[str]:
        return self.tokenizer.backend_tokenizer.normalizer.normalize_str(text).split()


@dataclass(frozen=True)
class _Answer:
    """A story and what the network says, kept together while transformers takes batches apart."""

    story: Story
    probabilities: torch.Tensor
    """Float32 (answers)."""
    attention: list[list[float]]
    """Hops x sentences that were read."""

    @property
    def num_dropped(self) -> int:
        """Sentences that were not read, the oldest."""
        return len(self.story.sentences) - len(self.attention[0])

    @property
    def order(self) -> list[int]:
        """Numbers of sentences, the one first that the last hop attends to most; unread ones last, the newest first."""
        last, dropped = self.attention[-1], self.num_dropped
        read = sorted(range(len(last)), key=lambda number: (last[number], number), reverse=True)
        return [dropped + number for number in read] + list(range(dropped))[::-1]
