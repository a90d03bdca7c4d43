"""Beam search for every family that writes its answer token by token.

The rules of finishing and stopping are those of transformers' `generate`, with which tests compare. What the network
computes is behind `TokenStepper`; the search itself handles a few numbers for each hypothesis, in NumPy, where small
operations cost least.

Names of dimensions in this file:
    batch       inputs that are not done yet
    beams       hypotheses of an input that are still growing
    rows        hypotheses of all inputs; an input's lie side by side: one at the beginning, then as many as beams
    count       candidates: how an input's hypotheses may go on
    vocabulary  tokens
    source      positions that the attention weighs
"""

import math

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor

from .beam_history import BeamHistory, FinishedBeam
from .decoding import DecodingOptions, Hypothesis, coverage_penalty
from .token_stepper import Candidates, TokenStepper


def beam_search(
    stepper: TokenStepper, mask: Tensor, options: DecodingOptions, config: PreTrainedConfig
) -> list[list[Hypothesis]]:
    """Find the best hypotheses of each input; one beam is greedy search.

    Args:
        stepper: the network before the first token, with one row an input.
        mask: bool (batch, source), True on real positions.
        options: how to search.
        config: names the start and the end token, and how many tokens there are.

    Returns:
        For each input at most `num_return_sequences` hypotheses, best first.
    """
    search = _BeamSearch(mask.cpu().numpy(), options, config)
    tokens, rows = np.full(mask.shape[0], config.decoder_start_token_id), None
    count = 2 * options.num_beams  # enough are left when every beam ends
    for position in range(options.max_new_tokens):
        candidates = stepper.advance(tokens, rows, search.running_scores, count, search.forbidden(position))
        tokens, rows, kept = search.advance(position, candidates)
        if search.all_done:
            break
        if kept is not None:
            stepper.keep(kept)
    return search.hypotheses()


