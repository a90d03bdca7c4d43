"""The translation tab without a browser: languages, words to choose, both ways of the alignment, and the notice."""

import ast
import html
import re
from types import SimpleNamespace

import gradio as gr
import pytest

import demo.application
import hub
from demo.alignment import by_source, readable
from demo.attention_translation import OPTION_NAMES
from demo.snippets import client_snippet
from demo.translation_answer import DISTRUST, alternatives_html, answer_html, told_html
from demo.translation_handlers import (
    FORGOTTEN,
    FROM_SOURCE,
    FROM_TARGET,
    Offered,
    go_on_with,
    hypothesis_labels,
    picture_html,
    redraw,
)
from demo.translation_languages import directions, fit_languages, is_of_several, swapped, title
from pipelines import InputError, pipeline
from serving.checkpoints import ServedCheckpoints
from serving.served_checkpoint import ServedCheckpoint

from .several import ENGLISH, GERMAN, NAMES, build_one, build_several, task_of_both

OPTIONS = (3, 2, 1.0, 0.0, 0)
"""In the order of OPTION_NAMES."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """The page for a checkpoint of several directions and one of one; and the first one's pipeline."""
    folder, task = tmp_path_factory.mktemp("tab"), task_of_both()
    build_several(folder), build_one(folder)
    served = ServedCheckpoints(ServedCheckpoint(folder / name, task) for name in NAMES)
    served.start()
    assert served.wait_until_loaded(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "CHECKPOINTS", folder)
        patch.setattr(demo.application, "TASKS", {task.name: task})
        page = demo.application.build_demo(served)
        pipe = pipeline(task.name, model=str(folder / NAMES[0]), device="cpu")
        yield SimpleNamespace(page=page, pipe=pipe, served=served)


def handler(tab, name):
    return next(event.fn for event in tab.page.fns.values() if event.fn and event.fn.__name__ == name)


def translate(tab, text, checkpoint="several", source="", target="", prefix=""):
    return handler(tab, "translate")(False, FROM_TARGET, text, checkpoint, source, target, prefix, *OPTIONS)


def followed(tab, query):
    """Follow a link; return what changes by its label."""
    changed = handler(tab, "follow_link")(SimpleNamespace(query_params=query))
    return {getattr(one, "label", None): value for one, value in changed.items()}


def words_of(answer):
    return [
        (int(place), html.unescape(word)) for place, word in re.findall(r'data-position="(\d+)">(.*?)</span>', answer)
    ]


def text_in(markup):
    return html.unescape(re.sub("<[^>]*>", "", markup))


