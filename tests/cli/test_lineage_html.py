"""`mlotel lineage --format html`: the page as people see it, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx
import pytest
from chromium import expect
from msgspec.structs import replace
from pipelines import Book, Io, digest

from mlotel.cli.html import html
from mlotel.documents import lineage_document
from mlotel.lineage import SubWorkflow
from mlotel.model import Artifact, Edge, Lineage, Run, Staleness

if TYPE_CHECKING:
    from conftest import Mlotel
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser
HOSTILE = "</script><img src=x onerror=alert(1)>'\"--><!--&amp;<script>alert(2)</script>"


@pytest.fixture
def opened(page: Page, tmp_path: Path) -> Callable[[str], list[str]]:
    """Open a page's text as a file; returns the addresses that it asks for, which grows."""
    asked: list[str] = []

    def open_(text: str) -> list[str]:
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert asked.pop(0) == path.as_uri()
        return asked

    return open_


@pytest.fixture
def pictured(trained: Book, store: Callable[[], Path], mlotel: Mlotel, opened: Callable[[str], list[str]]) -> Any:
    """The JSON document of everything around the model of `trained`, which the page shows."""
    what = ("lineage", "name:model", "--both", "--store", store())
    opened(mlotel(*what, "--format", "html").out)
    return mlotel(*what, "--format", "json").json


@pytest.fixture
def trained(book: Book) -> Book:
    """Two sources, of which one is read twice; a model, a report on it, and a run that failed."""
    raw = book.run("ingest", [Io("feed", uri="https://example.org/feed")], ["raw"])
    clean = book.run("clean", [Io("raw", link=raw.outputs[0])], ["cleaned"], params={"drop": True, "seed": 2**60 + 1})
    train = book.run(
        "train",
        [Io("cleaned", link=clean.outputs[0]), Io("raw", link=raw.outputs[0], resolved_by="digest"), "settings"],
        [Io("model", type="model", rows=None, size=7_123_456)],
        params={"depth": 3},
        metrics={"accuracy": 0.912345},
        tags={"team": "blue"},
        git={"commit": "c" * 40, "branch": "main", "dirty": True},
        pipeline="delays",
        version="2.1",
    )
    book.run("report", [Io("model", link=train.outputs[0])], ["findings"])
    book.run(
        "score", [Io("model", link=train.outputs[0])], state="failed", error={"type": "ValueError", "message": "no"}
    )
    return book