class _BeamSearch:
    """The bookkeeping of one call of `beam_search`."""

    def __init__(self, mask: np.ndarray, options: DecodingOptions, config: PreTrainedConfig):
        self.mask = mask
        self.options = options
        self.end_token_id = config.eos_token_id
        self.vocab_size = config.vocab_size
        batch_size = mask.shape[0]
        self.growing = list(range(batch_size))
        """The inputs that are not done yet, by their numbers."""
        self.items = np.arange(batch_size)[:, None]
        self.width = 1
        """Hypotheses of each input."""
        self.running_scores = np.zeros((batch_size, 1), np.float32)
        self.coverage = np.zeros((batch_size, 1, mask.shape[1]), np.float32)
        self.written = np.full((batch_size, 1), config.decoder_start_token_id)
        self.history = BeamHistory()
        self.finished: list[list[FinishedBeam]] = [[] for _ in range(batch_size)]
        self.done = [False] * batch_size
        self.masks: dict[tuple[int, ...], np.ndarray | None] = {}

    @property
    def all_done(self) -> bool:
        """Whether no growing hypothesis can beat what was found."""
        return all(self.done)

    def forbidden(self, position: int) -> np.ndarray | None:
        """Return minus infinity at every token that must not come next and 0 elsewhere.

        Args:
            position: tokens written so far.

        Returns:
            float32 (rows or 1, vocabulary), or None where every token may come.
        """
        options = self.options
        if position < len(options.prefix_ids):
            mask = np.full((1, self.vocab_size), -np.inf, np.float32)
            mask[0, options.prefix_ids[position]] = 0.0
            return mask
        banned = tuple(options.suppress_tokens)
        if position < options.min_new_tokens:
            banned += (self.end_token_id,)
        if banned not in self.masks:
            self.masks[banned] = _mask_of(banned, self.vocab_size)
        mask = self.masks[banned]
        if options.no_repeat_ngram_size:
            allowed = torch.zeros(len(self.written), self.vocab_size)
            repeated = NoRepeatNGramLogitsProcessor(options.no_repeat_ngram_size)(
                torch.from_numpy(self.written), allowed
            ).numpy()
            return repeated if mask is None else repeated + mask
        return mask

    def advance(self, position: int, candidates: Candidates) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Extend every hypothesis by one token.

        Args:
            position: tokens written so far.
            candidates: for every hypothesis' next token.

        Returns:
            The new tokens, int64 (rows); the rows that they continue, int64 (rows), None where each continues its own;
            and the places of the inputs that go on, int64 (batch), None where all do.
        """
        beams = self.options.num_beams
        scores, log_probabilities, tokens, parents = self._best(candidates)
        attention = candidates.attention.reshape(len(self.growing), self.width, -1)
        if self.options.coverage_penalty:
            self.coverage = self.coverage + attention
        self.history.add_attention(attention, self.growing)

        length_is_out = position + 1 == self.options.max_new_tokens
        ends = np.ones_like(tokens, dtype=bool) if length_is_out else tokens == self.end_token_id
        if np.count_nonzero(ends):  # what goes on comes first, in its order
            self._finish(position, ends[:, :beams], scores, tokens, parents, log_probabilities)
            keep = np.argsort(ends, axis=1, kind="stable")[:, :beams]
            self.running_scores = np.where(ends, -np.inf, scores)[self.items, keep].astype(scores.dtype)
            parents, tokens, log_probabilities = (
                values[self.items, keep] for values in (parents, tokens, log_probabilities)
            )
        else:
            self.running_scores, parents = scores[:, :beams], parents[:, :beams]
            tokens, log_probabilities = tokens[:, :beams], log_probabilities[:, :beams]
        self.history.add_step(tokens, parents, log_probabilities)
        return self._go_on(parents, tokens, self._stop(position + 1))

    def _go_on(
        self, parents: np.ndarray, tokens: np.ndarray, some_are_done: bool
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Leave out the inputs that are done, and let what is kept for each beam follow; return as `advance`."""
        kept, are_their_own = None, self.options.num_beams == 1 and not some_are_done
        rows = None if are_their_own else self.items * self.width + parents
        if self.options.coverage_penalty:
            self.coverage = self.coverage[self.items, parents]
        if some_are_done:
            kept = np.array([place for place, item in enumerate(self.growing) if not self.done[item]], np.int64)
            rows, tokens, self.running_scores = rows[kept], tokens[kept], self.running_scores[kept]
            if self.options.coverage_penalty:
                self.coverage = self.coverage[kept]
            self.growing = [self.growing[place] for place in kept.tolist()]
            self.items = np.arange(len(kept))[:, None]
        self.width = self.options.num_beams
        rows = None if are_their_own else rows.ravel()
        if self.options.no_repeat_ngram_size:
            written = self.written if rows is None else self.written[rows]
            self.written = np.concatenate([written, tokens.reshape(-1, 1)], axis=1)
        return tokens.ravel(), rows, kept

    def _best(self, candidates: Candidates) -> tuple[np.ndarray, ...]:
        """Return scores, log-probabilities, tokens and parents, (batch, 2 * beams), best first."""
        missing = 2 * self.options.num_beams - candidates.totals.shape[1]
        if missing <= 0:
            return candidates[:4]
        padding = ((0, 0), (0, missing))  # at the beginning, where beams outnumber tokens
        scores = np.pad(candidates.totals, padding, constant_values=-np.inf)
        return scores, *(np.pad(values, padding) for values in candidates[1:4])

    def _finish(
        self,
        position: int,
        ends: np.ndarray,
        scores: np.ndarray,
        tokens: np.ndarray,
        parents: np.ndarray,
        log_probabilities: np.ndarray,
    ) -> None:
        """Put every candidate that ends among its input's finished hypotheses, of which the best stay."""
        denominator = self.options.denominator(position + 1)
        for place, column in zip(*(axis.tolist() for axis in ends.nonzero()), strict=True):
            total, parent = float(scores[place, column]), int(parents[place, column])
            if not math.isfinite(total):
                continue
            coverage = self._coverage_penalty(place, parent)
            beam = FinishedBeam(
                position=position,
                parent=parent,
                token_id=int(tokens[place, column]),
                token_log_probability=float(log_probabilities[place, column]),
                score=total / denominator + coverage,
                score_parts={
                    "log_probability": total,
                    "length_denominator": denominator,
                    "coverage_penalty": coverage,
                },
            )
            item = self.growing[place]
            ranking = sorted([*self.finished[item], beam], key=lambda beam: -beam.score)
            self.finished[item] = ranking[: self.options.num_beams]

    def _coverage_penalty(self, place: int, beam: int) -> float:
        if self.options.coverage_penalty == 0.0:
            return 0.0
        received = self.coverage[place, beam][self.mask[self.growing[place]]]
        return coverage_penalty(torch.from_numpy(received), self.options.coverage_penalty)

    def _stop(self, length: int) -> bool:
        """Mark the inputs whose finished hypotheses no growing one can beat any more; say whether there are some."""
        options = self.options
        reachable = (
            options.max_new_tokens if options.early_stopping == "never" and options.length_penalty > 0 else length
        )
        denominator, some_are_done = options.denominator(reachable), False
        for place, item in enumerate(self.growing):
            finished = self.finished[item]
            if len(finished) < options.num_beams:
                continue
            first_ones_do = options.early_stopping is True or options.num_beams == 1
            if first_ones_do or float(self.running_scores[place, 0]) / denominator <= finished[-1].score:
                self.done[item] = some_are_done = True
        return some_are_done

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Read every input's finished hypotheses off the history."""
        lengths = self.mask.sum(axis=1).tolist()
        return [
            [self._hypothesis(item, beam, lengths[item]) for beam in finished[: self.options.num_return_sequences]]
            for item, finished in enumerate(self.finished)
        ]

    def _hypothesis(self, item: int, beam: FinishedBeam, source_length: int) -> Hypothesis:
        token_ids, log_probabilities, attention = self.history.trace(item, beam)
        attention = torch.from_numpy(attention[:, :source_length].copy())
        return Hypothesis(token_ids, log_probabilities, attention, beam.score, dict(beam.score_parts))


def _mask_of(banned: tuple[int, ...], vocab_size: int) -> np.ndarray | None:
    if not banned:
        return None
    mask = np.zeros((1, vocab_size), np.float32)
    mask[0, list(banned)] = -np.inf
    return mask
