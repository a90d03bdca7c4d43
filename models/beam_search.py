"""Beam search for every family that writes its answer token by token.

The rules of finishing and stopping are those of transformers' `generate`, with which tests compare.

Names of dimensions in this file:
    batch       inputs
    beams       hypotheses of an input that are still growing
    rows        batch * beams; an input's beams lie side by side
    vocabulary  tokens
    source      positions that the attention weighs
"""

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor

from .beam_history import BeamHistory, FinishedBeam
from .decoding import DecoderState, DecodingOptions, Hypothesis, StepFunction, coverage_penalty


def beam_search(
    step: StepFunction, state: DecoderState, mask: Tensor, options: DecodingOptions, config: PreTrainedConfig
) -> list[list[Hypothesis]]:
    """Find the best hypotheses of each input; one beam is greedy search.

    Args:
        step: the network.
        state: its state before the first token, `num_beams` rows an input.
        mask: bool (batch, source), True on real positions.
        options: how to search.
        config: names the start and the end token.

    Returns:
        For each input at most `num_return_sequences` hypotheses, best first.
    """
    search = _BeamSearch(mask, options, config)
    tokens = mask.new_full((mask.shape[0] * options.num_beams,), config.decoder_start_token_id, dtype=torch.long)
    for position in range(options.max_new_tokens):
        logits, state, attention = step(tokens, state)
        tokens, rows = search.advance(position, logits, attention)
        if all(search.done):
            break
        state = state.select(rows)
    return search.hypotheses()


