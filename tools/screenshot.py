#!/usr/bin/env python3
"""Take a picture of a page of the web view.

python tools/screenshot.py OUT.png WIDTHxHEIGHT STORE PATH [TEXT…]

PATH is that of the page, for instance '/lineage?what=model'; each TEXT is clicked before the picture is taken. The
pictures in docs/images are made with it after `make demo`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from playwright.sync_api import sync_playwright

from mlotel_stack.distribution import CHROMIUM


def main(out: str, size: str, store: str, path: str, *texts: str) -> None:
    """Serve `store`, open `path` in a window of this `size`, click, and write the picture to `out`."""
    width, height = map(int, size.split("x"))
    command = [sys.executable, "-m", "mlotel", "ui", "--no-open", "--store", store]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        address = next(line.strip() for line in server.stdout if re.search(r"\?token=", line))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM.ensure(), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
            page.goto(address)
            page.goto(address.partition("/?")[0] + path)
            page.wait_for_selector("main:not([aria-busy])")
            for text in texts:
                page.get_by_text(text, exact=True).first.click()
            page.screenshot(path=out)
            browser.close()
    finally:
        server.terminate()
        server.communicate(timeout=30)


if __name__ == "__main__":
    main(*sys.argv[1:])
