"""Interrupted is not lost: states of a training, their damage, and the signals that ask for one."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from eomtlib.core.errors import EomtlibError
from eomtlib.study.study import Study
from eomtlib.training.loop import resuming
from eomtlib.training.loop.fit import trained_steps
from eomtlib.training.loop.resuming import RESUME_FILE, sound_state, states
from tests.samples import SMOKE, draw_through, weights_digest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch, brief):
    monkeypatch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def study(results_dir, **parameters):
    given = {**SMOKE, "duration": "8steps", "rungs": "eomt", "progress": False, **parameters}
    return Study(results_dir=results_dir, **given)


def interrupted(one, number, *, at):
    """Learns a run that gets a signal while it waits for the batch of a step."""
    run = one.runs[0]

    def sends(batches, _):
        for batch in batches:
            if batch.step == at:
                os.kill(os.getpid(), number)
            yield batch

    draw_through(run, sends)
    with pytest.raises(KeyboardInterrupt, match=rf"stopped at step {at + 1} of 8; run again to go"):
        run.learn()
    return run.folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of a training that nothing interrupts."""
    patch = pytest.MonkeyPatch()
    patch.setenv("EOMTLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    one = study(tmp_path_factory.mktemp("whole"))
    one.learn()
    patch.undo()
    return weights_digest(one.runs[0].folder)


@pytest.mark.parametrize(("number", "at"), [(signal.SIGINT, 0), (signal.SIGTERM, 3)])
def test_a_signal_leaves_a_state_at_any_step(number, at, whole, tmp_path):
    before = signal.getsignal(number)
    folder = interrupted(study(tmp_path), number, at=at)
    assert signal.getsignal(number) == before
    assert torch.load(folder / RESUME_FILE, weights_only=True)["global_step"] == at + 1
    study(tmp_path).learn()
    assert weights_digest(folder) == whole
    assert not states(folder)


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "flipped": lambda content: content[:200] + b"\xff" * 400 + content[600:],
    "of another program": lambda content: b"PK\x03\x04 nothing of ours",
}


@pytest.mark.parametrize("kind", [*DAMAGE, "not finite", "lacks a part"])
def test_a_damaged_state_is_passed_over_for_the_one_before(kind, whole, tmp_path):
    one = study(tmp_path, checkpoint_every="2steps")
    folder = interrupted(one, signal.SIGTERM, at=4)
    newest, older = states(folder)
    assert torch.load(older, weights_only=True)["global_step"] == 4
    if kind in DAMAGE:
        newest.write_bytes(DAMAGE[kind](newest.read_bytes()))
    else:
        content = torch.load(newest, weights_only=True)
        if kind == "not finite":
            next(iter(content["state_dict"].values())).flatten()[-1] = torch.nan
        else:
            del content["state_dict"]
        torch.save(content, newest)
    with pytest.warns(UserWarning, match=rf"{newest.name}: cannot be gone on from"):
        assert sound_state(folder) == older
    with pytest.warns(UserWarning, match=r"passed over for the state before it"):
        study(tmp_path, checkpoint_every="2steps").learn()
    assert weights_digest(folder) == whole


def test_with_no_sound_state_training_starts_again(whole, tmp_path):
    folder = interrupted(study(tmp_path, checkpoint_every="2steps"), signal.SIGTERM, at=4)
    for path in states(folder):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match=r"resume\.before\.ckpt: cannot be gone on from"):
        study(tmp_path).learn()
    assert weights_digest(folder) == whole


def test_a_full_disk_while_training_is_said_and_training_goes_on(whole, tmp_path, monkeypatch):
    def full(path, write):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(resuming, "write_atomically", full)
    one = study(tmp_path, checkpoint_every="3steps")
    with pytest.warns(UserWarning, match=r"state of step 3 cannot be written \(No space left"):
        one.learn()
    assert weights_digest(one.runs[0].folder) == whole


def test_a_full_disk_at_the_end_leaves_a_state_and_says_so(whole, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    one = study(tmp_path, checkpoint_every="3steps")
    with monkeypatch.context() as patch:
        patch.setattr("eomtlib.study.runs.run.save_model", full)
        said = (
            r"weights cannot be written \(No space left.*resume\.ckpt, resume\.before\.ckpt is kept"
        )
        with pytest.raises(EomtlibError, match=said):
            one.learn()
    study(tmp_path, checkpoint_every="3steps").learn()
    assert weights_digest(one.runs[0].folder) == whole


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_papermill_leaves_a_state(number, tmp_path):
    """Its kernel has a process group of its own, and learns of it in another way each time."""
    root = Path(__file__).parents[3]
    given = SMOKE | {"rungs": "eomt", "duration": 4000, "results_dir": tmp_path, "jobs": 1}
    command = [sys.executable, "-m", "papermill", root / "notebooks" / "ablation.ipynb"]
    command += [tmp_path / "out.ipynb", "--cwd", root]
    known = ("size", "batch_size", "val_images", "device", "rungs", "duration", "results_dir")
    for name in known:
        command += ["-p", name, given[name]]
    process = subprocess.Popen(
        [str(word) for word in command],
        env=os.environ | {"PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        _wait(lambda: any(trained_steps(f) > 3 for f in tmp_path.glob("eomt-*")), process)
        os.killpg(process.pid, number)
        process.wait(60)
        _wait(lambda: list(tmp_path.glob("eomt-*/resume.ckpt")))
    finally:
        process.kill()


def _wait(is_true, process=None):
    for _ in range(600):
        if is_true():
            return
        assert process is None or process.poll() is None
        time.sleep(0.2)
    raise AssertionError("not within two minutes")