def node(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def within(inner: Any, outer: Any) -> bool:
    return all(
        outer[start] <= inner[start] and inner[start] + inner[size] <= outer[start] + outer[size]
        for start, size in (("x", "width"), ("y", "height"))
    )


def test_each_run_and_artifact_is_one_node_and_nothing_is_asked_for(
    trained: Book, store: Callable[[], Path], mlotel: Mlotel, opened: Callable[[str], list[str]], page: Page
) -> None:
    """The page has a node for each run and artifact, an edge for each edge, and needs no network."""
    what = ("lineage", "name:model", "--both", "--store", store())
    document = mlotel(*what, "--format", "json").json
    asked = opened(mlotel(*what, "--format", "html").out)

    assert page.locator(".ml-run.ml-node").count() == len(document["runs"]) == 5
    assert page.locator(".ml-artifact.ml-node").count() == len(document["artifacts"]) == 6
    assert page.locator(".ml-edge").count() == len(document["edges"])
    titles = page.locator(".ml-node .ml-title").all_text_contents()
    expected = [run["component"] for run in document["runs"]] + [each["name"] for each in document["artifacts"]]
    assert sorted(titles) == sorted(expected)
    assert page.title() == "Lineage of model"
    assert asked == []


def test_data_flows_from_left_to_right(pictured: Any, page: Page) -> None:
    """Each node stands to the right of what it was made from, and no two nodes overlap."""
    boxes = {each.locator(".ml-title").text_content(): each.bounding_box() for each in page.locator(".ml-node").all()}
    names = {run["run_id"]: run["component"] for run in pictured["runs"]}
    names |= {each["id"]: each["name"] for each in pictured["artifacts"]}
    for edge in pictured["edges"]:
        source, target = boxes[names[edge["from"]]], boxes[names[edge["to"]]]
        assert source["x"] + source["width"] < target["x"]
    for one in boxes.values():
        for other in boxes.values():
            apart = (
                one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
                or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
            )  # fmt: skip
            assert apart or one is other


def test_a_click_shows_what_is_known_of_a_run(pictured: Any, page: Page) -> None:
    """The details hold state, parameters, metrics, tags and the commit; of a failed run its error."""
    node(page, "run train").click()
    panel = page.get_by_role("complementary", name="Details")

    expect(panel.get_by_role("heading", level=2)).to_have_text("train")
    shown = panel.inner_text()
    for each in (
        "✓ ok",
        "2.1",
        "delays",
        "depth",
        "accuracy",
        "0.912345",
        "c" * 40,
        "changed since the commit",
        "blue",
    ):
        assert each in shown
    node(page, "run score").click()
    expect(panel).to_contain_text("ValueError")
    node(page, "run clean").click()
    expect(panel).to_contain_text(str(2**60 + 1))


def test_what_stands_behind_the_chosen_node_and_what_it_touched_is_marked(pictured: Any, page: Page) -> None:
    """The marked nodes are the ancestors and the descendants that networkx finds in the JSON document."""
    names = {run["run_id"]: run["component"] for run in pictured["runs"]}
    names |= {each["id"]: each["name"] for each in pictured["artifacts"]}
    graph = networkx.DiGraph([(names[edge["from"]], names[edge["to"]]) for edge in pictured["edges"]])

    for name in ("run clean", "artifact model", "artifact settings"):
        node(page, name).click()
        title = name.partition(" ")[2]
        marked = {
            side: set(page.locator(f".ml-node.ml-{side} .ml-title").all_text_contents()) for side in ("before", "after")
        }
        assert marked == {"before": networkx.ancestors(graph, title), "after": networkx.descendants(graph, title)}


def test_an_edge_says_how_the_producer_was_found(pictured: Any, page: Page) -> None:
    """The tooltip of a read tells the rule by which its producer is known, and so do the details."""
    titles = page.locator(".ml-edge title").all_text_contents()
    assert "train read raw, found by digest" in titles
    assert "train wrote model" in titles
    node(page, "run train").click()
    expect(page.get_by_role("listitem").filter(has_text="raw by digest")).to_have_count(1)


def test_search_finds_and_goes_from_match_to_match(pictured: Any, page: Page) -> None:
    """Every word counts, in names, parameters and ids; Enter goes to the next match and around, Escape clears."""
    box, status = page.get_by_role("searchbox"), page.get_by_role("status")
    heading = page.get_by_role("heading", level=2)

    box.fill("depth=3")
    expect(status).to_have_text("1 found")
    box.press("Enter")
    expect(heading).to_have_text("train")
    box.fill("MODEL model")
    expect(status).to_have_text("1 found")
    box.fill("re")
    seen = []
    for _ in range(int(status.text_content().split()[0]) + 1):
        box.press("Enter")
        seen.append(heading.text_content())
    assert seen[0] == seen[-1]
    assert {"report", "score"} <= set(seen)
    box.fill("nothing of the kind")
    expect(status).to_have_text("none found")
    expect(page.locator(".ml-node.ml-found")).to_have_count(0)
    box.press("Escape")
    expect(box).to_have_value("")


def test_the_graph_is_walked_over_by_keys_alone(pictured: Any, page: Page) -> None:
    """Tab enters at the root, arrows follow the edges, Enter opens the details, Escape returns to the node."""
    focused = page.locator(":focus")

    page.keyboard.press("/")  # nothing is in focus yet: the page does not take it
    while "ml-node" not in (page.evaluate("document.activeElement.className") or ""):
        page.keyboard.press("Tab")
    label = f"artifact model, {page.locator('.ml-root .ml-subtitle').text_content()}, what was asked for"
    expect(focused).to_have_attribute("aria-label", label)
    page.keyboard.press("ArrowLeft")
    expect(focused.locator(".ml-title")).to_have_text("train")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    first = focused.locator(".ml-title").text_content()
    assert first in ("report", "score")
    page.keyboard.press("ArrowDown" if first == "report" else "ArrowUp")
    page.keyboard.press("Home")
    expect(focused.locator(".ml-title")).to_have_text("model")
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Details")
    expect(panel).to_be_focused()
    expect(panel.get_by_role("heading", level=2)).to_have_text("model")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(focused.locator(".ml-title")).to_have_text("model")
    page.keyboard.press("Tab")
    assert "ml-node" not in page.evaluate("document.activeElement.className")
    page.keyboard.press("Shift+Tab")
    expect(focused.locator(".ml-title")).to_have_text("model")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_a_digest_is_copied(pictured: Any, page: Page) -> None:
    """The button beside a digest puts the whole of it into the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    node(page, "artifact model").click()
    page.get_by_role("button", name="Copy the digest").click()

    expect(page.get_by_role("button", name="Copy the digest")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == digest("model")


def test_it_is_moved_and_scaled(pictured: Any, page: Page) -> None:
    """Dragging moves the graph, the wheel scales it where the pointer is, and Fit shows all of it again."""
    root = page.locator(".ml-root")
    canvas = page.locator(".ml-canvas").bounding_box()
    begun = root.bounding_box()

    page.mouse.move(canvas["x"] + 20, canvas["y"] + 20)
    page.mouse.down()
    page.mouse.move(canvas["x"] + 70, canvas["y"] + 50)
    page.mouse.up()
    moved = root.bounding_box()
    assert (round(moved["x"] - begun["x"]), round(moved["y"] - begun["y"])) == (50, 30)

    page.mouse.move(moved["x"], moved["y"])
    page.mouse.wheel(0, -300)
    larger = root.bounding_box()
    assert larger["width"] > moved["width"] * 1.2
    assert (larger["x"], larger["y"]) == pytest.approx((moved["x"], moved["y"]), abs=1)

    page.get_by_role("button", name="Show all of it").click()
    assert all(within(each.bounding_box(), canvas) for each in page.locator(".ml-node").all())


def test_hostile_text_stays_text(
    book: Book, store: Callable[[], Path], mlotel: Mlotel, opened: Callable[[str], list[str]], page: Page
) -> None:
    """Markup in names, parameters, errors and addresses is shown as it stands, and nothing of it runs or is loaded."""
    book.run(
        HOSTILE,
        [Io("in", name=HOSTILE, uri="javascript:alert(3)", note=HOSTILE, type=HOSTILE)],
        [Io("out", name="__proto__")],
        params={HOSTILE: HOSTILE, "constructor": "c"},
        metrics={HOSTILE: 1.0},
        tags={HOSTILE: HOSTILE},
        git={"commit": HOSTILE, "branch": HOSTILE, "repository": "javascript:alert(4)"},
        state="failed",
        error={"type": HOSTILE, "message": HOSTILE},
        pipeline=HOSTILE,
        version=HOSTILE,
    )
    page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
    asked = opened(mlotel("lineage", "name:__proto__", "--store", store(), "--format", "html").out)

    assert sorted(page.locator(".ml-node .ml-title").all_text_contents()) == sorted([HOSTILE, HOSTILE, "__proto__"])
    for number in range(3):
        page.locator(".ml-node").nth(number).click()
        assert page.locator(".ml-panel img, .ml-panel script, .ml-panel a").count() == 0
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == len([*page.locator("body > script").all()])
    assert asked == []


def test_the_policy_stops_what_is_not_in_the_page(
    trained: Book, store: Callable[[], Path], mlotel: Mlotel, browser: Browser, tmp_path: Path
) -> None:
    """A script that was slipped into the finished page does not run, and no picture is fetched."""
    text = mlotel("lineage", "name:model", "--store", store(), "--format", "html").out
    path = tmp_path / "page.html"
    slipped = (
        "<script>window.slipped = true</script><img src='https://example.org/x.png' onerror='window.slipped = true'>"
    )
    path.write_text(text.replace("<h1>", slipped + "<h1>"), encoding="utf-8")
    with browser.new_context() as context:  # a page on which complaints of the browser are expected
        opened = context.new_page()
        answered: list[str] = []
        context.route("https://**", lambda route: (answered.append(route.request.url), route.abort()))
        opened.goto(path.as_uri())
        assert opened.locator(".ml-node").count() > 0
        assert opened.evaluate("window.slipped") is None
        assert answered == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_dark(scheme: str, pictured: Any, page: Page) -> None:
    """What is written has a contrast of 4.5 to 1 and more to what it is written on (WCAG 2.2, 1.4.3)."""
    page.emulate_media(color_scheme=scheme)
    node(page, "run train").click()
    colours = page.evaluate(
        """() => [...document.querySelectorAll('.mlotel-lineage *')]
            .filter((each) => [...each.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
            .filter((each) => each.checkVisibility() && !each.closest('svg'))
            .map((each) => {
              let under = each;
              while (getComputedStyle(under).backgroundColor === 'rgba(0, 0, 0, 0)') under = under.parentElement;
              return [each.className, getComputedStyle(each).color, getComputedStyle(under).backgroundColor];
            })"""
    )
    assert len(colours) > 40
    low = [each for each in colours if _contrast(each[1], each[2]) < 4.5]
    assert low == []


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2 between two colours, given as rgb(r, g, b)."""

    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_narrow_screen_shows_graph_and_details(pictured: Any, page: Page) -> None:
    """At 360 pixels nothing is cut off at the side, and graph and details stand one above the other."""
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator(".ml-root").click()

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    canvas, panel = page.locator(".ml-canvas").bounding_box(), page.locator(".ml-panel").bounding_box()
    assert min(canvas["height"], panel["height"]) > 150
    assert canvas["y"] + canvas["height"] <= panel["y"] + 1
    assert within(page.locator(".ml-root").bounding_box(), canvas)


@pytest.mark.parametrize("shape", ["wide", "long", "skipping"])
def test_two_thousand_nodes(shape: str, opened: Callable[[str], list[str]], page: Page) -> None:
    """A graph of 2,000 nodes is drawn whole and searched, also where each run reads what the first one wrote."""
    runs, artifacts, edges = [], [], []
    width = {"wide": 100, "long": 4, "skipping": 1}[shape]
    for number in range(1000):
        run_id = f"{number:032x}"
        runs.append(Run(run_id, f"step-{number}", "ok", number, run_id, f"{number:016x}", end_ns=number + 1))
        written = Artifact(f"file {number}", "output", f"{number:016x}", run_id, digest=digest(f"{number}"))
        artifacts.append(replace(written, time_ns=number))
        edges.append(Edge(run_id, digest(f"{number}"), "write"))
        if number >= width:
            edges.append(Edge(digest(f"{number - width}"), run_id, "read", "digest"))
        if shape == "skipping" and number > 1:
            edges.append(Edge(digest("0"), run_id, "read", "digest"))
    lineage = Lineage(artifacts[-1].digest or "", tuple(runs), tuple(artifacts), tuple(edges))
    opened(html(lineage_document(lineage)))

    assert page.locator(".ml-node").count() == 2000
    assert page.locator(".ml-edge").count() == len(edges)
    page.get_by_role("searchbox").fill("step-77")
    expect(page.get_by_role("status")).to_have_text("11 found")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text("step-77")


def test_a_cycle_is_drawn(opened: Callable[[str], list[str]], page: Page) -> None:
    """Runs that read what they wrote, or what came of it, are drawn like any others."""
    runs = tuple(Run(f"{n:032x}", f"r{n}", "ok", n, f"{n:032x}", f"{n:016x}", end_ns=n) for n in range(3))
    artifacts = tuple(Artifact(f"a{n}", "output", f"{n:016x}", f"{n:032x}", digest=digest(f"{n}")) for n in range(3))
    edges = [Edge(f"{n:032x}", digest(f"{n}"), "write") for n in range(3)]
    edges += [Edge(digest(f"{n}"), f"{(n + 1) % 3:032x}", "read") for n in range(3)]
    edges += [Edge(digest("1"), f"{1:032x}", "read")]
    opened(html(lineage_document(Lineage(runs[0].run_id, runs, artifacts, tuple(edges)))))

    assert page.locator(".ml-node").count() == 6
    assert page.locator(".ml-edge").count() == 7
    node(page, "run r1").click()
    expect(page.locator(".ml-node.ml-before")).to_have_count(5)


def test_stale_inputs_and_started_workflows_are_told(opened: Callable[[str], list[str]], page: Page) -> None:
    """A run that read something stale says so on its node, and why in its details, as well as what it started."""
    run = Run("a" * 32, "score", "ok", 10**18, "b" * 32, "c" * 16, end_ns=10**18 + 10**9)
    day = 86_400 * 10**9
    old = Staleness("model", "1" * 16, "train", "d" * 32, 10**18 - 45 * day, "age", "ran", 45 * day, 30 * day)
    fresher = Staleness(
        "rates", "2" * 16, "fetch", "e" * 32, 10**18 - day, "fresher_run", "since", day, None, "f" * 32, 10**18 + day
    )
    workflow = SubWorkflow(run.run_id, "nightly", "1" * 32, "2" * 32, {"ok": 3, "failed": 1})
    lineage = Lineage(run.run_id, (run,))
    opened(html(lineage_document(lineage, [workflow], {run.run_id: [old, fresher]})))

    expect(page.locator(".ml-subtitle")).to_have_text("ok · 1 s · stale · aaaaaaaa")
    page.locator(".ml-node").click()
    panel = page.get_by_role("complementary", name="Details")
    expect(panel).to_contain_text("45 days old when it was read, more than 30 days")
    expect(panel).to_contain_text("fetch has a fresher run since: ffffffff of 2001-09-10 01:46:40Z")
    expect(panel).to_contain_text("3 ok, 1 failed (run 22222222)")


def test_a_partial_answer_says_so(book: Book, opened: Callable[[str], list[str]], page: Page) -> None:
    """What could not be read is told above the graph."""
    run = book.run("a", ["x"], ["y"])
    opened(html(lineage_document(Lineage(run.run_id, (run,), partial=True))))
    expect(page.get_by_role("note")).to_have_text("Partial: some of it could not be read.")


def test_the_document_in_the_page_is_the_json_document(pictured: Any, page: Page) -> None:
    """A script finds in the page what `--format json` prints, but for integers that JavaScript would change."""
    embedded = json.loads(page.locator("#lineage-document").text_content())
    clean = next(run for run in pictured["runs"] if run["component"] == "clean")
    clean["params"]["seed"] = str(clean["params"]["seed"])
    for run in (*pictured["runs"], *embedded["runs"]):
        del run["stale"]  # it tells ages, and some time has passed between the two
    assert embedded == pictured
