"""Checkpoints: the same bits after SIGKILL, nothing lost on a full disk, no wrong model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim, training

ROOT = Path(__file__).resolve().parents[3]
RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 3))
Y = np.tanh(X @ np.array([1.0, -2.0, 3.0]))
START = {"w": np.full(3, 0.1), "b": 0.0}


def loss(params: Any, X: Any, Y: Any) -> Any:
    return np.mean((np.tanh(X @ params["w"] + params["b"]) - Y) ** 2)


def noisy(batch: Any, rng: np.random.Generator) -> Any:
    return batch[0] + 0.1 * rng.normal(size=batch[0].shape), batch[1]


def trained(path: Any, epochs: int = 6, **options: Any) -> Any:
    data = training.Loader((X, Y), 16, seed=3, transform=noisy)
    options = {"validation": (X[:20], Y[:20]), "early_stop": 50, **options}
    return tg.fit(
        loss, START, data, optim.adam, learning_rate=0.05, clip_norm=0.5, epochs=epochs,
        checkpoint=path, **options,
    )  # fmt: skip


def bits(result: Any) -> list[bytes]:
    history = result.history
    leaves = tg.tree_leaves((result.params, result.state, history.validation))
    return [np.asarray(a).tobytes() for a in (*leaves, history.loss, history.gradient_norm)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return trained(tmp_path_factory.mktemp("whole") / "run.npz")


class Crash(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("crash", [1, 3, 4, 5, 8, 11, 23, 24])
@pytest.mark.parametrize("every", [1, 3, 4])
def test_a_run_that_is_resumed_anywhere_ends_with_the_same_bits(
    crash: int, every: int, tmp_path: Path, whole: Any
) -> None:
    def hook(loop: Any) -> None:
        if loop.step == crash and not loop.epoch_ended:
            raise Crash

    with pytest.raises(Crash):
        trained(tmp_path / "run.npz", hook=hook, save_every=every)
    result = trained(tmp_path / "run.npz", save_every=every)
    assert bits(result) == bits(whole)
    assert list(result.history.epoch_ends) == list(whole.history.epoch_ends)
    assert os.listdir(tmp_path) == ["run.npz"]


SCRIPT = """
import sys
import numpy as np, tapegrad as tg
from tapegrad import optim, training

X = np.random.default_rng(0).normal(size=(300, 20))
Y = np.sin(X.sum(axis=1))
rng = np.random.default_rng(1)
start = {"layers": [rng.normal(size=(20, 30)) / 5, rng.normal(size=30) / 5], "b": 0.0}

def loss(p, X, Y):
    return np.mean((np.tanh(X @ p["layers"][0]) @ p["layers"][1] + p["b"] - Y) ** 2)

def noisy(batch, rng):
    return batch[0] * (rng.random(batch[0].shape) > 0.1), batch[1]

def slowly(loop):
    print(loop.step, flush=True)

