"""The pages of the web view in a real browser."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from pipelines import Io

pytestmark = pytest.mark.browser

HOSTILE = '</script><img src=x onerror="alert(1)">\u202e\x1b[31m'
SHOWN = '</script><img src=x onerror="alert(1)">[31m'  # without what terminals and text direction act upon


@contextmanager
def looking(browser: Any, **options: Any) -> Iterator[Any]:
    """A page whose window differs from that of `page`; nothing on it may fail either."""
    context = browser.new_context(reduced_motion="reduce", **options)
    context.set_default_timeout(20_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert problems == []


@pytest.fixture
def pipeline(book):
    """Runs in every state, with names that nobody would choose among them."""
    raw = book.run("ingest", [], [Io("raw", uri="file:///data/raw.csv")], pipeline="delays")
    features = book.run("featurize", [Io("raw", link=raw.outputs[0])], [Io("features", type="features")])
    train = book.run(
        "train",
        [Io("features", link=features.outputs[0])],
        [Io("model", type="model")],
        pipeline="delays",
        version="2.1",
        params={"depth": 6, "name": HOSTILE},
        metrics={"rmse": 12.345678, "nan": math.nan},
        tags={"stage": "test"},
        git={"commit": "a" * 40, "branch": "main", "dirty": True},
    )
    book.run(
        "predict",
        [Io("model", link=train.outputs[0])],
        ["predictions"],
        attributes={
            "mlotel.prediction.count": 30,
            "mlotel.prediction.class.names": ["late", HOSTILE],
            "mlotel.prediction.class.counts": [10, 20],
        },
    )
    book.run("train", ["features"], state="failed", error={"type": "ValueError", "message": f"no rows\n{HOSTILE}"})
    book.run("train", state="cancelled")
    book.run(HOSTILE, [Io("x", name=HOSTILE, uri=f"file:///{HOSTILE}")], [Io("y", name=HOSTILE, note=HOSTILE)])
    book.run("train", state="lost")
    return {run.component: run for run in book.made if run.state == "ok"}


@pytest.fixture
def site(pipeline, book, served):
    client = served(book, jaeger_ui="http://localhost:16686")
    for path, members in (
        ("notes", {"what": f"run:{pipeline['train'].run_id}", "text": f"line one\n{HOSTILE}", "author": "ana"}),
        ("flag", {"what": "name:predictions", "why": HOSTILE}),
        ("label", {"what": "name:raw", "label": HOSTILE[:30], "why": "asked to"}),
        ("retract", {"label": HOSTILE[:30], "why": HOSTILE}),
    ):
        answer = client.post(f"/api/{path}", members)
        assert answer.status == 200, answer.json
    return client


def at(time_ns: int) -> str:
    """A time as the pages write it."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def enter(page: Any, client: Any, path: str = "/") -> None:
    """Open a page with the address that was printed, as people do, and wait until it is drawn."""
    mark = "&" if "?" in path else "?"
    page.goto(f"{client.session.origin}{path}{mark}token={client.session.token}")
    page.wait_for_selector("main:not([aria-busy])")


def paths(pipeline: Any) -> dict[str, str]:
    return {
        "runs": "/",
        "components": "/components",
        "history": "/component?name=train",
        "run": f"/run?id={pipeline['train'].run_id}",
        "hostile": f"/run?id={pipeline[HOSTILE].run_id}",
        "lineage": "/lineage?what=predictions",
        "nothing": "/lineage",
        "compare": f"/compare?after={pipeline['predict'].run_id}&before={pipeline['train'].run_id}",
        "review": "/review",
        "labels": "/labels",
        "label": f"/labels?{urlencode({'label': HOSTILE[:30]})}",
        "notes": "/notes",
    }


