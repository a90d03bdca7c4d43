"""What the tabs share when a visitor asks: the bytes of a file, and the way to the answer."""

from pipelines import InputError


def read_upload(path: str | None, maximum_bytes: int, nothing_came: str) -> bytes:
    """Read the file as it was sent, but no more of it than is enough to refuse it.

    Args:
        path: of the file; None if there is none.
        maximum_bytes: that the pipeline takes.
        nothing_came: the sentence for a visitor who sent none.
    """
    if path is None:
        raise InputError(nothing_came)
    with open(path, "rb") as file:
        return file.read(maximum_bytes + 1)


def scroll_to(elem_id: str, from_share: float = 0.5) -> str:
    """Return a script that shows an answer: on a narrow screen it is below what was asked with.

    Args:
        elem_id: of the answer.
        from_share: of the window's height; what begins above stays where it is.
    """
    return f"""() => {{
  const answer = document.getElementById("{elem_id}");
  if (answer.getBoundingClientRect().top > {from_share} * innerHeight) answer.scrollIntoView({{ block: "start" }});
}}"""
