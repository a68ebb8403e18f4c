"""Tables of scores in the layouts of trackers, of autorank and of people get the verdicts of a study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare

from assay.analysis.scores.score_file import ScoreQuestion
from assay.analysis.scores.score_table import ColumnNames
from tests.analysis.test_score_file import read, verdicts
from trainables.errors import InputError


def autorank_example() -> pd.DataFrame:
    """The data of the example in autorank's README, drawn as there."""
    np.random.seed(42)  # noqa: NPY002 - as there
    means = [0.2, 0.3, 0.5, 0.8, 0.85, 0.9]
    return pd.DataFrame(
        {f"pop_{i}": np.random.normal(mean, 0.3, 50).clip(0, 1) for i, mean in enumerate(means)}  # noqa: NPY002
    )


def test_the_example_of_autorank_gets_its_answer() -> None:
    """Its README: mean ranks, p of Friedman's test, and three groups without a significant difference."""
    data = autorank_example()
    assert list(data.rank(axis=1, ascending=False).mean()) == pytest.approx(
        [5.4, 4.71, 3.95, 2.47, 2.29, 2.18]
    )
    assert friedmanchisquare(*data.to_numpy().T).pvalue == pytest.approx(2.3412212612346733e-28)
    alike = [{"pop_3", "pop_4", "pop_5"}, {"pop_1", "pop_2"}, {"pop_0", "pop_1"}]
    verdict = verdicts(read(data.to_csv()))
    different = {pair for pair in verdict if not any(group >= set(pair.split(" → ")) for group in alike)}
    assert (len(verdict), len(different)) == (15, 10)
    assert {verdict[pair] for pair in different} == {"shown"}
    assert {verdict[f"pop_{a} → pop_{b}"] for a, b in ((3, 4), (3, 5), (4, 5))} == {"open"}


def test_rows_of_autorank_may_have_names() -> None:
    data = autorank_example()
    named = data.rename(index="set {}".format).to_csv(index_label="data set")
    assert verdicts(read(named)) == verdicts(read(data.to_csv(index=False)))


@pytest.mark.parametrize(
    ("text", "columns", "layout"),
    [
        ("method;seed;ap\na;0;0,5\na;1;60 %\nb;0;0,7\nb;1;90 %\n", {}, "a row per repeat"),
        (
            "cell\tseed\tmetric\tvalue\na\t0\tap\t.5\na\t1\tap\t.6\nb\t0\tap\t.7\nb\t1\tap\t.9\n",
            {},
            "repeat and metric",
        ),
        ("a,b\n.5,.7\n.6,.9\n", {}, "a column per cell"),
        (
            "net,run,acc,ap\na,s1,1,.5\na,s2,1,.6\nb,s1,1,.7\nb,s2,1,.9\n",
            {"cell": ("net",), "score": ("ap",)},
            "repeat",
        ),
    ],
)  # fmt: skip
def test_layouts_of_other_programs_say_the_same(
    text: str, columns: dict[str, tuple[str, ...]], layout: str
) -> None:
    scores = read(text, ScoreQuestion(columns=ColumnNames(**columns)))  # pyright: ignore[reportArgumentType]
    (result,) = scores.analysis.comparisons
    assert layout in scores.layout
    assert result.differences == pytest.approx((0.2, 0.3))
    assert (result.comparison, result.verdict) == ("a → b", "too few")


