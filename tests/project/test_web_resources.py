"""The scripts and the style of pages: what others wrote is as they published it, and ours uses no dangerous means."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

import pytest

from mlotel import web

OURS = [name for name in web.SCRIPTS if name != "dagre.min.js"]


def test_dagre_is_what_its_authors_published() -> None:
    """The file is that of the package @dagrejs/dagre 3.1.3, and its licence lies beside it."""
    digest = hashlib.sha256(web.read_text("dagre.min.js").encode()).hexdigest()
    assert digest == "54a503e346f93ca0bb10abe7999587e037262935687aca45eb4e4b0f64bbb578"
    assert "Permission is hereby granted, free of charge" in web.read_text("dagre.LICENSE.txt")


def test_every_file_is_listed() -> None:
    """So that a page or a server hands out all of them, and no other."""
    there = {each.name for each in files("mlotel.web").iterdir() if not each.name.endswith((".py", "__pycache__"))}
    assert there == {*web.SCRIPTS, *web.STYLES, *web.DRIFT_STYLES, *web.LICENSES}


@pytest.mark.parametrize("name", ["../errors.py", "resources.py", "/etc/passwd", "", "lineage.js/../lineage.css"])
def test_no_name_leads_elsewhere(name: str) -> None:
    """Only listed names are read, whatever a request asks for."""
    with pytest.raises(KeyError):
        web.read_text(name)


@pytest.mark.parametrize("name", OURS)
def test_our_scripts_make_no_markup_and_run_no_text(name: str) -> None:
    """Nothing of the data can become an element or code: the means for that are not used."""
    text = web.read_text(name)
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc"
    code = r"\beval\b|new Function|\.on[a-z]+ *=(?!=)|javascript:"
    assert re.findall(f"{markup}|{code}", text) == []


@pytest.mark.parametrize("name", [*web.SCRIPTS, *web.STYLES])
def test_a_file_can_stand_inside_a_page(name: str) -> None:
    """It holds nothing that would end the element that it is put into, and refers to no address but its map's."""
    text = web.read_text(name)
    assert not re.search(r"</(script|style)|<!--", text, re.IGNORECASE)
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_the_style_touches_nothing_else_on_a_page() -> None:
    """Every rule is below .mlotel-lineage, so that the sheet can be used beside others."""
    text = re.sub(r"/\*.*?\*/", "", web.read_text("lineage.css"), flags=re.DOTALL)
    selectors = [each.strip() for block in re.findall(r"([^{}]+)\{", text) for each in re.split(r",(?![^(]*\))", block)]
    outside = [each for each in selectors if not each.startswith((".mlotel-lineage", "@media"))]
    assert len(selectors) > 60
    assert outside == []
