"""While a trial of two workers trains on a Ray of this machine nothing listens but on the loopback."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from tests.engine.killing import in_the_middle
from tests.engine.toy_study import ToyStudy


@pytest.mark.usefixtures("free_cluster")
def test_workers_and_their_training_processes_meet_on_the_loopback(toy: Callable[..., ToyStudy]) -> None:
    study = toy(seeds=(0,), workers=2, epochs=40, seconds=0.8, held=True)
    addresses: set[str] = set()
    processes = 0

    def look() -> None:
        nonlocal processes
        while not in_the_middle(study)():
            time.sleep(0.05)
        family = psutil.Process(os.getpid()).children(recursive=True)
        for process in family:
            connections = process.net_connections("tcp")
            addresses.update(c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN)
        processes = len(family)
        study.release()

    watcher = threading.Thread(target=look)
    watcher.start()
    assert study.run().finished == 2
    watcher.join()
    assert processes > 5
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
