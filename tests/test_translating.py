"""Translation beyond one direction and one answer: guessed languages, other words, and what is unlike all training."""

import dataclasses
import json

import pytest

import hub
from pipelines import InputError, pipeline
from pipelines.translation_alternatives import find_alternatives
from training.attention_nmt_evaluation import mean_log_probabilities, tune_unfamiliar_below
from training.directed_text import Pair

from .conftest import is_close
from .several import ENGLISH, GERMAN, build_several
from .tiny import SENTENCES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_several(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module", params=["torch", "onnx"])
def translate(request, folder):
    return pipeline("attention-translation", model=str(folder), device="cpu", runtime=request.param)


def direction(translate, text, **options):
    evidence = translate(text, return_evidence=True, **options)[0]["evidence"]
    assert evidence["source_tokens"][0] == f"<2{evidence['direction'].split('-')[1]}>"
    return evidence["direction"]


class TestDirection:
    def test_the_source_is_guessed(self, translate):
        assert [direction(translate, text) for text in ENGLISH] == ["en-de"] * 3
        assert [direction(translate, text) for text in GERMAN] == ["de-en"] * 3

    def test_what_is_said_is_not_guessed(self, translate):
        assert direction(translate, GERMAN[0], src_lang="en") == "en-de"
        assert direction(translate, GERMAN[0], src_lang="en", tgt_lang="fr") == "en-fr"
        assert direction(translate, ENGLISH[0], tgt_lang="fr") == "en-fr"

    def test_a_sure_guess_that_fits_no_direction_is_said(self, translate):
        with pytest.raises(InputError, match=r"seems to be in 'de', .*got tgt_lang 'fr'") as caught:
            translate(GERMAN[1], tgt_lang="fr")
        assert caught.value.field == "tgt_lang"
        with pytest.raises(InputError, match="translates en-de, en-fr, de-en; got de-fr"):
            translate(GERMAN[1], src_lang="de", tgt_lang="fr")

    def test_an_unsure_guess_gives_way(self, translate, monkeypatch):
        monkeypatch.setattr("pipelines.translation_direction.CERTAIN", 1.01)
        assert direction(translate, GERMAN[1], tgt_lang="fr") == "en-fr"

    def test_without_counts_the_first_direction_that_fits_is_taken(self, translate, monkeypatch):
        monkeypatch.setattr(translate.tokenizer, "_counts", {})
        assert direction(translate, GERMAN[0]) == "en-de"
        assert direction(translate, GERMAN[0], tgt_lang="fr") == "en-fr"

    def test_sentences_of_one_batch_each_have_their_own(self, translate):
        texts = [ENGLISH[1], GERMAN[0], ENGLISH[0]]
        alone = [translate(text, return_evidence=True) for text in texts]
        assert is_close(translate(texts, batch_size=3, return_evidence=True), alone)
        assert [one[0]["evidence"]["direction"] for one in alone] == ["en-de", "de-en", "en-de"]

    def test_a_checkpoint_of_one_direction_names_it(self, tiny_checkpoint_of):
        translate = tiny_checkpoint_of("attention-translation").pipeline()
        assert translate(GERMAN[0], return_evidence=True)[0]["evidence"]["direction"] == "en-de"


class TestUnfamiliar:
    def test_unknown_pieces_are_listed_and_unfamiliar(self, translate):
        evidence = translate("A dog 😀 runs 漢字.", return_evidence=True)[0]["evidence"]
        assert (evidence["unknown_pieces"], evidence["unfamiliar"]) == (["😀", "漢字"], True)

    def test_nobody_can_tell_without_a_threshold(self, translate):
        evidence = translate(ENGLISH[0], return_evidence=True)[0]["evidence"]
        assert (evidence["unknown_pieces"], evidence["unfamiliar"]) == ([], None)

    def test_the_best_translations_mean_tells(self, translate, monkeypatch):
        options = {"num_beams": 3, "num_return_sequences": 3, "return_evidence": True}
        best = translate(ENGLISH[0], **options)[0]["evidence"]["token_log_probabilities"]
        mean = sum(best) / len(best)
        for threshold, expected in ((mean + 0.01, True), (mean - 0.01, False)):
            monkeypatch.setattr(translate.model.config, "unfamiliar_below", threshold)
            told = [result["evidence"]["unfamiliar"] for result in translate(ENGLISH[0], **options)]
            assert told == [expected] * 3

    def test_pieces_that_were_forced_do_not_count(self, translate, monkeypatch):
        forced = {"target_prefix": "Pferd Pferd", "return_evidence": True}
        evidence = translate(ENGLISH[0], **forced)[0]["evidence"]
        num_forced = len(translate.tokenizer.tokenize("Pferd Pferd"))
        own = evidence["token_log_probabilities"][num_forced:]
        monkeypatch.setattr(translate.model.config, "unfamiliar_below", sum(own) / len(own) - 0.01)
        assert translate(ENGLISH[0], **forced)[0]["evidence"]["unfamiliar"] is False
        assert translate.score(ENGLISH[0], "Ein Ball.")["evidence"]["unfamiliar"] is None

    def test_the_threshold_is_a_percentile_that_the_checkpoint_keeps(self, folder, tmp_path):
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in folder.iterdir():
            if file.is_file():
                (copy / file.name).write_bytes(file.read_bytes())
        pipe = pipeline("attention-translation", model=str(copy), device="cpu", runtime="torch")
        pairs = [Pair(text, "", target) for text, target in zip(SENTENCES, ["de"] * 3 + ["en"] * 3, strict=True)]
        means = sorted(mean_log_probabilities(pipe.model, pipe.tokenizer, pairs, 2))
        threshold = tune_unfamiliar_below(pipe, pairs, 2)
        assert threshold == pytest.approx(means[0] + 0.1 * (means[1] - means[0]), abs=1e-4)  # 2 % of five steps
        before, after = (json.loads((one / "config.json").read_text()) for one in (folder, copy))
        assert after == before | {"unfamiliar_below": threshold}
        hub.check(copy)
        again = pipeline("attention-translation", model=str(copy), device="cpu", runtime="torch")
        told = [again(text, num_beams=2, return_evidence=True)[0]["evidence"]["unfamiliar"] for text in SENTENCES]
        assert told.count(True) == 1


def pieces_of(result):
    return result["evidence"]["target_tokens"]


class TestAlternatives:
    def test_the_first_is_the_best_next_piece_and_all_begin_alike(self, translate):
        greedy = translate(ENGLISH[1], num_beams=1, return_evidence=True)[0]
        for position in range(len(pieces_of(greedy))):
            found = translate.alternatives(ENGLISH[1], pieces_of(greedy), position, num=4, num_beams=2)
            assert pieces_of(found[0])[position] == pieces_of(greedy)[position]
            likely = [one["evidence"]["token_log_probabilities"][position] for one in found]
            assert likely == sorted(likely, reverse=True)
            for one in found:
                assert pieces_of(one)[:position] == pieces_of(greedy)[:position]

    def test_next_words_are_different(self, translate):
        for position in (0, 1, 3):
            pieces = pieces_of(translate(ENGLISH[2], num_beams=2, return_evidence=True)[0])
            found = translate.alternatives(ENGLISH[2], pieces, position, num=5)
            ids = [translate.tokenizer.convert_tokens_to_ids(pieces_of(one)) for one in found]
            words = [translate._word_at(one, position) for one in ids]
            assert len(found) == 5 and len(set(words)) == 5

    def test_each_is_the_search_that_begins_with_its_pieces(self, translate):
        pieces = pieces_of(translate(ENGLISH[0], return_evidence=True)[0])
        read = translate.preprocess(ENGLISH[0])
        for one in translate.alternatives(ENGLISH[0], pieces, 1, num=3, num_beams=3):
            if len(pieces_of(one)) > 2:
                prefix = tuple(translate.tokenizer.convert_tokens_to_ids(pieces_of(one)[:2]))
                (found,) = translate.network.translate(
                    read["input_ids"], read["attention_mask"], num_beams=3, prefix_ids=prefix
                )
                assert found[0].token_ids == translate.tokenizer.convert_tokens_to_ids(pieces_of(one))
                assert found[0].score == pytest.approx(one["score"], abs=1e-5)

    def test_the_option_does_the_same_after_a_prefix(self, translate):
        pieces = [*translate.tokenizer.tokenize("Ein Ball"), "</s>"]
        expected = translate.alternatives(ENGLISH[0], pieces, len(pieces) - 1, num=3, num_beams=2)
        options = {"target_prefix": "Ein Ball", "num_beams": 2, "num_return_sequences": 3, "return_evidence": True}
        assert translate(ENGLISH[0], alternatives=True, **options) == expected
        served = translate.serve([*ENGLISH[:2]], options | {"alternatives": True})
        assert is_close(served[0], expected) and len(served[1]) == 3
        one = translate(ENGLISH[0], alternatives=True, num_beams=2, return_evidence=False)
        assert len(one) == 1 and one[0].keys() == {"translation_text", "score"}

    def test_a_batch_gives_what_single_inputs_give(self, translate):
        options = {"alternatives": True, "num_return_sequences": 2, "return_evidence": True}
        alone = [translate(text, **options) for text in ENGLISH]
        assert is_close(translate(list(ENGLISH), batch_size=3, **options), alone)

    def test_inspect_is_what_a_service_asks(self, translate):
        expected = translate.alternatives(ENGLISH[0], ["▁"], 0, num=2)
        assert translate.inspect(ENGLISH[0], target_tokens=["▁"], position=0, num=2) == {"alternatives": expected}

    @pytest.mark.parametrize(
        ("tokens", "position", "options", "message", "field"),
        [
            ("Ein", 0, {}, "list of pieces; got 'Ein'", "target_tokens"),
            ([5], 0, {}, "list of pieces", "target_tokens"),
            (["▁"], 2, {}, "whole number from 0 to 1; got 2", "position"),
            (["▁"], -1, {}, "whole number from 0 to 1", "position"),
            (["▁"], True, {}, "whole number", "position"),
            (["nothing like it"], 1, {}, "pieces of the vocabulary", "target_tokens"),
            (["</s>", "▁"], 1, {}, "the end last", "target_tokens"),
            (["▁"], 0, {"num": 99}, "num_return_sequences must be", "num_return_sequences"),
            (["▁"] * 3, 3, {"max_new_tokens": 3}, "more than the 3 pieces", "max_new_tokens"),
            (["▁"], 0, {"colour": 1}, "Unknown option 'colour'", "colour"),
        ],
    )
    def test_what_cannot_be_continued_is_refused(self, translate, tokens, position, options, message, field):
        with pytest.raises(InputError, match=message) as caught:
            translate.alternatives(ENGLISH[0], tokens, position, **options)
        assert caught.value.field == field


@dataclasses.dataclass
class Found:
    token_ids: list[int]


def test_words_that_are_found_twice_are_told_once_and_the_end_is_no_beginning():
    asked = []

    def translate(prefix_ids, max_new_tokens=9, **options):
        asked.append((prefix_ids, options))
        if max_new_tokens == len(prefix_ids) + 1:
            return [Found([*prefix_ids, piece]) for piece in (5, 6, 2, 7, 8)]
        return [Found([*prefix_ids, 2])]

    def word_at(pieces, place):
        return {5: "one", 6: "one", 2: "", 7: "two", 8: "three"}[pieces[place]]

    found = find_alternatives(translate, [4], 3, 9, 2, word_at, num_beams=4)
    assert [one.token_ids for one in found] == [[4, 5, 2], [4, 2], [4, 7, 2]]
    assert [prefix for prefix, _ in asked] == [(4,), (4, 5), (4, 6), (4, 7)]
    assert [options["num_beams"] for _, options in asked] == [9, 4, 4, 4]
