"""Links to a tab with its inputs and options: written as the visitor changes them, read when somebody follows one.

A link is a claim of whoever wrote it. Each value is checked as the pipeline would check it, what does not fit is
left as it was and named, and nothing is asked before the visitor presses the button.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines import InputError, pipeline_class
from pipelines.pipeline_common import shown
from tasks import Task

LONGEST_TEXT = 4000
"""Characters of a text in a link."""
LONGEST_LINK = 8000
"""Characters of a link; servers on the way refuse much longer ones."""
TAB = "tab"
LABEL = "Link to this"
INFO = "Opens this tab with these inputs and options, and waits for the button."
TOO_LONG = "What you wrote is too long for a link."


@dataclass(frozen=True)
class Field:
    """An input of a tab, as a link names it."""

    name: str
    component: Component
    read: Callable[[str], Any]
    """From what stands in a link to the component's value; raises InputError for what does not fit."""
    names: Mapping[str, str] | None = None
    """Of a component for files: what a link calls those that it may hold, by their paths; others are left out."""


@dataclass(frozen=True)
class Linked:
    """What a link to a tab holds."""

    fields: Sequence[Field]
    others: Sequence[Component] = ()
    """What else changes on the tab when a link is followed."""
    follow: Callable[[dict[str, Any]], dict[Component, Any]] = lambda _: {}
    """From a link's values, by name, to what `others`, fields that the link left out, and fields that are more than
    their value, are to be."""


def one_of(name: str, values: Mapping[str, Any] | Iterable[str]) -> Callable[[str], Any]:
    """Return the reader of a choice.

    Args:
        name: of the field.
        values: what may be chosen; or what it means, by what a link calls it.
    """
    values = values if isinstance(values, Mapping) else {value: value for value in values}

    def read(written: str) -> Any:
        if written not in values:
            raise InputError(f"{name} must be one of {', '.join(values)}; got {shown(written)}.", field=name)
        return values[written]

    return read


def text_of(name: str, maximum_characters: int = LONGEST_TEXT) -> Callable[[str], str]:
    """Return the reader of a text."""

    def read(written: str) -> str:
        if len(written) > maximum_characters:
            raise InputError(f"{name} must have at most {maximum_characters:,} characters.", field=name)
        return written

    return read


def sample_field(component: Component, paths: Sequence[str]) -> Field:
    """Return the field of a component for files: of a link it holds one of the examples, by name."""
    names = {path: Path(path).stem for path in paths}
    return Field("sample", component, one_of("sample", {name: path for path, name in names.items()}), names)


def option_fields(task: Task, components: Mapping[str, Component]) -> list[Field]:
    """Return a field for each of some options of the pipeline, which knows what fits."""
    known = {option.name: option for option in pipeline_class(task).options}

    def reader(name: str) -> Callable[[str], Any]:
        kinds = {"int": int, "float": float}

        def read(written: str) -> Any:
            try:
                value = kinds.get(known[name].kind, str)(written[:LONGEST_TEXT])
            except ValueError:
                value = written
            return known[name].check(value)

        return read

    return [Field(name, component, reader(name)) for name, component in components.items()]


def read_link(query: Mapping[str, str], linked: Mapping[str, Linked]) -> tuple[str | None, dict[Component, Any], str]:
    """Read a link.

    Args:
        query: what stands after the address.
        linked: what a link to a tab holds, by the tab.

    Returns:
        The tab, or None for a link to none; what its components are to be; and a sentence for each value that does
        not fit.
    """
    tab = query.get(TAB)
    if tab not in linked:
        return None, {}, ""
    values, complaints = {}, []
    for field in linked[tab].fields:
        if field.name in query:
            try:
                values[field.name] = field.read(query[field.name])
            except InputError as error:
                complaints.append(str(error))
    components = {field.component: values[field.name] for field in linked[tab].fields if field.name in values}
    return tab, components | linked[tab].follow(values), " ".join(complaints)


def wire_links(demo: gr.Blocks, tabs: gr.Tabs, linked: Mapping[str, Linked], links: Mapping[str, gr.Textbox]) -> None:
    """Let the page follow the link that opened it, and write one for each tab.

    Args:
        demo: the page.
        tabs: its tabs.
        linked: what a link to a tab holds, by the tab.
        links: where each tab's link is written.
    """

    def follow_link(request: gr.Request) -> dict[Component, Any]:
        tab, components, complaints = read_link(dict(request.query_params), linked)
        if complaints:
            gr.Warning(escape(f"Not all of the link fits: {complaints}"), duration=None)
        return components | {tabs: gr.Tabs(selected=tab) if tab else gr.skip()}  # Gradio does not take an empty one

    filled = [component for one in linked.values() for component in (*_components(one), *one.others)]
    followed = demo.load(follow_link, None, [tabs, *filled], show_progress="hidden", api_visibility="private")
    for tab, one in linked.items():
        written = {"inputs": _components(one), "outputs": links[tab], "js": link_script(tab, one.fields)}
        followed.then(None, **written)
        gr.on([component.change for component in _components(one)], None, **written)


def link_box() -> gr.Textbox:
    """Lay out the place where a tab's link is written."""
    return gr.Textbox(
        label=LABEL, info=INFO, interactive=False, lines=1, max_lines=1, buttons=["copy"], elem_classes=["link"]
    )


def link_script(tab: str, fields: Sequence[Field]) -> str:
    """Return a script that writes the link from the fields' values; what is empty is left out."""
    names = json.dumps([[field.name, field.names] for field in fields])
    return f"""(...values) => {{
  const query = new URLSearchParams({{ {TAB}: {json.dumps(tab)} }});
  {names}.forEach(([name, files], place) => {{
    const value = files ? files[values[place]?.path] : values[place];
    if (value !== "" && value !== null && value !== undefined && value !== false) query.set(name, value);
  }});
  const address = location.origin + location.pathname + "?" + query;
  return address.length > {LONGEST_LINK} ? {json.dumps(TOO_LONG)} : address;
}}"""


def _components(linked: Linked) -> list[Component]:
    return [field.component for field in linked.fields]
