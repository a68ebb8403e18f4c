#!/usr/bin/env bash
# `make next`: the newest releases that resolve, in .venv-next, then what moved and what breaks. TESTS: a part of the suite.
# `make next RAY=2.55.1`: all as pinned but Ray, which is of that release, or the newest with `RAY=newest`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv-next
[[ -x $venv/bin/python ]] || "${PYTHON:-python3.11}" -m venv $venv
newest=$(mktemp) && trap 'rm -f "$newest"' EXIT
case ${RAY:-} in  # no pin: as new as all packages together allow
  "") unpin='s/==.*//' ;;
  newest) unpin='/^ray/s/==.*//' ;;
  *) unpin="/^ray/s/==.*/==$RAY/" ;;
esac
cat requirements.txt requirements-dev.txt | sed -E "/^(#|-r)/d; s/ *#.*//; $unpin" >"$newest"
echo "installing into $venv (the log is $venv/install.log)"
$venv/bin/python -m pip install --upgrade --progress-bar off -r "$newest" >$venv/install.log 2>&1 ||
  { tail -n 20 $venv/install.log; echo "error: they do not resolve, see above"; exit 1; }
$venv/bin/python -m pip install --no-deps --editable . >>$venv/install.log 2>&1

echo "other than what is pinned:"
while IFS='=' read -r name _ pinned; do
  installed=$($venv/bin/python -c 'import sys; from importlib.metadata import version; print(version(sys.argv[1]))' \
    "${name%%[*}")
  [[ ${installed%%+*} == "$pinned" ]] || echo "  $name $pinned → $installed"
done < <(sed -E '/^(#|-r)/d; s/ *#.*//' requirements.txt requirements-dev.txt)
echo "what the doctor says of its Ray:"
{ $venv/bin/python -m assay doctor --quick || true; } | sed -nE 's/^[^ ]+ +(ray )/  \1/p'
# shellcheck disable=SC2086
exec $venv/bin/python -m pytest -n 3 ${TESTS:-}
