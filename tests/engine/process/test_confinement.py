"""A method in a process of its own: what it cannot reach, and what is said of an attempt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.process.odd_method import Odd


@pytest.mark.parametrize(
    "cheat",
    [
        "list(STORAGE.iterdir())",
        "os.listdir(CACHE)",
        "next(p for p in glob.glob('/proc/self/fd/*') if str(CACHE) in os.path.realpath(p))",
        "open(f'/proc/{os.getppid()}/environ').read()",
        "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
        "os.listdir(f'/proc/{os.getppid()}/fd')",
        "open(next(p for p in glob.glob('/proc/[0-9]*/maps') if str(os.getpid()) not in p)).read()",
        "os.kill(os.getppid(), signal.SIGTERM)",
        "(STORAGE / 'record.json').write_text('{}')",
        "os.link(next(CACHE.rglob('*.arrow')), run.trial_log._scratch / 'taken')",
        "way = run.trial_log._scratch / 'way'; os.symlink(CACHE, way); list(way.iterdir())",
        "next(o for o in gc.get_objects() if type(o).__name__ in ('EvaluationData', 'Manifest', 'Store'))",
        "next(f for f in iter_frames() if 'evaluation' in f.f_locals)",
        "data.train.images['no such image']",
        "os.environ['AWS_SECRET_ACCESS_KEY']",
    ],
)
def test_what_is_kept_from_training_is_out_of_its_reach(
    odd: Odd, monkeypatch: pytest.MonkeyPatch, cheat: str
) -> None:
    frames = "def iter_frames(f=sys._getframe()):\n    while f:\n        yield f\n        f = f.f_back\n"
    _, record = odd(f"{frames}{cheat}")
    assert record.status == "failed", f"{cheat} got through"


def test_what_is_patched_during_training_evaluates_nothing(odd: Odd) -> None:
    _, record = odd("""
        import trainables.evaluation.evaluate, trainables.evaluation.metrics
        trainables.evaluation.evaluate.evaluate_scorer = None
        trainables.evaluation.evaluate.image_metrics = lambda *_: {"image_ap": 1.0}
    """)
    assert record.result is not None
    assert record.result.metrics["image_ap"] < 1


def test_an_attempt_to_open_what_is_kept_is_named_though_the_method_hides_it(odd: Odd) -> None:
    store, record = odd("""
        try:
            (STORAGE / "trials").iterdir().__next__()
        except OSError:
            pass
    """)
    assert record.result is not None
    assert any(f"tried to open {store.local_path}/trials" in note for note in record.result.notes)


def test_weights_may_lie_below_what_is_kept_from_training(
    odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "storage" / "weights"
    weights.mkdir(parents=True)
    (weights / "net.bin").touch()
    monkeypatch.setenv("ASSAY_WEIGHTS", str(weights))
    _, record = odd("(STORAGE / 'weights' / 'net.bin').read_bytes()")
    assert record.result is not None, record.reason
    assert not [note for note in record.result.notes if "tried to open" in note]
