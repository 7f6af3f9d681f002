"""Notebooks as a person uses them: opened in JupyterLab in a browser, run, and played with."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest

from tests.brief import brief_ipython

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
REQUIRED = "EOMTLIB_REQUIRE_BROWSER"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)
TOKEN = "tested-in-a-browser"
SMOKE = {
    "ablation": {
        "rungs": "eomt-masked,eomt",
        "duration": 4,
        "batch_size": 2,
        "val_images": 4,
        "device": "cpu",
    },
    "explore": {"duration": 4, "num_images": 2, "device": "cpu", "threshold": 0.1},
}


@pytest.fixture(scope="module")
def browser_path():
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
        pytest.skip(f"{what}: JupyterLab was not tried in a browser")
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on copies of the notebooks with smoke parameters; its address."""
    home = tmp_path_factory.mktemp("lab")
    root = home / "notebooks"
    root.mkdir()
    for name, parameters in SMOKE.items():
        notebook = papermill.parameterize.parameterize_notebook(
            papermill.iorw.load_notebook_node(str(NOTEBOOKS / f"{name}.ipynb")),
            {**parameters, "results_dir": str(home / "results")},
        )
        nbformat.write(notebook, root / f"{name}.ipynb")
    # Nothing of whoever runs this: neither settings nor open tabs, nor news to be fetched.
    folders = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": brief_ipython(home / "ipython"),
        "EOMTLIB_CACHE": tmp_path_factory.getbasetemp() / "cache",
    }
    news = home / "settings" / "@jupyterlab" / "apputils-extension"
    news.mkdir(parents=True)
    (news / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    arguments = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
        f"--ServerApp.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
    ]
    log = home / "lab.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments],
            env=os.environ | {name: str(folder) for name, folder in folders.items()},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _address(server, home / "runtime", log)
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def browser(browser_path, tmp_path_factory):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("browser"),
            executable_path=browser_path,
            args=["--headless=new", *FLAGS.split()],
            viewport={"width": 1400, "height": 1000},
        )
        yield context
        context.close()


def test_notebooks_run_in_jupyterlab_and_the_explorer_answers(browser, lab):
    # In this order: the second notebook looks into the runs of the first.
    ablation = _opened(browser, lab, "ablation")
    _run_all(ablation)
    _check_figures(ablation, ("ladder", "pareto", "curves"))
    ablation.close()

    page = _opened(browser, lab, "explore")
    _run_all(page)
    views = ("explorer", "models of image 1", "models of image 2", "queries", "layers", "query")
    _check_figures(page, views)
    picture = page.locator("img.widget-image")
    picture.scroll_into_view_if_needed()
    assert picture.bounding_box()["width"] <= page.locator(".jp-Notebook").bounding_box()["width"]
    drawn = [_pixels(picture)]

    def draws_again(what):
        for _ in range(300):
            if (pixels := _pixels(picture)) not in drawn:
                drawn.append(pixels)
                return
            page.wait_for_timeout(100)
        pytest.fail(f"the picture stayed the same after {what}")

    page.get_by_label("image", exact=True).select_option(index=1)
    draws_again("another image was chosen")
    page.locator(".widget-slider .noUi-handle").press("ArrowRight")
    draws_again("the slider was moved by keyboard")
    for view in ("queries", "layers", "models"):
        page.locator("button.jupyter-button", has_text=view).click()
        draws_again(f"a click on {view}")
    page.locator("button.jupyter-button", has_text="layers").click()
    page.get_by_label("query", exact=True).select_option(index=1)  # waits until it is on
    draws_again("a query was chosen")


def _opened(browser, lab, name):
    """A notebook in a workspace of its own, its kernel ready and connected."""
    page = browser.new_page()
    page.bring_to_front()
    page.set_default_timeout(120_000)
    page.add_locator_handler(page.locator("dialog.jp-Dialog"), _accept)
    page.goto(f"{lab}lab/workspaces/{name}/tree/{name}.ipynb?token={TOKEN}")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    # The page calls a notebook idle before it has a kernel, and cells that are run then are
    # dropped or ask for one, so the server is asked.
    for _ in range(1200):
        answer = page.request.get(f"{lab}api/sessions?token={TOKEN}").json()
        kernels = [session["kernel"] for session in answer if session["path"] == f"{name}.ipynb"]
        if any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels):
            break
        page.wait_for_timeout(100)
    else:
        pytest.fail(f"{name}.ipynb has no kernel after two minutes: {answer}")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", state="attached")
    return page


def _accept(dialog):
    """Answers what JupyterLab asks in between, as by Enter, and prints the question."""
    print("JupyterLab asked:", dialog.inner_text())
    dialog.locator("button.jp-mod-accept").click()


def _run_all(page):
    """Runs all cells from the menu and waits until each has run and none has failed."""
    # Asked from here: a page's own waiting stands still while nothing is painted.
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    deadline = time.monotonic() + 600
    for _ in range(60):
        if "*" in "".join(found := prompts.all_text_contents()) or any(map(_number, found)):
            break
        # A page that is busy may lose the first choice.
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_timeout(10_000)
    while "*" in "".join(found := prompts.all_text_contents()) or not any(map(_number, found)):
        assert time.monotonic() < deadline, f"not finished after 10 minutes: {found}"
        page.wait_for_timeout(500)
    shown = page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_text_contents()
    assert not [text for text in shown if "Traceback" in text]
    # What stands below a cell that failed does not run.
    assert all(map(_number, found))


def _number(prompt):
    """What stands in ``[12]:``, empty before a cell has run."""
    return prompt.strip("[]: *")


def _check_figures(page, names):
    """At least so many images come to be shown, and none of them is broken."""
    images = page.locator(".jp-OutputArea img")
    images.nth(len(names) - 1).wait_for(state="attached")
    widths = images.evaluate_all(
        "images => Promise.all(images.map(i => i.decode().then(() => i.naturalWidth, () => 0)))"
    )
    assert all(widths)


def _pixels(picture):
    """What an image shows, as the bytes that its address stands for."""
    return picture.evaluate(
        """image => fetch(image.src).then(answer => answer.arrayBuffer()).then(
        bytes => Array.from(new Uint8Array(bytes)).join())"""
    )


def _address(server, runtime, log):
    """Where the server listens, once it does; it chose the port itself."""
    for _ in range(600):
        if server.poll() is not None:
            break
        for file in runtime.glob("jpserver-*.json"):
            if text := file.read_text():  # opened and not yet written, it is empty
                return json.loads(text)["url"]
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
