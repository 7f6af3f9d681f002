"""JupyterLab for tests: started on a folder, and driven as a person does."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.brief import brief_ipython

TOKEN = "tested-in-a-browser"


@contextmanager
def running_lab(home, root, **variables):
    """JupyterLab on the notebooks in ``root``, its own files in ``home``; its address."""
    # Nothing of whoever runs this: neither settings nor open tabs, nor news to be fetched.
    folders = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": brief_ipython(home / "ipython"),
        **variables,
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


def opened(browser, lab, name):
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


def run_all(page):
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
