"""Fixtures for tests that look at pages in a real Chromium. They fail, and say what to do, where there is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page


def expect(what: Locator | Page) -> Any:
    """Playwright's assertions, which wait; tests import them from here, as they are collected without it as well."""
    from playwright.sync_api import expect as assertions

    return assertions(what)


# Of a module and not of the session: while it is open, playwright's event loop runs in this thread, and the tests of
# coroutines in other modules could not run theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; `browser.new_context(…).new_page()` for a page that differs from `page`."""
    from playwright.sync_api import sync_playwright

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
    from mlotel_stack.distribution import CHROMIUM

    arguments = ["--disable-gpu", "--disable-dev-shm-usage"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's sandbox does not start as root
    executable = CHROMIUM.ensure()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of 1280 × 800; the test fails if anything on it raised or wrote a warning or an error."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(20_000)
    opened = context.new_page()
    problems: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            problems.append(f"{message.type}: {message.text}")

    opened.on("console", heard)
    opened.on("pageerror", lambda error: problems.append(f"raised: {error}"))
    yield opened
    context.close()
    assert problems == []
