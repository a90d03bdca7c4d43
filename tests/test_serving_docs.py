"""The page for operators says what the code does, and the dashboard asks for counters that there are."""

import dataclasses
import json
import re

from serving.access import needs_token
from serving.metrics import Metrics
from serving.settings import PREFIX, Settings

from .conftest import ROOT

PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def test_every_setting_and_its_default():
    rows = dict(re.findall(r"^\| `(HINDSIGHT_\w+)` \| (\S*) ?\|", PAGE, re.MULTILINE))
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    shown = {f"{PREFIX}{name.upper()}": "" if value == () else str(value) for name, value in defaults.items()}
    assert rows == shown


def test_the_routes_that_need_a_token():
    rows = re.findall(r"^\| (.*`.*) \| (needed)? ?\|", PAGE, re.MULTILINE)
    routes = {route: bool(needed) for cell, needed in rows for route in re.findall(r"`((?:GET|POST) \S+)`", cell)}
    assert len(routes) == 7
    for route, needed in routes.items():
        assert needs_token(*route.replace("{checkpoint}", "a").split()) == needed, route


def test_the_dashboard_asks_for_what_is_counted():
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text(encoding="utf-8"))
    known = {sample for metric in Metrics().registry.collect() for sample in names_of(metric)}
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for expression in expressions for name in re.findall(r"hindsight_\w+", expression)}
    assert len(expressions) > 8 and asked <= known


def names_of(metric):
    """Return the names under which a metric's numbers are told."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
    return [metric.name + suffix for suffix in suffixes]