NAMES = (
    "runs",
    "components",
    "history",
    "run",
    "hostile",
    "lineage",
    "nothing",
    "compare",
    "review",
    "labels",
    "label",
    "notes",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_opens_by_the_printed_address(page, site, pipeline, name):
    """It has a title, one heading and its landmarks, the token is gone from its address, and nothing fails on it."""
    path = paths(pipeline)[name]
    enter(page, site, path)

    assert page.url == site.session.origin + path
    assert page.title().endswith("· mlotel")
    assert page.locator("h1").count() == 1
    for role in ("banner", "main", "contentinfo", "search"):
        assert page.get_by_role(role).count() == 1
    assert page.get_by_role("navigation", name="Pages").count() == 1
    assert page.get_by_role("contentinfo").inner_text().startswith("store: made up")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_sideways_scrolling(browser, site, pipeline, name, scheme):
    """360 pixels are enough, whatever the names are."""
    with looking(browser, viewport={"width": 360, "height": 740}, color_scheme=scheme) as page:
        enter(page, site, paths(pipeline)[name])

        assert page.evaluate("document.documentElement.scrollWidth") == 360
        cut_off = page.evaluate(
            """[...document.querySelectorAll("main a, main button, main input, main select, main .state, main code")]
            .filter((each) => !each.closest("svg, .mlotel-lineage"))
            .map((each) => each.getBoundingClientRect()).filter((box) => box.width && box.right > 361).length"""
        )
        assert cut_off == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_what_is_behind_it(browser, site, pipeline, name, scheme):
    """Contrast of 4.5 to 1 at least (WCAG 2.2, 1.4.3), computed from the colours that the browser uses."""
    with looking(browser, viewport={"width": 1280, "height": 800}, color_scheme=scheme) as page:
        enter(page, site, paths(pipeline)[name])
        texts = page.evaluate(
            """() => {
              const numbers = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
              const behind = (element) => {
                for (let each = element; each; each = each.parentElement) {
                  const [r, g, b, a = 1] = numbers(getComputedStyle(each).backgroundColor);
                  if (a === 1) return [r, g, b];
                }
                return [255, 255, 255];
              };
              return [...document.body.querySelectorAll("*:not(.mlotel-lineage *)")]
                .filter((each) => !each.closest("svg, #said, .unseen, .skip, meter") && each.checkVisibility())
                .filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
                .map((each) => [each.textContent.slice(0, 40), numbers(getComputedStyle(each).color), behind(each)]);
            }"""
        )

    def luminance(color):
        parts = [part / 255 for part in color[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert texts
    for text, front, back in texts:
        darker, lighter = sorted((luminance(front), luminance(back)))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, front, back)


def test_what_has_to_be_filled_in_has_a_label(page, site, pipeline):
    """On every page: fields, buttons and links have a name, and ids stand once."""
    for path in paths(pipeline).values():
        enter(page, site, path)
        unnamed = page.evaluate(
            """[...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
            .filter((each) => !each.labels.length && !each.ariaLabel).map((each) => each.outerHTML)"""
        )
        silent = page.evaluate(
            """[...document.querySelectorAll("a, button")]
            .filter((each) => !each.textContent.trim() && !each.ariaLabel).map((each) => each.outerHTML)"""
        )
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
        assert (unnamed, silent) == ([], [])
        assert len(ids) == len(set(ids))


def test_hostile_names_stay_text(page, site, pipeline):
    """Nothing of them becomes an element, and nothing of them is run."""
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    for path in paths(pipeline).values():
        enter(page, site, path)
        assert page.locator("main img").count() == 0
        assert page.evaluate("[...document.scripts].every((each) => each.src.startsWith(location.origin))")
    enter(page, site)
    assert page.get_by_role("link", name=SHOWN, exact=True).count() == 1
    page.get_by_role("link", name=SHOWN, exact=True).click()
    page.wait_for_selector("h1:has-text('</script>')")
    page.get_by_role("link", name="History").click()
    page.wait_for_selector("main:not([aria-busy])")
    assert SHOWN in page.get_by_role("heading", level=1).inner_text()


def test_runs_are_listed_and_narrowed_down(page, site, book):
    """The filters come into the address, so that it can be handed on."""
    enter(page, site)
    rows = page.locator("tr[data-index]")
    assert rows.count() == len(book.made)
    assert page.get_by_text("8 runs, all there are").count() == 1

    page.get_by_label("State").select_option("failed")
    page.get_by_label("Text").fill("no rows")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/?state=failed&text=no+rows")
    page.wait_for_selector("tr[data-index]")
    assert rows.count() == 1
    assert page.get_by_label("State").input_value() == "failed"
    page.get_by_role("link", name="Clear").click()
    page.wait_for_selector("tr[data-index='7']")


def test_a_condition_that_cannot_be_used_says_why(browser, site):
    """In place, beside the form in which it stands."""
    context = browser.new_context()
    page = context.new_page()
    enter(page, site, "/?where=dept%3E5")

    assert "nothing that runs are found by" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Condition").input_value() == "dept>5"
    context.close()


def test_keys_alone_lead_from_the_list_to_a_run_and_its_lineage(page, site, book):
    """Skip link, arrow keys through the rows, Enter; the focus can be seen."""
    enter(page, site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    page.get_by_role("link", name="train").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').dataset.index") == "2"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == "ingest"
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.closest('tr').dataset.index") == "0"
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_url("**/run?id=*")
    page.wait_for_selector("main:not([aria-busy])")

    page.get_by_role("link", name="Lineage", exact=True).last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/lineage?what=run*")
    page.wait_for_selector(".mlotel-lineage")


def test_a_run_is_shown_in_full(page, site, pipeline):
    """What it read and wrote, its parameters, metrics and code, and a way to its trace."""
    run = pipeline["train"]
    enter(page, site, f"/run?id={run.run_id[:10]}")

    def facts(name):
        section = page.get_by_role("region", name=name)
        return dict(zip(section.locator("dt").all_inner_texts(), section.locator("dd").all_inner_texts(), strict=True))

    assert page.get_by_role("heading", level=1).inner_text() == "train ✓ ok"
    assert facts("What") == {"run id": run.run_id, "version": "2.1", "pipeline": "delays"}
    assert facts("When") == {
        "started": at(run.start_ns),
        "ended": at(run.end_ns),
        "took": "3 s",
        "attempt": "1",
        "trace id": run.trace_id,
        "span id": run.span_id,
    }
    assert facts("How") == {"commit": "aaaaaaaaaaaa with uncommitted changes", "branch": "main"}
    assert facts("Parameters") == {"depth": "6", "name": SHOWN}
    assert facts("Metrics") == {"rmse": "12.3457", "nan": "not a number"}
    trace = page.get_by_role("link", name="Trace in Jaeger")
    assert trace.get_attribute("href") == f"http://localhost:16686/trace/{run.trace_id}?uiFind={run.span_id}"
    assert set(trace.get_attribute("rel").split()) == {"noopener", "noreferrer"}

    page.get_by_role("region", name="What the run read").get_by_role("link", name="embedded").click()
    page.wait_for_selector("h1:has-text('featurize')")


def test_predictions_are_shown_with_their_classes(page, site, pipeline):
    """Each count beside a bar that is as long as it is large."""
    enter(page, site, f"/run?id={pipeline['predict'].run_id}")

    meters = page.get_by_role("region", name="Predictions").locator("meter")
    assert [meter.evaluate("each => [each.value, each.max]") for meter in meters.all()] == [[10, 20], [20, 20]]


def test_an_error_is_shown_with_its_text(page, site, book):
    """Lines and all."""
    run = next(run for run in book.made if run.state == "failed")
    enter(page, site, f"/run?id={run.run_id}")

    error = page.get_by_role("region", name="Error")
    assert error.get_by_role("heading").inner_text() == "ValueError"
    assert error.locator("pre").inner_text() == f"no rows\n{SHOWN}"


def test_a_history_is_drawn(page, site, book):
    """A point for each run that has a value: its shape tells its state, its tooltip the run, a click opens it."""
    enter(page, site, "/component?name=train")
    points = page.locator(".chart a")
    runs = [run for run in book.made if run.component == "train"]

    assert points.count() == 3
    assert {each.evaluate("each => each.lastChild.tagName") for each in points.all()} == {"circle", "path", "rect"}
    assert page.get_by_text("1 without a value are not drawn").count() == 1
    assert page.get_by_role("list", name="States").inner_text().split()[:3] == ["ok", "failed", "cancelled"]
    page.get_by_label(f"ok, 3 s, {at(runs[0].start_ns)}").hover()
    assert runs[0].run_id[:8] in page.locator(".tip").inner_text()

    page.get_by_label("Show", exact=True).select_option("rmse")
    assert points.count() == 1
    points.click()
    page.wait_for_url(f"**/run?id={runs[0].run_id}")
    page.wait_for_selector("main:not([aria-busy])")


def test_points_are_gone_through_by_keys(page, site):
    """One stop for the tabulator, arrows within; the focused run is told."""
    enter(page, site, "/component?name=train")
    page.get_by_label("Show", exact=True).focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel").startswith("cancelled")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.ariaLabel").startswith("failed")
    page.keyboard.press("Home")
    assert page.locator(".tip").is_visible()
    assert page.locator(".tip").inner_text().startswith("✓ ok")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.chart')") is None
    assert not page.locator(".tip").is_visible()


def test_values_stand_where_they_belong(page, book, served):
    """Twice as long is twice as high above the axis, and later is further to the right."""
    for seconds in (2, 4, 8):
        run = book.run("train")
        book._now = run.start_ns + seconds * 10**9
        book.made[-1] = type(run)(**{**{f: getattr(run, f) for f in run.__slots__}, "end_ns": book._now})
    enter(page, served(book), "/component?name=train")

    boxes = [each.bounding_box() for each in page.locator(".chart a circle.reach").all()]
    middles = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]
    lines = {
        line.locator("text").text_content(): line.locator("line").bounding_box()["y"]
        for line in page.locator(".chart g g").all()
        if line.locator("line.grid").count()
    }
    zero = lines["0 ms"]
    assert middles[0][0] < middles[1][0] < middles[2][0]
    assert [zero - y for _, y in middles] == pytest.approx([(zero - lines["2 s"]) * n for n in (1, 2, 4)], abs=1)


def test_dates_narrow_a_history(page, site):
    """The last day counts in full; without a run in the range that is said."""
    enter(page, site, "/component?name=train")
    page.get_by_label("From (UTC)").fill("2023-11-14")
    page.get_by_label("Until").fill("2023-11-14")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/component?name=train&since=2023-11-14&until=2023-11-14")
    page.wait_for_selector("tr[data-index='3']")
    page.get_by_role("link", name="24 hours").click()
    page.wait_for_url("**/component?name=train&since=24h")
    page.wait_for_selector("text=No runs.")


def test_components_lead_to_their_histories(page, site):
    """With counts by state, which lead to those runs."""
    enter(page, site, "/components")
    row = page.get_by_role("row").filter(has_text="4 runs")
    assert "✗ 1 failed" in row.inner_text()
    row.get_by_role("link", name="1 failed").click()
    page.wait_for_url("**/?component=train&state=failed")
    page.wait_for_selector("tr[data-index='0']")
    page.go_back()
    page.get_by_role("link", name="train", exact=True).click()
    page.wait_for_selector("h1:has-text('train')")


def test_lineage_is_a_graph_and_a_table(page, site):
    """The search box on every page leads there; runs and artifacts are as many in both."""
    enter(page, site)
    page.get_by_label("Find the lineage of").fill("predictions")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mlotel-lineage")

    assert page.get_by_role("heading", level=1).inner_text() == "Lineage of predictions"
    assert page.get_by_text("4 runs, 4 artifacts").count() >= 1
    page.get_by_text("As tables").click()
    table = page.get_by_role("table", name="Runs of the lineage")
    table.wait_for()
    assert [row.locator("td").first.inner_text() for row in table.locator("tbody tr").all()] == [
        "predict",
        "train",
        "featurize",
        "ingest",
    ]
    page.get_by_label("Runs deep").fill("1")
    page.get_by_label("Way").select_option("upstream")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/lineage?what=predictions&direction=upstream&depth=1")
    page.wait_for_selector("text=1 run, 2 artifacts")


def test_an_output_is_flagged_and_reviewed(page, site, pipeline):
    """From the run's page: what is said shows at once, the review ranks the run, and the flag is taken back there."""
    enter(page, site, f"/run?id={pipeline['train'].run_id}")
    said = page.get_by_role("region", name="Notes, flags and labels")
    said.get_by_label("Say something about").select_option("model")
    said.get_by_text("Flag as wrong").click()
    said.get_by_label("Why").first.fill("far too high")
    said.get_by_role("form", name="Flag it").get_by_label("Your name").fill("ben")
    said.get_by_role("button", name="Flag it").click()
    row = said.get_by_role("listitem").filter(has_text="far too high")
    row.wait_for()
    assert row.inner_text().startswith("⚑ flag\nmodel")
    assert "by ben" in row.inner_text()

    page.get_by_role("link", name="Review").click()
    page.wait_for_selector("main:not([aria-busy])")
    flags = page.get_by_role("region", name="Flags", exact=True)
    assert flags.get_by_role("listitem").count() == 2
    table = page.get_by_role("table", name="Runs behind what is flagged")
    assert {row.locator("td").nth(1).inner_text() for row in table.locator("tbody tr").all()} == {
        "ingest",
        "featurize",
        "train",
        "predict",
    }
    assert page.get_by_label("Your name").input_value() == "ben"
    page.get_by_role("button", name="Take back the flag of model").click()
    page.get_by_role("button", name="Take back the flag of model").wait_for(state="detached")
    assert flags.get_by_role("listitem").count() == 1


def test_a_note_is_written_with_its_lines(page, site, pipeline):
    """On the notes' page, about what is named; an error leaves the text where it is."""
    enter(page, site, "/notes")
    form = page.get_by_role("form", name="Write the note")
    form.get_by_label("About").fill(f"run:{pipeline['predict'].run_id}")
    form.get_by_label("Note").fill("first line\nsecond line")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("first line").wait_for()
    notes = page.get_by_role("region", name="Notes, latest first").get_by_role("listitem")
    assert notes.count() == 2
    assert notes.first.locator("p").inner_text() == "first line\nsecond line"
    assert form.get_by_label("Note").input_value() == ""


def test_what_cannot_be_written_stays_in_its_form(browser, site):
    """And the reason is told."""
    context = browser.new_context()
    page = context.new_page()
    enter(page, site, "/notes")
    form = page.get_by_role("form", name="Write the note")
    form.get_by_label("About").fill("nothing of this name")
    form.get_by_label("Note").fill("kept")
    form.get_by_role("button").click()
    page.get_by_role("status").filter(has_text="no run or artifact answers").wait_for()
    assert form.get_by_label("Note").input_value() == "kept"
    context.close()


def test_a_label_is_given_followed_and_retracted(page, site):
    """What inherits it is listed; a retraction shows its deadline, and can be taken back."""
    enter(page, site, "/labels")
    form = page.get_by_role("form", name="Give the label")
    form.get_by_label("To").fill("name:features")
    form.get_by_label("Label").fill("customer-17")
    form.get_by_role("button").click()
    page.get_by_role("link", name="customer-17").click()
    page.wait_for_selector("main:not([aria-busy])")
    inherited = page.get_by_role("table", name="Inherited by")
    assert [row.locator("td").first.inner_text() for row in inherited.locator("tbody tr").all()] == [
        "predictions",
        "model",
    ]
    retract = page.get_by_role("form", name="Retract it")
    retract.get_by_label("Why").fill("consent withdrawn")
    retract.get_by_label("Deadline").fill("2030-01-02")
    retract.get_by_role("button").click()
    warning = page.get_by_text("Retracted: may be read until 2030-01-02 00:00:00Z: consent withdrawn")
    warning.wait_for()
    page.get_by_role("button", name="Take the retraction back").click()
    warning.wait_for(state="detached")


def test_runs_are_compared(page, site, pipeline, book):
    """From a run's page, with the run of the component before it; what explains it best stands first."""
    failed = next(run for run in book.made if run.state == "failed")
    enter(page, site, f"/run?id={failed.run_id}")
    page.get_by_role("link", name="Compare with the run before").click()
    page.wait_for_selector("main:not([aria-busy])")

    assert page.get_by_label("Before").input_value() == pipeline["train"].run_id
    table = page.get_by_role("table", name="Parameters")
    assert [cell.inner_text() for cell in table.locator("tbody tr").first.locator("td").all()] == ["depth", "6", "–"]
    enter(page, site, f"/compare?after={pipeline['ingest'].run_id}")
    assert "no earlier run" in page.get_by_role("main").inner_text()


def test_staleness_is_told(page, site, pipeline):
    """On the page of a run whose input was written long ago, or whose producer ran again."""
    enter(page, site, f"/run?id={pipeline['train'].run_id}")

    assert re.fullmatch(
        r"Stale by now: features is [\d,]+ days old, more than 30 days", page.get_by_role("note").inner_text()
    )


def test_a_lineage_that_is_too_large_offers_less(browser, book, served):
    """A model that thousands of runs read: what it was made from can still be looked at."""
    train = book.run("train", ["features"], ["model"])
    for number in range(1500):
        book.run("predict", [Io("model", link=train.outputs[0])], [str(number)])
    context = browser.new_context()
    page = context.new_page()
    enter(page, served(book), "/lineage?what=name:model")

    assert "1,501 runs and 1,502 artifacts" in page.get_by_role("main").inner_text()
    page.get_by_role("link", name="what it was made from").click()
    page.wait_for_selector(".mlotel-lineage")
    context.close()


def test_what_a_reference_may_have_meant_is_offered(browser, book, served):
    """Links to each candidate."""
    for number, name in enumerate(("one", "two")):
        book.run(name, run_id=f"abcd{number}" + "0" * 27)
    context = browser.new_context()
    page = context.new_page()
    enter(page, served(book), "/lineage?what=abcd")

    links = page.get_by_role("alert").get_by_role("link")
    assert links.count() == 2
    links.first.click()
    page.wait_for_selector(".mlotel-lineage")
    context.close()


def test_refreshing_shows_what_began_meanwhile(page, book):
    """On demand: new runs come on top, each once."""
    from pipelines import otlp_lines
    from ui_server import serving

    from mlotel.store.memory import MemoryStore

    book.run("first")
    store = MemoryStore(otlp_lines(book).encode().splitlines())
    with serving(store) as client:
        enter(page, client)
        assert page.locator("tr[data-index]").count() == 1
        book.run("second")
        for line in otlp_lines(book).encode().splitlines():
            store.append(line)
        page.get_by_role("button", name="Refresh").click()
        page.wait_for_selector("tr[data-index='1']")
        assert [row.locator("td").first.inner_text() for row in page.locator("tr[data-index]").all()] == [
            "second",
            "first",
        ]


def test_ten_thousand_runs_are_scrolled_through(page, book, served):
    """To the very first one, in the right order, with few rows in the document at any time."""
    from playwright.sync_api import expect

    for number in range(10_000):
        book.run("train", version=str(number))
    enter(page, served(book))
    most = 0
    for _ in range(400):
        most = max(most, page.locator("tr[data-index]").count())
        if page.get_by_text("10,000 runs, all there are").count():
            break
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        expect(page.locator(".status")).not_to_contain_text("reading on")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_selector("tr[data-index='9999']")
    assert page.locator("tr[data-index='9999'] .c-version").inner_text() == "0"
    assert page.locator("tr[data-index='9999']").get_attribute("aria-rowindex") == "10001"

    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    expect(page.locator("tr[data-index='9999']")).to_have_count(0)
    rows = page.locator("tr[data-index]")
    indices = [int(index) for index in rows.evaluate_all("rows => rows.map((row) => row.dataset.index)")]
    versions = [int(text) for text in page.locator("tr[data-index] .c-version").all_inner_texts()]
    assert indices == list(range(indices[0], indices[-1] + 1))
    assert versions == [9999 - index for index in indices]
    # where a row stands, it is seen
    middle = page.evaluate(
        "Number(document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('tr').dataset.index)"
    )
    assert 4900 < middle < 5100
    assert max(most, rows.count()) < 120


def test_end_goes_to_the_last_row_however_often(page, book, served):
    """The focus stays in the list while earlier runs are read, until it stands on the very first run."""
    from playwright.sync_api import expect

    for number in range(450):
        book.run("train", version=str(number))
    enter(page, served(book))
    page.locator("tr[data-index='0'] a").focus()
    for known in (200, 300, 400, 450):
        expect(page.locator(".status")).to_contain_text(f"{known} runs")
        page.keyboard.press("End")
        page.wait_for_function("scrollY > 0")
        page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        assert page.evaluate("document.activeElement.closest('tr')?.dataset.index") == str(known - 1)
    assert page.locator("tr:focus-within .c-version").inner_text() == "0"


def test_a_search_in_vain_stops_and_can_be_taken_further(page, book, served, monkeypatch):
    """Rather than to read a store of any size to its end."""
    from mlotel.ui import paging

    monkeypatch.setattr(paging, "_AT_ONCE", 2)
    monkeypatch.setattr(paging, "_MOST_LOOKED_AT", 4)
    book.run("needle")
    for _ in range(30):
        book.run("hay")
    enter(page, served(book), "/?text=needle")

    page.get_by_text("0 runs so far, and none for a long while before").wait_for()
    page.get_by_role("button", name="Look further back").click()
    page.get_by_role("link", name="needle").wait_for()


def test_without_the_token_the_page_stays_shut(browser, site):
    """A browser that comes without it sees the refusal alone."""
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f"{site.session.origin}/")

    assert answer.status == 401
    assert "open the address" in page.inner_text("body")
    context.close()