class TestLanguages:
    def test_the_page_asks_as_the_menus_say(self, tab):
        named = dict(zip(OPTION_NAMES, OPTIONS, strict=True)) | {"return_evidence": True}
        for text, menus in ((GERMAN[0], {}), (GERMAN[0], {"src_lang": "en", "tgt_lang": "fr"})):
            _, _, told, *_, results, asked, _ = translate(
                tab, text, source=menus.get("src_lang", ""), target=menus.get("tgt_lang", "")
            )
            assert results == tab.pipe(text, **named, **menus)
            assert {
                name: asked.parameters.get(name) for name in ("src_lang", "tgt_lang") if name in asked.parameters
            } == menus
            expected = "English → French" if menus else "Detected language: German. Translated into English."
            assert text_in(told) == expected

    def test_a_language_that_is_not_translated_into_is_explained(self, tab):
        message, *others = translate(tab, GERMAN[1], target="fr")
        assert "seems to be in 'de'" in html.unescape(message.value) and others == [gr.skip()] * 9

    def test_of_one_direction_nothing_is_asked_and_nothing_told(self, tab):
        _, _, told, *_, results, asked, _ = translate(tab, ENGLISH[0], "one-en-de", source="de", target="en")
        assert told == "" and results[0]["evidence"]["direction"] == "en-de"
        assert not {"src_lang", "tgt_lang"} & asked.parameters.keys()

    def test_menus_fit_the_checkpoint_and_the_source(self, tab):
        source, target, swap = fit_languages("several")
        assert source.choices == [("Detect", ""), ("English", "en"), ("German", "de")]
        assert target.choices == [("Automatic", ""), ("German", "de"), ("French", "fr"), ("English", "en")]
        assert (source.value, target.value, swap.interactive) == ("", "", True)
        for chosen, expected in ((("en", "fr"), ("en", "fr")), (("de", "fr"), ("de", "en")), (("", "fr"), ("", "fr"))):
            assert tuple(menu.value for menu in fit_languages("several", *chosen)[:2]) == expected
        assert fit_languages("several", "de")[1].choices == [("English", "en")]
        source, target, swap = fit_languages("one-en-de", "de", "fr")
        assert (source.choices, target.choices) == ([("English", "")], [("German", "")])
        assert not (source.interactive or target.interactive or swap.interactive)

    def test_checkpoints_are_named_by_their_languages(self, tab, monkeypatch):
        assert (title("one-en-de"), is_of_several("one-en-de")) == ("English → German", False)
        assert (title("several"), is_of_several("several")) == ("English, German, French", True)
        monkeypatch.setattr(
            "demo.translation_languages.directions", lambda _: [("en", "de"), ("de", "en"), ("en", "fr"), ("fr", "en")]
        )
        assert title("tatoeba") == "English ⇄ German, French"

    def test_a_checkpoint_that_is_not_here_is_named_by_its_name(self, tmp_path, monkeypatch):
        monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
        assert directions("attention-nmt-en-fr") == [("en", "fr")] and directions("attention-nmt-tatoeba") == []
        assert title("attention-nmt-tatoeba") == "attention-nmt-tatoeba"
        assert [menu.interactive for menu in fit_languages("attention-nmt-tatoeba")] == [False] * 3

    def test_swapping_makes_the_translation_the_text(self, tab):
        *_, results, _, _ = translate(tab, GERMAN[0])
        text, source, target, _ = swapped("several", "", "", 1, results)
        assert text == results[1]["translation_text"]
        assert (source.value, target.value) == ("en", "de")
        text, source, target, _ = swapped("several", "en", "de", None, [])
        assert (text, source.value, target.value) == (gr.skip(), "de", "en")

    def test_what_cannot_be_swapped_says_so(self, tab):
        with pytest.raises(gr.Error, match="no translation yet"):
            swapped("several", "", "", None, [])
        with pytest.raises(gr.Error, match="does not translate from French into English"):
            swapped("several", "en", "fr", None, [])

    def test_programs_and_links_name_languages_that_were_chosen(self, tab):
        request = SimpleNamespace(headers={"host": "demo:1"})
        write = handler(tab, "write")
        for program in write(request, "A dog.", "several", "en", "fr", "", *OPTIONS):
            assert "src_lang" in program and "tgt_lang" in program
        for checkpoint, languages in (("several", ("", "")), ("one-en-de", ("de", "en"))):
            for program in write(request, "A dog.", checkpoint, *languages, "", *OPTIONS):
                assert "_lang" not in program
        query = {"tab": "attention-translation", "src_lang": "de", "tgt_lang": "en"}
        changed = followed(tab, query)
        assert (changed["From"].value, changed["Into"].value) == ("de", "en")
        query["checkpoint"] = "one-en-de"
        changed = followed(tab, query)
        assert (changed["Model"], changed["From"].value, changed["From"].interactive) == ("one-en-de", "", False)

    def test_the_hubs_client_takes_both_languages_or_an_option(self):
        for parameters in ({"src_lang": "en", "tgt_lang": "fr", "num_beams": 2}, {"tgt_lang": "fr"}):
            program = client_snippet("http://a:1", "several", "translation", "A dog.", parameters)
            (call,) = [
                node
                for node in ast.walk(ast.parse(program))
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "translation"
            ]
            given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            assert ({"src_lang", "tgt_lang"} <= given.keys()) == ("src_lang" in parameters)
            assert given.pop("generate_parameters") | given == parameters