result = tg.fit(
    loss, start, training.Loader((X, Y), 64, seed=np.random.default_rng(2), transform=noisy),
    optim.chain(optim.adam(0.01), optim.average(0.9)), epochs=40, clip_norm=1.0, save_every=2,
    validation=(X, Y), early_stop=30, checkpoint=sys.argv[1], hook=slowly,
)
leaves = tg.tree_leaves((result.params, result.state, result.history.validation))
everything = [*leaves, result.history.loss, result.history.gradient_norm]
print("done", result.steps, b"".join(np.asarray(a).tobytes() for a in everything).hex())
"""


def start_script(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_a_process_that_is_killed_at_random_moments_ends_with_the_same_bits(
    tmp_path: Path,
) -> None:
    whole = start_script(tmp_path / "whole.npz").communicate(timeout=120)[0].splitlines()[-1]
    rng, kills, last = np.random.default_rng(), 0, ""
    for _ in range(4):
        process = start_script(tmp_path / "run.npz")
        assert process.stdout is not None
        moment = int(rng.integers(1, 50))  # three of them are fewer than the 200 steps
        for line in process.stdout:
            last = line.strip()
            moment -= 1
            if moment == 0 and kills < 3:
                time.sleep(rng.random() * 0.01)
                process.kill()
                kills += 1
                break
        process.wait(timeout=60)
        process.stdout.close()
        if last.startswith("done"):
            break
    assert kills == 3 and last == whole
    assert last.startswith("done 200 ")
    assert sorted(os.listdir(tmp_path)) == ["run.npz", "whole.npz"]


def test_a_later_run_may_go_on_for_more_epochs(tmp_path: Path, whole: Any) -> None:
    path = tmp_path / "run.npz"
    trained(path, epochs=2)
    assert bits(trained(path)) == bits(whole)
    again = trained(path)  # which is done already
    assert bits(again) == bits(whole) and again.recordings == 0


def test_without_resume_a_run_begins_anew(tmp_path: Path, whole: Any) -> None:
    path = tmp_path / "run.npz"
    trained(path, epochs=2)
    seen: list[int] = []
    trained(path, resume=False, hook=lambda loop: seen.append(loop.step))
    assert seen[0] == 1


def test_what_a_hook_notes_and_the_rate_that_it_sets_go_on(tmp_path: Path) -> None:
    def hook(loop: Any) -> None:
        if loop.epoch_ended:
            loop.notes["epochs"] = loop.notes.get("epochs", 0) + 1
            loop.learning_rate = 0.05 / (1 + loop.notes["epochs"])

    whole = trained(tmp_path / "whole.npz", hook=hook)
    trained(tmp_path / "run.npz", epochs=3, hook=hook)
    result = trained(tmp_path / "run.npz", hook=hook)
    assert bits(result) == bits(whole)
    np.testing.assert_array_equal(result.history.learning_rate, whole.history.learning_rate)
    assert len(set(result.history.learning_rate)) == 6


def test_batches_that_somebody_else_makes_are_skipped_up_to_where_it_was(tmp_path: Path) -> None:
    def batches(epoch: int) -> Any:
        return ((X[i : i + 10] * (1 + epoch), Y[i : i + 10]) for i in range(0, 50, 10))

    def run(path: Path, **options: Any) -> Any:
        return tg.fit(
            loss, START, batches, optim.sgd(0.1), epochs=4, checkpoint=path, save_every=1, **options
        )

    def hook(loop: Any) -> None:
        if loop.step == 13:
            raise Crash

    with pytest.raises(Crash):
        run(tmp_path / "run.npz", hook=hook)
    assert bits(run(tmp_path / "run.npz")) == bits(run(tmp_path / "whole.npz"))


def test_a_loader_that_was_used_before_may_be_used_again(tmp_path: Path) -> None:
    loader = training.Loader((X, Y), 16, seed=3)

    def run(data: Any, path: Path | None = None, **options: Any) -> Any:
        every = None if path is None else 1
        return tg.fit(
            loss,
            START,
            data,
            optim.sgd(0.1),
            epochs=4,
            checkpoint=path,
            save_every=every,
            **options,
        )

    def hook(loop: Any) -> None:
        assert loop.epoch == (loop.step + 3) // 4
        if loop.step == crash:
            raise Crash

    crash = 0
    run(loader)
    state = loader.state()[0]
    whole = bits(run(loader))
    for crash in (6, 8):
        path = tmp_path / f"{crash}.npz"
        loader.restore(state, {}, "here", False)
        with pytest.raises(Crash):
            run(loader, path, hook=hook)
        crash = 0
        assert bits(run(training.Loader((X, Y), 16), path, hook=hook)) == whole


def test_a_run_of_no_epochs_writes_what_it_was_given(tmp_path: Path, whole: Any) -> None:
    path = tmp_path / "run.npz"
    result = trained(path, epochs=0)
    assert result.steps == 0 and np.array_equal(result.params["w"], START["w"])
    assert training.load_checkpoint(path).epoch == 0
    assert bits(trained(path)) == bits(whole)


# Interrupts ---------------------------------------------------------------------------------------


def interrupting(step: int) -> Any:
    def hook(loop: Any) -> None:
        if loop.step == step and not loop.epoch_ended:
            signal.raise_signal(signal.SIGINT)

    return hook


def test_ctrl_c_saves_and_raises(tmp_path: Path, whole: Any) -> None:
    path = tmp_path / "run.npz"
    with pytest.raises(KeyboardInterrupt) as raised:
        trained(path, hook=interrupting(10))
    partly = raised.value.result  # type: ignore[attr-defined]
    assert partly.steps == 10 and partly.stopped == "interrupt"
    assert training.load_checkpoint(path).step == 10
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert bits(trained(path)) == bits(whole)


def test_ctrl_c_may_return_what_there_is(tmp_path: Path, whole: Any) -> None:
    path = tmp_path / "run.npz"
    result = trained(path, hook=interrupting(7), on_interrupt="return")
    assert result.stopped == "interrupt" and result.steps == 7
    assert bits(trained(path)) == bits(whole)


def test_a_second_ctrl_c_does_not_wait() -> None:
    def hook(loop: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt):
        tg.fit(loss, START, (X, Y), optim.sgd(0.1), hook=hook)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# What cannot be resumed, or written ---------------------------------------------------------------


def refused(path: Path, start: Any, optimiser: Any = None, **options: Any) -> str:
    def other(params: Any, X: Any, Y: Any) -> Any:
        return sum(np.sum(leaf) for leaf in tg.tree_leaves(params)) * 0.0 + np.mean(X) + np.mean(Y)

    options = {"batch_size": 16, "clip_norm": 0.5, **options}
    with pytest.raises(ValueError) as raised:
        tg.fit(other, start, (X, Y), optimiser or optim.sgd(0.1, 0.5), checkpoint=path, **options)
    return str(raised.value)


def test_a_checkpoint_of_another_model_names_the_leaf_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    tg.fit(loss, START, (X, Y), optim.sgd(0.1, 0.5), batch_size=16, clip_norm=0.5, checkpoint=path)
    before = path.read_bytes()
    text = refused(path, {"w": np.zeros(4), "b": 0.0})
    assert "params['w'] is float64[3] in the checkpoint, and float64[4] in this run" in text
    text = refused(path, {"w": np.zeros(3, "f4"), "b": 0.0})
    assert "params['w'] is float64[3] in the checkpoint, and float32[3] in this run" in text
    text = refused(path, {"w": np.zeros(3), "b": 0.0, "c": 1.0})
    assert "params['c'] of this run is not in the checkpoint" in text
    assert "params['b'] of the checkpoint is not in this run" in refused(path, {"w": np.zeros(3)})
    text = refused(path, START, optim.adam(0.1))
    assert "state[0].count of this run is not in the checkpoint" in text
    text = refused(path, START, batch_size=8)
    assert "made with batch_size = 16, and this run has 8" in text
    assert "made with clip_norm = 0.5, and this run has None" in refused(
        path, START, clip_norm=None
    )
    assert path.read_bytes() == before


def test_kinds_of_nests_are_compared_too(tmp_path: Path) -> None:
    def total(params: Any) -> Any:
        return sum(x**2 for x in params)

    path = tmp_path / "run.npz"
    tg.fit(total, [1.0, 2.0], None, optim.sgd(0.1), checkpoint=path)
    with pytest.raises(
        ValueError, match=r"\[\*, \*\] in the checkpoint, and \(\*, \*\) in this run"
    ):
        tg.fit(total, (1.0, 2.0), None, optim.sgd(0.1), checkpoint=path)


def test_a_checkpoint_says_what_it_holds_without_pickle(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    result = trained(path, epochs=2)
    with np.load(path, allow_pickle=False) as archive:
        description = json.loads(archive["description"].tobytes())
        assert np.array_equal(archive["data/order"], np.sort(archive["data/order"])) is False
        assert all(archive[name].dtype.kind in "fiub" for name in archive.files)
    assert description["numbers"]["data"]["generator"]["bit_generator"] == "PCG64"
    found = training.load_checkpoint(path)
    assert (found.step, found.epoch) == (8, 2)
    np.testing.assert_array_equal(found.nest("params")["w"], result.params["w"])
    np.testing.assert_array_equal(found.history.loss, result.history.loss)
    assert tg.tree_structure(found.nest("state", like=result.state)) == tg.tree_structure(
        result.state
    )
    with pytest.raises(ValueError, match="give one like it"):
        found.nest("state")
    with pytest.raises(ValueError, match="no 'others'"):
        found.nest("others")


@pytest.mark.parametrize("what", ["text", "cut", "empty", "other archive"])
def test_a_file_that_is_no_checkpoint_is_named(what: str, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    trained(path, epochs=1)
    whole = path.read_bytes()
    if what == "other archive":
        np.savez(path, a=np.ones(3))
    else:
        path.write_bytes({"text": b"hello", "cut": whole[: len(whole) // 2], "empty": b""}[what])
    with pytest.raises(ValueError, match=r"run\.npz is no checkpoint that can be read"):
        trained(path)


@pytest.mark.parametrize("kind", ["MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_generators_of_all_kinds_go_on(kind: str, tmp_path: Path) -> None:
    def run(path: Path, epochs: int) -> Any:
        seed = np.random.Generator(getattr(np.random, kind)(1))
        return tg.fit(
            loss, START, (X, Y), optim.sgd(0.1), batch_size=16, seed=seed, epochs=epochs,
            checkpoint=path,
        )  # fmt: skip

    run(tmp_path / "run.npz", 2)
    assert bits(run(tmp_path / "run.npz", 4)) == bits(run(tmp_path / "whole.npz", 4))
    with pytest.raises(ValueError, match=f"holds the state of a {kind}"):
        tg.fit(
            loss, START, (X, Y), optim.sgd(0.1), batch_size=16, checkpoint=tmp_path / "run.npz",
            seed=np.random.Generator(np.random.PCG64(1)), epochs=5,
        )  # fmt: skip


FULL = """
import os, resource, signal, sys, warnings
import numpy as np, tapegrad as tg
path = sys.argv[1]
def loss(w):
    return np.mean((w - 1.0) ** 2)
start = np.random.default_rng(0).normal(size=20000)
tg.fit(loss, start, None, tg.optim.sgd(10.0), epochs=2, checkpoint=path)
before = open(path, "rb").read()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    result = tg.fit(loss, start, None, tg.optim.sgd(10.0), epochs=4, checkpoint=path)
assert open(path, "rb").read() == before and os.listdir(os.path.dirname(path)) == ["run.npz"]
print(result.steps, len(seen), seen[0].message)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
tg.fit(loss, start, None, tg.optim.sgd(10.0), epochs=4, checkpoint=path)
print(tg.training.load_checkpoint(path).step)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="the system limits no files")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "run.npz")],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("4 2 the checkpoint of step 3 could not be written (")
    assert first.endswith("run.npz is as it was") and "training goes on" in first
    assert last == "4"


def test_a_folder_that_is_not_there_is_found_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        trained(tmp_path / "no" / "run.npz", hook=lambda loop: pytest.fail("a step was made"))


def test_names_get_their_ending_and_archives_are_plain(tmp_path: Path) -> None:
    trained(tmp_path / "run", epochs=1)
    assert os.listdir(tmp_path) == ["run.npz"] and zipfile.is_zipfile(tmp_path / "run.npz")
