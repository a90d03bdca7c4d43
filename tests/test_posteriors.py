"""The drawing of a recording, its words and the label probabilities, against the numbers that it draws."""

import base64
import io
import itertools
import math
import re
import wave
from xml.etree import ElementTree

import numpy as np
import pytest

from demo.posterior_picture import (
    CURVES_END,
    CURVES_HEIGHT,
    LETTER_PIXELS,
    PIXELS_PER_SECOND,
    picture_html,
)
from demo.posteriors import BLANK, GAP, Letter, Posteriors, curve, letters, notable, posteriors_of
from demo.recording import LONGEST_SECONDS, SAMPLING_RATE, DrawnRecording, draw_recording, player_html
from demo.transcript import NOTHING, PADDING_SECONDS, score_sentence, signed, transcript_html

LABELS = (BLANK, GAP, "A", "<", "B")
FRAME_SECONDS = 0.04
PROBABILITIES = np.array(
    [
        [0.999, 0.000, 0.000, 0.000, 0.001],
        [0.300, 0.000, 0.700, 0.000, 0.000],
        [0.060, 0.000, 0.900, 0.040, 0.000],
        [0.480, 0.500, 0.000, 0.020, 0.000],
        [0.450, 0.000, 0.050, 0.300, 0.200],
        [0.990, 0.000, 0.000, 0.000, 0.010],
    ]
)
ALIGNMENT = [0, 2, 2, 1, 3, 0]
POSTERIORS = Posteriors(LABELS, FRAME_SECONDS, PROBABILITIES)
RECORDING = DrawnRecording([(-0.5, 1.0)] * 24, 0.24, 0.24)
TRANSCRIPT = {
    "text": "A <",
    "score": -1.5,
    "score_parts": {"acoustic": -3.0, "language_model": 0.0, "word_bonus": 1.5, "hot_words": 0.0},
    "chunks": [
        {"text": "A", "timestamp": [0.04, 0.12], "confidence": 0.95},
        {"text": "<", "timestamp": [0.16, 0.2], "confidence": 0.25},
    ],
    "alignment": ALIGNMENT,
}


def picture(recording=RECORDING, posteriors=POSTERIORS, transcript=TRANSCRIPT):
    """Draw, and read what is drawn as XML."""
    page = picture_html(recording, posteriors, *(transcript[name] for name in ("text", "chunks", "alignment")))
    return ElementTree.fromstring(page)


def page(transcript=TRANSCRIPT, recording=RECORDING, posteriors=POSTERIORS):
    """Draw everything, and read it as XML."""
    return ElementTree.fromstring(f"<div>{transcript_html(recording, posteriors, transcript)}</div>")


def of_class(root, name):
    return [element for element in root.iter() if name in (element.get("class") or "").split()]


def share(element, name="x"):
    """Read a length in percent as a share."""
    return float(element.get(name).removesuffix("%")) / 100


def points(path):
    """Read the subpaths of a curve."""
    return [[tuple(map(float, point.split(","))) for point in part.split("L")] for part in path.split("M")[1:]]


