"""A recording for the page: something to play, and its outline to draw."""

import base64
import io
import wave
from dataclasses import dataclass

import numpy as np

SAMPLING_RATE = 16_000
"""Hertz, of what the pipeline hears and the page plays."""
LONGEST_SECONDS = 30
"""Of what is drawn and played; the transcript has no such limit."""
OUTLINE_SECONDS = 0.01
"""Of the recording, for one pair of the outline."""
QUIET = 0.05
"""A recording whose loudest sample is below this is drawn as quiet as it is."""

RECORDING_CSS = """
#ctc-examples .gallery-item { text-align: left; }
.heard-player { margin: 0 0 8px; }
.heard-player audio { display: block; width: 100%; height: 40px; }
.dark .heard-player audio { color-scheme: dark; }
"""

PLAYER_JS = """
const audio = () => element.querySelector("audio");
const follow = () => {
  const player = audio();
  if (!player) return;
  const now = player.currentTime, drawing = document.querySelector("#ctc-drawing");
  if (now >= player.dataset.until) player.pause();
  for (const word of drawing.querySelectorAll(".heard-word"))
    word.classList.toggle("now", !player.paused && now >= word.dataset.from && now < word.dataset.to);
  const box = drawing.querySelector(".heard-box"), paper = drawing.querySelector(".heard-paper");
  paper?.style.setProperty("--now", now);
  const at = paper ? (now / paper.dataset.seconds) * paper.offsetWidth - box.scrollLeft : 0;
  if (!player.paused && (at < 0 || at > box.clientWidth)) box.scrollLeft += at - box.clientWidth / 4;
  if (!player.paused) requestAnimationFrame(follow);
};
element.addEventListener("play", follow, true);
element.addEventListener("seeked", follow, true);
element.addEventListener("pause", () => { delete audio()?.dataset.until; follow(); }, true);
"""
"""Runs once for the box that the player stands in: stops after the piece that was asked for, and shows where it is."""


@dataclass(frozen=True)
class DrawnRecording:
    """What is drawn of a recording."""

    outline: list[tuple[float, float]]
    """The least and the greatest sample of each `OUTLINE_SECONDS`; 1 is the loudest of all."""
    seconds: float
    """How long what is drawn lasts."""
    total_seconds: float
    """How long the recording lasts."""


def draw_recording(waveform: np.ndarray) -> DrawnRecording:
    """Take the outline of a recording's beginning.

    Args:
        waveform: float32 (samples), mono, at `SAMPLING_RATE`; one sample at least.
    """
    drawn = _beginning(waveform)
    starts = np.arange(0, len(drawn), round(OUTLINE_SECONDS * SAMPLING_RATE))
    scale = max(float(np.abs(drawn).max()), QUIET)
    low, high = (extreme.reduceat(drawn, starts) / scale for extreme in (np.minimum, np.maximum))
    outline = list(zip(low.tolist(), high.tolist(), strict=True))
    return DrawnRecording(outline, len(drawn) / SAMPLING_RATE, len(waveform) / SAMPLING_RATE)


def player_html(waveform: np.ndarray) -> str:
    """Return a player for a recording's beginning, which is in the page itself.

    Args:
        waveform: float32 (samples), mono, at `SAMPLING_RATE`.
    """
    total = len(waveform) / SAMPLING_RATE
    remark = ""
    if total > LONGEST_SECONDS:
        remark = (
            f'<p class="fine-print">The recording lasts {total:.1f} seconds. Its first {LONGEST_SECONDS} are drawn and '
            "can be heard here; the text is that of the whole.</p>"
        )
    return (
        f'<div class="heard-player"><audio controls preload="auto" aria-label="The recording, as the network hears it" '
        f'src="{_address(_beginning(waveform))}"></audio>{remark}</div>'
    )


def _beginning(waveform: np.ndarray) -> np.ndarray:
    return waveform[: LONGEST_SECONDS * SAMPLING_RATE]


def _address(waveform: np.ndarray) -> str:
    """Write a waveform into a `data:` URL: WAV with 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLING_RATE)
        writer.writeframes(np.rint(np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"
