"""A browser for tests that look at pages as a person does."""

import os
import shutil
from contextlib import contextmanager

import pytest

REQUIRED = "EOMTLIB_REQUIRE_BROWSER"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


def browser_path():
    """Where a browser is that Playwright can drive; skips, or fails where one is required."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        found, what = None, "Playwright is not installed (pip install -e '.[dev]')"
    else:
        what = f"none of {', '.join(BROWSERS)} is installed"
    if found is None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{what}, and {REQUIRED}=1 asks for the browser test")
        pytest.skip(f"{what}: nothing was tried in a browser")
    return found


@contextmanager
def opened_browser(folder, *, width=1400, height=1000):
    """A browser with an empty profile in ``folder``."""
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder,
            executable_path=path,
            args=["--headless=new", *FLAGS.split()],
            viewport={"width": width, "height": height},
        )
        try:
            yield context
        finally:
            context.close()
