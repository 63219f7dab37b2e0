"""`mlotel drift --format html`: the page as people see it, in a real browser."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chromium import expect

if TYPE_CHECKING:
    from conftest import Mlotel
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
HOSTILE = "</title><img src=x onerror=alert(1)>'\"--><!--&amp;<script>alert(2)</script>"


@pytest.fixture
def seen(mlotel: Mlotel, page: Page, tmp_path: Path) -> Any:
    """Return what compares two tables, opens the page, and gives the JSON document and the addresses asked for."""

    def see(then: pa.Table, now: pa.Table) -> tuple[Any, list[str]]:
        pq.write_table(then, tmp_path / "then.parquet")
        pq.write_table(now, tmp_path / "now.parquet")
        what = ("drift", tmp_path / "then.parquet", tmp_path / "now.parquet", "--format")
        path = tmp_path / "page.html"
        path.write_text(mlotel(*what, "html").out, encoding="utf-8")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
        page.goto(path.as_uri())
        assert asked.pop(0) == path.as_uri()
        return mlotel(*what, "json").json, asked

    return see


def table(rows: int, seed: int, shift: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "age": pa.array(rng.gamma(4.0, 10.0, rows), mask=rng.random(rows) < 0.02),
            "score": rng.normal(shift, 1, rows),
            "city": rng.choice(["Rome", "Oslo", "Bonn"], rows),
            "level": np.full(rows, 3.0),
        }
    )


def test_the_page_shows_each_distribution_alarms_first(seen: Any, page: Page) -> None:
    """Each feature has a picture with two bars a bin, as high as its shares; nothing is asked for."""
    document, asked = seen(table(5_000, 1, 0.0), table(2_000, 2, 0.7))

    titles = page.get_by_role("heading", level=2).all_text_contents()
    assert titles[0] == "score"
    assert sorted(titles) == ["age", "city", "level", "score"]
    expect(page.locator("article.changed")).to_have_count(1)
    expect(page.locator("article.changed")).to_contain_text("alarm: distribution")
    assert page.title() == "now.parquet beside then.parquet"
    assert "1 alarm in 4 features" in page.locator("header").inner_text()
    for feature in document["features"]:
        article = page.get_by_role("article", name=feature["feature"])
        for side, counts, rows in (
            ("then", feature["distribution"]["reference"], document["reference_rows"]),
            ("now", feature["distribution"]["current"], document["rows"]),
        ):
            boxes = [each.bounding_box() for each in article.locator(f"rect.{side}").all()]
            heights = np.array([box["height"] if box else 0.0 for box in boxes])
            shares = np.array(counts) / rows
            assert len(heights) == len(shares)
            unit = heights.max() / shares.max()
            np.testing.assert_allclose(heights, shares * unit, atol=0.6)
    assert asked == []


def test_bars_stand_beside_each_other_within_the_picture(seen: Any, page: Page) -> None:
    """No bar covers another or leaves its picture, on a wide screen and on a narrow one, and the page does not scroll
    sideways.
    """
    seen(table(5_000, 1, 0.0), table(2_000, 2, 0.7))
    for width in (1400, 400):
        page.set_viewport_size({"width": width, "height": 800})
        for article in page.get_by_role("article").all():
            frame = article.locator("svg").bounding_box()
            assert frame is not None
            boxes = sorted((each.bounding_box() for each in article.locator("rect").all()), key=lambda box: box["x"])
            for one, other in pairwise(boxes):
                assert one["x"] + one["width"] <= other["x"] + 0.01
            assert frame["x"] <= boxes[0]["x"]
            assert boxes[-1]["x"] + boxes[-1]["width"] <= frame["x"] + frame["width"] + 0.01
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_figures_are_opened_by_a_click(seen: Any, page: Page) -> None:
    """Shares by bin and moments, of the reference and now."""
    seen(table(5_000, 1, 0.0), table(2_000, 2, 0.7))
    article = page.get_by_role("article", name="score")
    expect(article.get_by_role("row", name="mean")).to_be_hidden()
    article.get_by_text("Figures").click()
    expect(article.get_by_role("row", name="mean")).to_contain_text("0.7")
    expect(article.get_by_role("row", name="missing")).to_contain_text("0.00%")


def test_hostile_text_stays_text(seen: Any, page: Page) -> None:
    """Markup in names of columns and categories is shown as it stands, and nothing of it runs or is loaded."""
    columns = {HOSTILE: [HOSTILE, "b"] * 1_000}
    _, asked = seen(pa.table(columns), pa.table({HOSTILE: ["b", HOSTILE + "2"] * 1_000}))
    expect(page.get_by_role("heading", level=2)).to_have_text(HOSTILE)
    assert page.locator("img").count() == page.locator("script").count() == 0
    assert page.locator("rect.then").count() == 4
    assert asked == []


def test_what_could_not_be_compared_is_told(seen: Any, page: Page) -> None:
    """A lacking column and one of another type have no picture, and say why; few rows are not judged."""
    then = table(5_000, 1, 0.0)
    now = table(100, 2, 0.0).drop_columns("city").set_column(1, "score", pa.array(["x"] * 100))
    document, _ = seen(then, now)
    json.dumps(document, allow_nan=False)
    expect(page.get_by_role("article", name="city")).to_contain_text("alarm: column missing")
    expect(page.get_by_role("article", name="score")).to_contain_text("double has become string")
    expect(page.get_by_role("article", name="age")).to_contain_text("not judged")
    assert page.locator("svg").count() == 2
    assert "fewer than 500" in page.locator("header").inner_text()