def played(player):
    """Return the samples in a player's address."""
    (content,) = re.findall(r'src="data:audio/wav;base64,([^"]+)"', player)
    with wave.open(io.BytesIO(base64.b64decode(content))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_what_is_drawn_of_the_evidence_is_its_beginning_as_probabilities():
    heard = np.log(np.tile(PROBABILITIES + 1e-9, (200, 1)))
    found = posteriors_of({"labels": list(LABELS), "frame_seconds": FRAME_SECONDS, "log_probabilities": heard.tolist()})
    assert found.labels == LABELS and found.probabilities.shape == (LONGEST_SECONDS / FRAME_SECONDS, 5)
    np.testing.assert_allclose(found.probabilities[:6], PROBABILITIES, atol=1e-6)


def test_an_impossible_label_is_drawn_as_such():
    evidence = {"labels": ["", "A"], "frame_seconds": 0.04, "log_probabilities": [[0.0, -math.inf]]}
    assert posteriors_of(evidence).probabilities.tolist() == [[1.0, 0.0]]


def test_labels_that_exceed_a_tenth_come_in_the_order_in_which_they_do():
    assert notable(POSTERIORS) == ["A", GAP, "<", "B"]
    assert notable(Posteriors(LABELS, FRAME_SECONDS, PROBABILITIES[:3])) == ["A"]


def test_the_transcripts_letters_stand_at_their_peaks_and_rivals_at_theirs():
    assert letters(POSTERIORS, ALIGNMENT) == [
        Letter("A", 2, 0.9, True),
        Letter(GAP, 3, 0.5, True),
        Letter("<", 4, 0.3, True),
        Letter("B", 4, 0.2, False),
    ]
    other = letters(POSTERIORS, [0, 0, 0, 0, 4, 0])
    assert [letter.label for letter in other if letter.is_said] == ["B"]
    assert [(letter.label, letter.frame) for letter in other if not letter.is_said] == [(GAP, 3), ("A", 2), ("<", 4)]


def test_a_letter_said_twice_stands_twice():
    doubled = np.array([[0.1, 0.9], [0.8, 0.2], [0.2, 0.8]])
    found = letters(Posteriors(("", "L"), FRAME_SECONDS, doubled), [1, 0, 1])
    assert [(letter.frame, letter.is_said) for letter in found] == [(0, True), (2, True)]


def test_a_curve_goes_through_the_middles_of_its_frames_where_it_is_to_be_seen():
    ((*a,),) = points(curve(PROBABILITIES[:3, 2], FRAME_SECONDS))
    assert a == [(0.02, 1.0), (0.06, 0.3), (0.1, 0.1), (0.12, 0.1)]
    parts = points(curve(np.array([0.5, 0, 0, 0, 0.25, 0]), 1.0))
    assert parts == [[(0, 0.5), (0.5, 0.5), (1.5, 1)], [(3.5, 1), (4.5, 0.75), (5.5, 1)]]
    assert curve(np.zeros(4), 1.0) == ""


def test_the_picture_has_a_curve_for_each_notable_label_and_the_blank():
    root = picture()
    paths = [element.get("d") for element in of_class(root, "heard-curve")]
    assert paths == [curve(PROBABILITIES[:, place], FRAME_SECONDS) for place in (2, 1, 3, 4)]
    (blank,) = of_class(root, "heard-blank")
    assert blank.get("d") == curve(PROBABILITIES[:, 0], FRAME_SECONDS)
    hues = [re.search(r"--hue:(\d+)", element.get("style"))[1] for element in of_class(root, "heard-curve")]
    assert len(set(hues)) == 4


def test_letters_stand_over_their_peaks_and_never_on_one_another():
    root = picture()
    drawn = of_class(root, "letter")
    assert [element.text for element in drawn] == ["A", "<", "B", "␣"]
    assert [share(element) for element in drawn] == [pytest.approx(frame / 12, abs=1e-5) for frame in (5, 9, 9, 7)]
    assert float(drawn[0].get("y")) == pytest.approx(CURVES_END - 0.9 * CURVES_HEIGHT - 4, abs=0.1)
    assert ["said" in element.get("class") for element in drawn] == [True, True, False, True]
    places = [(share(element) * 0.24 * PIXELS_PER_SECOND, float(element.get("y"))) for element in drawn]
    for (x, y), (other_x, other_y) in itertools.combinations(places, 2):
        assert abs(x - other_x) >= LETTER_PIXELS - 1 or abs(y - other_y) >= LETTER_PIXELS - 1 - 0.1


def test_words_are_where_they_are_said():
    root = picture()
    bands = of_class(root, "heard-band")
    assert [(share(band), share(band, "width")) for band in bands] == [
        (pytest.approx(0.04 / 0.24, abs=1e-5), pytest.approx(0.08 / 0.24, abs=1e-5)),
        (pytest.approx(0.16 / 0.24, abs=1e-5), pytest.approx(0.04 / 0.24, abs=1e-5)),
    ]
    names = of_class(root, "word")
    assert [(name.text, share(name)) for name in names] == [
        ("A", pytest.approx(0.08 / 0.24, abs=1e-5)),
        ("<", pytest.approx(0.18 / 0.24, abs=1e-5)),
    ]
    assert [band.get("style") for band in of_class(root, "heard-unsure")] == ["--unsure:0.050", "--unsure:0.750"]


def test_names_that_would_run_into_each_other_stand_in_two_rows():
    chunks = [{"text": "SEVENTY", "timestamp": [at, at + 0.1], "confidence": 1.0} for at in (1.0, 1.2, 2.5)]
    recording = DrawnRecording([(0, 0)] * 300, 3.0, 3.0)
    rows = [name.get("y") for name in of_class(picture(recording, transcript=TRANSCRIPT | {"chunks": chunks}), "word")]
    assert rows[0] == rows[2] != rows[1]


def test_the_time_axis_is_in_seconds():
    root = picture(DrawnRecording([(0, 0)] * 100, 2.0, 2.0))
    ticks = [
        (element.text, share(element)) for element in of_class(root, "axis") if "level" not in element.get("class")
    ]
    assert ticks == [("0 s", 0), ("0.5", 0.25), ("1", 0.5), ("1.5", 0.75), ("2", 1)]


def test_the_outline_is_the_extremes_of_each_hundredth_of_a_second():
    waveform = np.zeros(SAMPLING_RATE // 50 + 1, np.float32)
    waveform[[10, 20, 200]] = 0.25, -0.5, 0.1
    drawn = draw_recording(waveform)
    assert drawn.outline == [(-1.0, 0.5), (0.0, pytest.approx(0.2)), (0.0, 0.0)]
    assert drawn.seconds == drawn.total_seconds == len(waveform) / SAMPLING_RATE
    (wave,) = of_class(picture(drawn), "heard-wave")
    upper = wave.get("points").split(" ")[:3]
    assert upper == ["0.005,-0.500", "0.015,-0.200", "0.025,-0.000"]


def test_silence_is_drawn_as_quiet_as_it_is():
    low, high = np.transpose(draw_recording(np.full(800, 0.001, np.float32)).outline)
    assert high.max() < 0.05 and low.min() >= 0


def test_the_player_has_the_recording():
    waveform = np.array([0, 0.5, -1, 1.5], np.float32)
    assert played(player_html(waveform)).tolist() == [0, 16384, -32767, 32767]
    assert "The recording lasts" not in player_html(waveform)


def test_of_forty_seconds_thirty_are_drawn_and_played():
    waveform = np.zeros(40 * SAMPLING_RATE, np.float32)
    drawn, player = draw_recording(waveform), player_html(waveform)
    assert (drawn.seconds, drawn.total_seconds, len(drawn.outline)) == (30, 40, 3000)
    assert len(played(player)) == 30 * SAMPLING_RATE
    assert "lasts 40.0 seconds. Its first 30 are drawn" in player

    heard = np.tile(PROBABILITIES, (167, 1))[:1000]
    evidence = {"labels": LABELS, "frame_seconds": FRAME_SECONDS, "log_probabilities": np.log(heard + 1e-9)}
    chunks = [{"text": "A", "timestamp": times, "confidence": 1.0} for times in ([1, 2], [29.5, 30.5], [35, 36])]
    transcript = TRANSCRIPT | {"text": "A A A", "chunks": chunks, "alignment": (ALIGNMENT * 167)[:1000]}
    root = page(transcript, drawn, posteriors_of(evidence))
    first, last = of_class(root, "heard-band")
    assert share(first) == pytest.approx(1 / 30, abs=1e-5) and share(last) + share(last, "width") == pytest.approx(1)
    assert all(0 <= share(element) <= 1 for element in of_class(root, "letter"))
    words = of_class(root, "heard-word")
    assert [word.tag for word in words] == ["button", "button", "span"]
    assert words[1].get("data-to") == "30.000"


def test_one_frame_is_a_picture():
    one = Posteriors(LABELS, FRAME_SECONDS, PROBABILITIES[1:2])
    root = picture(draw_recording(np.zeros(1, np.float32)), one, TRANSCRIPT | {"chunks": [], "alignment": [2]})
    (path,) = of_class(root, "heard-curve")
    assert points(path.get("d")) == [[(0, 0.3), (0.02, 0.3), (0.04, 0.3)]]
    (letter,) = of_class(root, "letter")
    assert (letter.text, share(letter)) == ("A", 0.5)


def test_nothing_heard_is_a_sentence_over_the_curves():
    root = page(TRANSCRIPT | {"text": "", "chunks": [], "alignment": [0] * 6})
    (sentence,) = of_class(root, "heard-nothing")
    assert sentence.text == NOTHING and of_class(root, "heard-word") == []
    assert len(of_class(root, "heard-curve")) == 4 and of_class(root, "said") == []
    assert "Heard: nothing." in root.find(".//svg").get("aria-label")


def test_a_word_is_a_button_that_says_when_and_how_sure_and_what_to_play():
    first, second = of_class(page(), "heard-word")
    assert first.get("title") == "“A”: 0.04 to 0.12 seconds, confidence 95 %."
    assert first.get("aria-label") == f"{first.get('title')} Play."
    assert [element.text for element in second] == ["<", "25 %"]
    assert (first.get("data-from"), first.get("data-to")) == ("0.000", f"{0.12 + PADDING_SECONDS:.3f}")
    assert (second.get("data-from"), second.get("data-to")) == (f"{0.16 - PADDING_SECONDS:.3f}", "0.240")


def test_everything_shown_is_text_never_markup():
    odd = '<b>"&'
    chunk = {"text": odd, "timestamp": [0.04, 0.12], "confidence": 0.5}
    transcript = TRANSCRIPT | {"text": odd, "chunks": [chunk], "notices": [odd], "score_parts": {odd: 1.0}}
    drawn = transcript_html(RECORDING, Posteriors((BLANK, GAP, odd, "<", "B"), 0.04, PROBABILITIES), transcript)
    root = ElementTree.fromstring(f"<div>{drawn}</div>")
    assert root.find("p").text == odd and odd in root.find(".//svg").get("aria-label")
    assert [element.text for element in root.iter("text")].count(odd) == 2
    assert "<script" not in drawn and re.search(r"\son\w+=", drawn) is None


def test_the_score_is_told_with_its_parts():
    assert score_sentence(TRANSCRIPT) == "Score −1.50 nats: sound −3.00, word bonus +1.50."
    assert signed(2.0) == "2.00"
    parts = {"acoustic": 0.0, "language_model": -1.0, "word_bonus": 0.0, "hot_words": 8.0}
    sentence = score_sentence(TRANSCRIPT | {"score": 7.0, "score_parts": parts})
    assert sentence == "Score 7.00 nats: sound +0.00, language model −1.00, hot words +8.00."
