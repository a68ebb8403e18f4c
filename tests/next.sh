#!/usr/bin/env bash
# `make next`: the newest releases that resolve, in .venv-next, then what moved and what breaks. TESTS: a part of the suite.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv-next
[[ -x $venv/bin/python ]] || "${PYTHON:-python3.11}" -m venv $venv
newest=$(mktemp) && trap 'rm -f "$newest"' EXIT
# No pins: each package as new as all of them together allow.
cat requirements.txt requirements-dev.txt | sed -E '/^(#|-r)/d; s/ *#.*//; s/==.*//' >"$newest"
echo "installing the newest releases into $venv (the log is $venv/install.log)"
$venv/bin/python -m pip install --upgrade --progress-bar off -r "$newest" >$venv/install.log 2>&1 ||
  { tail -n 20 $venv/install.log; echo "error: they do not resolve, see above"; exit 1; }
$venv/bin/python -m pip install --no-deps --editable . >>$venv/install.log 2>&1

echo "newer than what is pinned:"
while IFS='=' read -r name _ pinned; do
  installed=$($venv/bin/python -c 'import sys; from importlib.metadata import version; print(version(sys.argv[1]))' \
    "${name%%[*}")
  [[ ${installed%%+*} == "$pinned" ]] || echo "  $name $pinned → $installed"
done < <(sed -E '/^(#|-r)/d; s/ *#.*//' requirements.txt requirements-dev.txt)
echo "what the doctor says of its Ray:"
{ $venv/bin/python -m assay doctor --quick || true; } | sed -nE 's/^[^ ]+ +(ray )/  \1/p'
# shellcheck disable=SC2086
exec $venv/bin/python -m pytest -n 3 ${TESTS:-}