class TestWords:
    def test_every_word_is_a_button_and_the_text_is_the_translation(self, tab):
        for result in tab.pipe(ENGLISH[2], num_beams=4, num_return_sequences=4, return_evidence=True):
            answer, tokens = answer_html(result), result["evidence"]["target_tokens"]
            assert text_in(answer) == result["translation_text"] and 'lang="de"' in answer
            places = [place for place, _ in words_of(answer)]
            assert places == sorted(set(places)) and all(tokens[place] != "</s>" for place in places)
            assert answer.count('role="button"') == len(places) and answer.count('tabindex="0"') == min(1, len(places))

    def test_a_word_that_is_clicked_shows_what_else_could_stand_there(self, tab):
        *_, results, asked, _ = translate(tab, ENGLISH[0])
        place, word = words_of(answer_html(results[1]))[0]
        message, drawn, offered = handler(tab, "look_at_word")(1, results, asked, SimpleNamespace(position=place))
        assert not message.visible
        options = {name: asked.parameters[name] for name in ("num_beams", "length_penalty")}
        expected = tab.pipe.alternatives(ENGLISH[0], results[1]["evidence"]["target_tokens"], place, num=6, **options)
        assert offered.results == expected and offered.position == place
        assert drawn.count("<button") == len(expected) and f"In the place of “{html.escape(word)}”" in drawn
        for rank, result in enumerate(expected):
            button = re.search(rf'data-rank="{rank}".*?<span>(.*?)</span>', drawn)[1]
            assert text_in(button).replace("⏎ the end", "").strip() == result["translation_text"].strip()

    def test_a_choice_goes_on_with_it(self, tab):
        *_, results, asked, _ = translate(tab, ENGLISH[0])
        place = words_of(answer_html(results[0]))[0][0]
        _, _, offered = handler(tab, "look_at_word")(0, results, asked, SimpleNamespace(position=place))
        new = next(
            rank
            for rank, one in enumerate(offered.results)
            if one["evidence"]["target_tokens"] not in [result["evidence"]["target_tokens"] for result in results]
        )
        picked = SimpleNamespace(rank=new)
        page = go_on_with(results, asked, offered, True, FROM_SOURCE, picked)
        message, answer, said, hypotheses, picture, more = page
        chosen = offered.results[new]
        assert more == [*results, chosen] and hypotheses.value == len(results)
        assert "your choice" in hypotheses.choices[-1][0] and "your choice" not in hypotheses.choices[0][0]
        assert answer == answer_html(chosen) and picture == picture_html(chosen, True, FROM_SOURCE)
        assert "data-chosen" in said and not message.visible
        again = go_on_with(more, asked, offered, False, FROM_TARGET, picked)
        assert again[-1] == more and again[3].value == len(results)

    def test_what_the_server_forgot_is_asked_for_again(self, tab):
        look = handler(tab, "look_at_word")
        message, *others = look(0, [], None, SimpleNamespace(position=0))
        assert FORGOTTEN in message.value and others == [gr.skip()] * 2
        *_, results, asked, _ = translate(tab, ENGLISH[0])
        for place in (99, -1, "0", True):
            assert FORGOTTEN in look(0, results, asked, SimpleNamespace(position=place))[0].value
        for rank in (5, -1, "0"):
            with pytest.raises(InputError, match="Press Translate again"):
                go_on_with(results, asked, Offered(0, results), False, FROM_TARGET, SimpleNamespace(rank=rank))
        with pytest.raises(gr.Error, match="Press Translate again"):
            redraw(0, [], False, FROM_SOURCE)

    def test_what_people_typed_is_escaped(self):
        evidence = {"target_tokens": ["▁<b>", "▁&", "</s>"], "token_log_probabilities": [-1.0] * 3, "direction": None}
        result = {
            "translation_text": "<b> &",
            "score": -1.0,
            "evidence": evidence | {"unknown_pieces": ["<i>"], "unfamiliar": True},
        }
        for markup in (answer_html(result), alternatives_html([result], result, 1), told_html(result, True, True)):
            assert "<i>" not in markup and "<b> " not in markup and "& " not in markup


class TestNotice:
    @pytest.mark.parametrize(
        ("unknown", "unfamiliar", "expected"),
        [
            ([], None, ""),
            ([], False, ""),
            ([], True, DISTRUST),
            (["😀", "漢字"], True, f"The network has never read “😀”, “漢字”. {DISTRUST}"),
        ],
    )
    def test_it_says_what_the_evidence_says(self, unknown, unfamiliar, expected):
        result = {"evidence": {"direction": "en-de", "unknown_pieces": unknown, "unfamiliar": unfamiliar}}
        assert text_in(told_html(result, True, is_of_several=False)) == expected

    def test_the_page_shows_it(self, tab):
        _, _, told, *_ = translate(tab, "A dog 😀 runs.")
        assert 'role="alert"' in told and "“😀”" in told


class TestAlignment:
    WEIGHTS = [[0.7, 0.3, 0.0], [0.1, 0.9, 0.0]]

    def test_turned_round_each_sources_shares_sum_to_one(self):
        turned = by_source(self.WEIGHTS)
        assert turned[0] == pytest.approx([0.7 / 0.8, 0.1 / 0.8]) and turned[1] == pytest.approx([0.25, 0.75])
        assert turned[2] == [0.0, 0.0]
        assert by_source([]) == []

    def test_the_picture_is_drawn_either_way(self, tab):
        (result,) = tab.pipe(ENGLISH[1], num_beams=1, return_evidence=True)
        evidence = result["evidence"]
        picture = picture_html(result, False, FROM_SOURCE)
        drawn = [float(weight) for weight in re.findall(r"--weight:([\d.]+)", picture)]
        assert drawn == pytest.approx([w for row in by_source(evidence["attention"]) for w in row], abs=6e-4)
        assert picture.count('scope="row"') == len(evidence["source_tokens"])
        assert "α(t, s) / Σ α(t′, s)" in picture and "--probability" not in picture
        assert redraw(0, [result], False, FROM_SOURCE) == picture
        assert redraw(0, [result], False, FROM_TARGET) == picture_html(result, False)

    def test_the_language_wanted_is_written_for_people(self):
        assert readable("<2de>") == "→ de"


def test_chosen_hypotheses_are_told_apart():
    evidence = {"target_tokens": ["</s>"]}
    results = [{"translation_text": text, "score": -1.0, "evidence": evidence} for text in ("a", "b")]
    assert hypothesis_labels(results, 1) == ["1. a (−1.00)", "2. b (−1.00, your choice)"]
