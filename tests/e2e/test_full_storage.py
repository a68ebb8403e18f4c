"""A storage that runs full in the middle of a study: the program says so and ends; with room it goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from assay.storage import Store
from tests.e2e.toy_program import ToyProgram
from tests.helpers.mounting import in_own_mounts

# Fills the storage when the first trial has ended, runs to the end, makes room, runs again, copies it out.
SCRIPT = """
mount -t tmpfs -o size=8m tmpfs storage
fill() {
  until ls storage/trials/*/progress.json >/dev/null 2>&1; do sleep 0.05; done
  cat /dev/zero >storage/ballast 2>/dev/null
}
fill & filler=$!
"$@" >first.out 2>first.err; echo $? >first.code
wait $filler
find storage -name '*.partial' >half.txt
rm storage/ballast
"$@" >second.out 2>second.err; echo $? >second.code
cp -r storage copied
"""


def test_a_full_storage_ends_the_run_with_a_sentence_and_room_lets_it_finish(
    tmp_path: Path, cache_root: Path
) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    program = ToyProgram(tmp_path, cache_root, str(storage), {})
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run = program.command("run", str(program.file), "--local", "--tracking-uri", uri)
    subprocess.run(
        in_own_mounts(["bash", "-c", SCRIPT, "bash", *run]),
        cwd=tmp_path,
        env=program.environment,
        timeout=280,
        check=True,
    )
    said = (tmp_path / "first.err").read_text()
    assert (tmp_path / "first.code").read_text() == "2\n", said
    assert said.startswith(f"error: the storage {storage} is full (0 MB free). Free some space there")
    assert len(said.splitlines()) == 1
    assert "Traceback" not in (tmp_path / "first.out").read_text()
    assert (tmp_path / "half.txt").read_text() == ""
    assert (tmp_path / "second.code").read_text() == "0\n", (tmp_path / "second.err").read_text()
    records = program.records(Store(tmp_path / "copied"))
    assert [record.status for record in records.values()] == ["finished", "finished"]
    assert max(record.attempts for record in records.values()) <= 2