class _BeamSearch:
    """The bookkeeping of one call of `beam_search`."""

    def __init__(self, mask: Tensor, options: DecodingOptions, config: PreTrainedConfig):
        self.mask = mask
        self.options = options
        self.end_token_id = config.eos_token_id
        batch_size, beams = mask.shape[0], options.num_beams
        self.first_rows = torch.arange(batch_size, device=mask.device).unsqueeze(1) * beams
        self.running_scores: Tensor | None = None
        self.coverage = torch.zeros(batch_size, beams, mask.shape[1], device=mask.device)
        self.written = mask.new_full((batch_size * beams, 1), config.decoder_start_token_id, dtype=torch.long)
        self.history = BeamHistory()
        self.finished: list[list[FinishedBeam]] = [[] for _ in range(batch_size)]
        self.done = [False] * batch_size

    def advance(self, position: int, logits: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Extend every hypothesis by one token.

        Args:
            position: tokens written so far.
            logits: (rows, vocabulary).
            attention: (rows, source).

        Returns:
            The new tokens and the rows that they continue, both int64 (rows).
        """
        beams = self.options.num_beams
        scores, tokens, parents, log_probabilities = self._candidates(position, logits)
        attention = attention.view(self.coverage.shape).float()
        self.coverage = self.coverage + attention
        self.history.add_attention(attention)

        length_is_out = position + 1 == self.options.max_new_tokens
        ends = torch.ones_like(tokens, dtype=torch.bool) if length_is_out else tokens == self.end_token_id
        self._finish(position, ends[:, :beams], scores, tokens, parents, log_probabilities)

        keep = scores.masked_fill(ends, float("-inf")).topk(beams, dim=1).indices
        self.running_scores = scores.masked_fill(ends, float("-inf")).gather(1, keep)
        parents, tokens = parents.gather(1, keep), tokens.gather(1, keep)
        self.history.add_step(tokens, parents, log_probabilities.gather(1, keep))
        self._stop(position + 1)

        rows = (self.first_rows + parents).flatten()
        self.coverage = self.coverage.flatten(0, 1)[rows].view(self.coverage.shape)
        if self.options.no_repeat_ngram_size:
            self.written = torch.cat([self.written[rows], tokens.view(-1, 1)], dim=1)
        return tokens.flatten(), rows

    def _candidates(self, position: int, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scores, tokens, parents and log-probabilities, (batch, 2 * beams), best first.

        Twice as many as there are beams, so that enough are left when every beam could end.
        """
        logits = logits if logits.dtype == torch.float64 else logits.float()
        normaliser = logits.logsumexp(dim=-1, keepdim=True)
        count = min(2 * self.options.num_beams, logits.shape[-1])
        best_logits, tokens = self._allowed(position, logits).topk(count, dim=-1)
        log_probabilities = (best_logits - normaliser).view(-1, self.options.num_beams, count)
        if self.running_scores is None:  # all beams of an input are the same so far: only the first counts
            self.running_scores = log_probabilities.new_full(log_probabilities.shape[:2], float("-inf"))
            self.running_scores[:, 0] = 0.0
        totals = (log_probabilities + self.running_scores.unsqueeze(-1)).flatten(1)
        scores, best = totals.topk(min(2 * self.options.num_beams, totals.shape[1]), dim=1)
        tokens = tokens.view(totals.shape).gather(1, best)
        return scores, tokens, best // count, log_probabilities.flatten(1).gather(1, best)

    def _allowed(self, position: int, logits: Tensor) -> Tensor:
        """Return the logits with minus infinity at every token that must not come next."""
        options = self.options
        if position < len(options.prefix_ids):
            forced = torch.full_like(logits, float("-inf"))
            forced[:, options.prefix_ids[position]] = logits[:, options.prefix_ids[position]]
            return forced
        banned = [
            *options.suppress_tokens,
            *([self.end_token_id] if position < options.min_new_tokens else []),
        ]
        if banned:
            logits = logits.index_fill(1, torch.tensor(banned, device=logits.device), float("-inf"))
        if options.no_repeat_ngram_size:
            logits = NoRepeatNGramLogitsProcessor(options.no_repeat_ngram_size)(self.written, logits)
        return logits

    def _finish(
        self,
        position: int,
        ends: Tensor,
        scores: Tensor,
        tokens: Tensor,
        parents: Tensor,
        log_probabilities: Tensor,
    ) -> None:
        """Put every candidate that ends among its input's finished hypotheses, of which the best stay."""
        denominator = self.options.denominator(position + 1)
        for item, rank in (ends & scores[:, : ends.shape[1]].isfinite()).nonzero().tolist():
            if self.done[item]:
                continue
            parent, total = int(parents[item, rank]), float(scores[item, rank])
            coverage = self._coverage_penalty(item, parent)
            beam = FinishedBeam(
                position=position,
                parent=parent,
                token_id=int(tokens[item, rank]),
                token_log_probability=float(log_probabilities[item, rank]),
                score=total / denominator + coverage,
                score_parts={
                    "log_probability": total,
                    "length_denominator": denominator,
                    "coverage_penalty": coverage,
                },
            )
            ranking = sorted([*self.finished[item], beam], key=lambda beam: -beam.score)
            self.finished[item] = ranking[: self.options.num_beams]

    def _coverage_penalty(self, item: int, beam: int) -> float:
        if self.options.coverage_penalty == 0.0:
            return 0.0
        received = self.coverage[item, beam][self.mask[item]]
        return coverage_penalty(received, self.options.coverage_penalty)

    def _stop(self, length: int) -> None:
        """Mark the inputs whose finished hypotheses no growing one can beat any more."""
        options = self.options
        reachable = (
            options.max_new_tokens if options.early_stopping == "never" and options.length_penalty > 0 else length
        )
        best_running = (self.running_scores[:, 0] / options.denominator(reachable)).tolist()
        for item, finished in enumerate(self.finished):
            if len(finished) < options.num_beams:
                continue
            first_ones_do = options.early_stopping is True or options.num_beams == 1
            self.done[item] = self.done[item] or first_ones_do or best_running[item] <= finished[-1].score

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Read every input's finished hypotheses off the history."""
        lengths = self.mask.sum(dim=1).tolist()
        return [
            [self._hypothesis(item, beam, lengths[item]) for beam in finished[: self.options.num_return_sequences]]
            for item, finished in enumerate(self.finished)
        ]

    def _hypothesis(self, item: int, beam: FinishedBeam, source_length: int) -> Hypothesis:
        token_ids, log_probabilities, attention = self.history.trace(item, beam)
        return Hypothesis(
            token_ids, log_probabilities, attention[:, :source_length], beam.score, dict(beam.score_parts)
        )