RUNS = [
    (f"{method}{seed}", method, seed, value)
    for method, values in (("base", (0.901, 0.912, 0.905)), ("new", (0.951, 0.949, 0.955)))
    for seed, value in enumerate(values)
]
DAY = "2026-03-23 10:46:5"
# As `mlflow.search_runs().to_csv(index=False)` writes it. A run ended in an error, each has its folder.
MLFLOW_FILE = (
    "run_id,experiment_id,status,artifact_uri,start_time,end_time,metrics.val_loss,metrics.test_ap,"
    "params.lr,params.method,params.epochs,params.seed,params.out_dir,tags.mlflow.runName\n"
    f"856b,1,FAILED,/m/856b,{DAY}3.9+00:00,{DAY}4.0+00:00,,,0.1,new,20,2,runs/x,x\n"
) + "".join(
    f"{name},1,FINISHED,/m/{name},{DAY}1.2+00:00,{DAY}3.9+00:00,0.2{seed},{value},0.1,{method},20,{seed},"
    f"runs/{name},{name}\n"
    for name, method, seed, value in reversed(RUNS)
)
# As the runs' page of W&B exports its table. A run crashed, one still runs.
WANDB_FILE = (
    '"Name","State","Notes","User","Tags","Created","Runtime","Sweep","lr","method","seed","epoch","test/ap",'
    '"train/loss","_step"\n'
    '"dry-8","running","-","jo","","2026-03-01T08:00:00.000Z","9","","0.1","new","3","0","","0.7","0"\n'
    '"dry-7","crashed","-","jo","","2026-03-01T07:50:00.000Z","9","","0.1","new","2","3","","0.4","3"\n'
) + "".join(
    f'"{name}","finished","-","jo","","2026-03-01T07:40:00.000Z","911","","0.1","{method}","{seed}","19",'
    f'"{value}","0.02","19"\n'
    for name, method, seed, value in reversed(RUNS)
)
# As W&B's documentation writes the runs of its interface: dictionaries as Python prints them.
WANDB_API_FILE = ",summary,config,name\n" + "".join(
    f"{number},\"{{'_runtime': 912.1, '_wandb': {{'runtime': 911}}, 'test_ap': {value}, 'epoch': 19, "
    f"'loss': nan}}\",\"{{'method': '{method}', 'seed': {seed}, 'layers': [16, 32]}}\",{name}\n"
    for number, (name, method, seed, value) in enumerate(RUNS)
)


@pytest.mark.parametrize(
    ("text", "score", "layout"),
    [
        (MLFLOW_FILE, (), "runs of MLflow"),
        (WANDB_FILE, ("test/ap",), "runs of W&B"),
        (WANDB_API_FILE, (), "runs of W&B"),
    ],
)
def test_the_exports_of_trackers_are_read_with_their_crashes_folders_and_losses(
    text: str, score: tuple[str, ...], layout: str
) -> None:
    scores = read(text, ScoreQuestion(columns=ColumnNames(score=score), against="base"))
    assert scores.layout == layout
    (result,) = scores.analysis.comparisons
    assert result.differences == pytest.approx((0.050, 0.037, 0.050))
    assert result.verdict == "suggested"
    assert [(m.name, m.better) for m in scores.metrics[1:]] in (
        [],
        [("val_loss", "lower")],
        [("loss", "lower")],
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method,seed,ap\na,0,.5 ± .1\nb,0,.6 ± .1\n", "found '.5 ± .1' for ap in line 2"),
        ("a,b\n.5 ± .1,.6 ± .1\n", "means with a spread cannot be tested"),
        ("a,b,c\n.5,.6,.7\nhigh,.6,.7\n", "found 'high' for a in line 3"),
        ("method,seed,\na,0,.5\nb,0,.6\n", "method, seed, a column without a title. Name it: --score"),
        (MLFLOW_FILE.replace("base,20,", "base,20,9"), "or name the column that tells cells apart: --cell"),
        ("method,ap\na,.5\nb,.6\n", "Add it, or name it: --seed COLUMN"),
        ("method,seed,ap\na,0,.5\n,0,.6\n", "method is empty in line 3"),
        ("ap,kind\n.5,x\n", "--cell COLUMN"),
    ],
)  # fmt: skip
def test_a_foreign_table_that_is_odd_is_refused_with_a_way_out(text: str, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        read(text)
    assert said in str(refusal.value)


def test_a_run_that_crashed_gives_way_to_its_repetition() -> None:
    text = "Name,State,method,seed,ap\nr1,crashed,a,0,.1\nr2,finished,a,0,.5\nr3,finished,b,0,.7\n"
    scores = read(text, ScoreQuestion(columns=ColumnNames(score=("ap",))))
    assert scores.analysis.comparisons[0].difference == pytest.approx(0.2)


def test_a_fold_that_a_table_with_a_column_per_cell_lacks_is_missing_too() -> None:
    rows = [f"{s},{f},.{s}{f}3,.{s}{f}5" for s in range(1, 7) for f in (range(3) if s < 6 else (0,))]
    (result, *_) = read("\n".join(["seed,fold,a,b", *rows])).analysis.comparisons
    assert (result.n, result.n_planned) == (5, 6)
