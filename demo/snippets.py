"""Programs that ask what the visitor just asked, to be pasted and run, and the boxes that they stand in."""

import json
from typing import Any

import gradio as gr

LANGUAGES = ("src_lang", "tgt_lang")


def base_url(request: gr.Request | None) -> str:
    """Return the address under which the visitor reaches this server."""
    headers = {} if request is None else request.headers
    host = headers.get("x-forwarded-host") or headers.get("host") or "127.0.0.1:7860"
    return f"{headers.get('x-forwarded-proto', 'http')}://{host}"


def python_snippet(task: str, checkpoint: str, inputs: str | dict[str, str], parameters: dict[str, Any]) -> str:
    """Write the call of our pipeline."""
    options = "".join(f", {name}={value!r}" for name, value in parameters.items())
    return (
        "from pipelines import pipeline\n\n"
        f"pipe = pipeline({json.dumps(task)}, model={json.dumps(checkpoint)})\n"
        f"print(pipe({_literal(inputs)}{options}))\n"
    )


def curl_snippet(address: str, checkpoint: str, inputs: str | dict[str, str], parameters: dict[str, Any]) -> str:
    """Write the request for a shell."""
    body = json.dumps({"inputs": inputs, "parameters": parameters}, ensure_ascii=False).replace("'", "'\\''")
    return f"curl {address}/models/{checkpoint} \\\n  --header 'Content-Type: application/json' \\\n  --data '{body}'\n"


def client_snippet(address: str, checkpoint: str, method: str, text: str, parameters: dict[str, Any]) -> str:
    """Write the call of huggingface_hub's client.

    Args:
        address: of this server.
        checkpoint: its name.
        method: the client's method, such as "translation".
        text: the input.
        parameters: options; the client has arguments for two languages, and takes neither without the other.
    """
    both = LANGUAGES if set(LANGUAGES) <= parameters.keys() else ()
    languages = "".join(f", {name}={parameters[name]!r}" for name in both)
    others = {name: value for name, value in parameters.items() if name not in both}
    return (
        "from huggingface_hub import InferenceClient\n\n"
        f"client = InferenceClient(base_url={json.dumps(f'{address}/models/{checkpoint}')})\n"
        f"print(client.{method}({_literal(text)}{languages}, generate_parameters={others!r}))\n"
    )


def generation_client_snippet(address: str, checkpoint: str, text: str, parameters: dict[str, Any]) -> str:
    """Write the two calls of huggingface_hub's client for text: all at once, and as it is written."""
    options = "".join(f", {name}={value!r}" for name, value in parameters.items())
    return (
        "from huggingface_hub import InferenceClient\n\n"
        f"client = InferenceClient(base_url={json.dumps(f'{address}/models/{checkpoint}')})\n"
        f"print(client.text_generation({_literal(text)}{options}))\n\n"
        f"for piece in client.text_generation({_literal(text)}{options}, stream=True):\n"
        '    print(piece, end="", flush=True)\n'
    )


def file_curl_snippet(address: str, checkpoint: str, file_name: str) -> str:
    """Write the request that sends a file, and nothing else, for a shell."""
    return (
        f"curl {address}/models/{checkpoint} \\\n"
        "  --header 'Content-Type: application/octet-stream' \\\n"
        f"  --data-binary @{file_name}\n"
    )


def picture_client_snippet(address: str, checkpoint: str, file_name: str) -> str:
    """Write the call of huggingface_hub's client for a picture; its method takes no options."""
    return (
        "from huggingface_hub import InferenceClient\n\n"
        f"client = InferenceClient(base_url={json.dumps(f'{address}/models/{checkpoint}')})\n"
        f"print(client.image_to_text({_literal(file_name)}))\n"
    )


def recording_client_snippet(address: str, checkpoint: str, file_name: str, parameters: dict[str, Any]) -> str:
    """Write the call of huggingface_hub's client for a recording; its `extra_body` takes the options."""
    options = f", extra_body={parameters!r}" if parameters else ""
    return (
        "from huggingface_hub import InferenceClient\n\n"
        f"client = InferenceClient(base_url={json.dumps(f'{address}/models/{checkpoint}')})\n"
        f"print(client.automatic_speech_recognition({_literal(file_name)}{options}))\n"
    )


def file_programs(
    address: str, task: str, checkpoint: str, file_name: str, parameters: dict[str, Any], client: str
) -> list[str]:
    """Write the three programs that send a file.

    Args:
        address: of this server.
        task: its name.
        checkpoint: its name.
        file_name: what they call the file.
        parameters: options.
        client: the last of them; what its method takes, the task knows.
    """
    return boxed(
        python_snippet(task, checkpoint, file_name, parameters),
        file_curl_snippet(address, checkpoint, file_name),
        client,
    )


def answering_client_snippet(address: str, checkpoint: str, inputs: dict[str, str], parameters: dict[str, Any]) -> str:
    """Write the call of huggingface_hub's client for a question.

    Args:
        address: of this server.
        checkpoint: its name.
        inputs: `question` and `context`.
        parameters: those of the options that the client's method has.
    """
    arguments = ", ".join(f"{name}={_literal(inputs[name])}" for name in ("question", "context"))
    options = "".join(f", {name}={value!r}" for name, value in parameters.items())
    return (
        "from huggingface_hub import InferenceClient\n\n"
        f"client = InferenceClient(base_url={json.dumps(f'{address}/models/{checkpoint}')})\n"
        f"print(client.question_answering({arguments}{options}))\n"
    )


def boxed(*programs: str) -> list[str]:
    """Return programs as `program_boxes` shows them: without a last, empty line."""
    return [program.rstrip("\n") for program in programs]


def program_boxes(explanation: str, elem_id: str) -> tuple[gr.Accordion, list[gr.Code]]:
    """Lay out a closed accordion with three boxes, for Python, curl and huggingface_hub's client."""
    kinds = (("Python", "python"), ("curl", "shell"), ("huggingface_hub's client", "python"))
    with gr.Accordion("Use via API", open=False, elem_id=elem_id, elem_classes=["programs"]) as accordion:
        gr.Markdown(explanation)
        boxes = [
            gr.Code(
                label=label,
                language=language,
                lines=1,
                interactive=False,
                wrap_lines=True,
                show_line_numbers=False,
                buttons=["copy"],
            )
            for label, language in kinds
        ]
    return accordion, boxes


def _literal(value: str | dict[str, str]) -> str:
    return json.dumps(value, ensure_ascii=False)