def test_a_link_in_another_page_lets_the_browser_in(browser, site, tmp_path):
    """The page that `mlotel ui` hands to the browser leads here, and so does a link in a mail."""
    path = tmp_path / "open.html"
    path.write_text(f'<meta http-equiv="refresh" content="0; url={site.session.url}">')
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_url(f"{site.session.origin}/")
    page.wait_for_selector("tr[data-index]")
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""
    context.close()


def test_another_page_of_this_machine_reads_nothing(browser, site, served, book):
    """A server on another port gets neither answers nor scripts of this one, with the cookie in the browser."""
    context = browser.new_context()
    page = context.new_page()
    enter(page, site)
    other = served(book)
    enter(page, other)

    def outcome(script):
        return page.evaluate(f"({script})().then(() => 'read', (error) => error.name)")

    url = f"{site.session.origin}/api/runs"
    assert outcome(f"() => fetch('{url}', {{ credentials: 'include' }})") == "TypeError"
    assert outcome(f"() => fetch('{url}', {{ method: 'POST', credentials: 'include' }})") == "TypeError"
    context.close()


def test_when_the_server_has_gone_that_is_said(browser, book):
    """Not a page that waits for ever."""
    from pipelines import otlp_lines
    from ui_server import serving

    from mlotel.store.memory import MemoryStore

    book.run("train")
    context = browser.new_context()
    page = context.new_page()
    with serving(MemoryStore(otlp_lines(book).encode().splitlines())) as client:
        enter(page, client)
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_selector("text=mlotel ui does not answer")
    context.close()
