"""The table of tasks: one row each, strings only.

Everything that differs between families and is not code stands here; everything else finds a
family's code through its row. A reference to code is `file.Name`, looked for in the folder that
the field's comment gives.
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Task:
    """One task: a pipeline, the family of models behind it, and how people meet it."""

    name: str
    """The pipeline's name, `pipeline("…")`."""
    title: str
    """The demo tab's heading."""
    paper: str
    """Where the network comes from, for cards and pages."""
    configuration: str
    """Configuration class, in models/."""
    model: str
    """Model class, in models/."""
    auto_model: str
    """The transformers Auto class that loads the model."""
    pipeline: str
    """Pipeline class, in pipelines/."""
    modality: str
    """What goes in: "text", "image" or "audio"."""
    recipe: str
    """Module in training/ with `Recipe` and `train`; beside it `<recipe>_evaluation` with `Evaluation`, `evaluate`,
    `card_facts`, `published_results` and `HEADLINES`, and `<recipe>_graphs` with `build_graphs`."""
    tab: str
    """Module in demo/ with `build_tab`."""
    default_checkpoint: str
    """Folder in checkpoints/ that is used when no model is named."""
    checkpoints: tuple[str, ...]
    """Every shipped folder of the task, the default first."""
    hub_pipeline_tag: str
    """The Hub's `pipeline_tag`, which is also the name of the task's HTTP schema."""
    tokenizer: str | None = None
    """Tokenizer class, in models/; without a dot one of transformers' own."""
    feature_extractor: str | None = None
    """Feature extractor class, in models/."""
    image_processor: str | None = None
    """Image processor class, in models/."""


_ROWS = (
    Task(
        name="attention-translation",
        title="Translation",
        paper="Bahdanau, Cho and Bengio 2014, arXiv:1409.0473",
        configuration="configuration_attention_nmt.AttentionNmtConfig",
        model="modeling_attention_nmt.AttentionNmtForConditionalGeneration",
        auto_model="AutoModelForSeq2SeqLM",
        tokenizer="tokenization_attention_nmt.AttentionNmtTokenizer",
        pipeline="pipeline_attention_translation.AttentionTranslationPipeline",
        modality="text",
        recipe="attention_nmt",
        tab="attention_translation",
        default_checkpoint="attention-nmt-en-de",
        checkpoints=("attention-nmt-en-de", "attention-nmt-en-fr", "attention-nmt-tatoeba"),
        hub_pipeline_tag="translation",
    ),
    Task(
        name="captioning",
        title="Captioning",
        paper="Xu et al. 2015, arXiv:1502.03044",
        configuration="configuration_show_attend_tell.ShowAttendTellConfig",
        model="modeling_show_attend_tell.ShowAttendTellForImageCaptioning",
        auto_model="AutoModelForImageTextToText",
        tokenizer="PreTrainedTokenizerFast",
        image_processor="image_processing_show_attend_tell.ShowAttendTellImageProcessor",
        pipeline="pipeline_captioning.CaptioningPipeline",
        modality="image",
        recipe="show_attend_tell",
        tab="captioning",
        default_checkpoint="show-attend-tell-flickr8k",
        checkpoints=("show-attend-tell-flickr8k",),
        hub_pipeline_tag="image-to-text",
    ),
    Task(
        name="char-generation",
        title="Writing",
        paper="Graves 2013, arXiv:1308.0850; Karpathy, Johnson and Fei-Fei 2015, arXiv:1506.02078",
        configuration="configuration_char_rnn.CharRnnConfig",
        model="modeling_char_rnn.CharRnnForCausalLM",
        auto_model="AutoModelForCausalLM",
        tokenizer="PreTrainedTokenizerFast",
        pipeline="pipeline_char_generation.CharGenerationPipeline",
        modality="text",
        recipe="char_rnn",
        tab="char_generation",
        default_checkpoint="char-lstm-shakespeare",
        checkpoints=("char-lstm-shakespeare", "char-lstm-linux", "char-lstm-jokes"),
        hub_pipeline_tag="text-generation",
    ),
    Task(
        name="ctc-transcription",
        title="Listening",
        paper="Graves et al. 2006, ICML; Graves, Mohamed and Hinton 2013, arXiv:1303.5778",
        configuration="configuration_blstm_ctc.BlstmCtcConfig",
        model="modeling_blstm_ctc.BlstmCtcForCTC",
        auto_model="AutoModelForCTC",
        tokenizer="Wav2Vec2CTCTokenizer",
        feature_extractor="feature_extraction_blstm_ctc.BlstmCtcFeatureExtractor",
        pipeline="pipeline_ctc_transcription.CtcTranscriptionPipeline",
        modality="audio",
        recipe="blstm_ctc",
        tab="ctc_transcription",
        default_checkpoint="blstm-ctc-an4",
        checkpoints=("blstm-ctc-an4",),
        hub_pipeline_tag="automatic-speech-recognition",
    ),
    Task(
        name="memory-qa",
        title="Answering",
        paper="Sukhbaatar et al. 2015, arXiv:1503.08895",
        configuration="configuration_memn2n.Memn2nConfig",
        model="modeling_memn2n.Memn2nForQuestionAnswering",
        auto_model="AutoModelForSequenceClassification",
        tokenizer="PreTrainedTokenizerFast",
        pipeline="pipeline_memory_qa.MemoryQaPipeline",
        modality="text",
        recipe="memn2n",
        tab="memory_qa",
        default_checkpoint="memn2n-babi",
        checkpoints=("memn2n-babi", "memn2n-babi-10k"),
        hub_pipeline_tag="question-answering",
    ),
)

TASKS = MappingProxyType({task.name: task for task in _ROWS})
