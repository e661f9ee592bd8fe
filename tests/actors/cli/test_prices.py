"""What `allotment prices import litellm` makes of a price map, and of the file that there is."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from actors.cli.litellm_map import UNIT_SIZE, Rate
from actors.cli.main import app
from domain.pricing import Price, PriceList, read_prices
from domain.usage_facts import Tokens

PAGE = (Path(__file__).parents[3] / "docs" / "pricing.md").read_text()
SECTION = PAGE[PAGE.index("## From LiteLLM's price map") :]
CHAT = {"mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}
OWN = '# ours\n[[prices]]\nmodel = "gpt-*"\ncredits_per_unit = 1\nunit_size = 1\n'


def block(language: str) -> str:
    """Return the block of the page's section in a language."""
    return str(re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)[0])


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of ALLOTMENT_PRICES, which is not there yet."""
    path = tmp_path / "prices.toml"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALLOTMENT_PRICES", str(path))
    return path


def run(models: Any, *options: str) -> Result:
    file = Path("models.json")
    file.write_text(models if isinstance(models, str) else json.dumps(models))
    worth = () if "--credit-worth" in options else ("--credit-worth", "0.01")
    return CliRunner().invoke(app, ["prices", "import", "litellm", str(file), *worth, *options])


def prices_in(path: Path) -> dict[str | None, Price]:
    return {price.model: price for price in read_prices(path.read_text()).prices}


def test_the_page_shows_what_its_example_prints_and_writes(listed: Path) -> None:
    Path("models.json").write_text(block("json"))
    command = block("sh").replace("'", "").split()[1:]

    done = CliRunner().invoke(app, command)

    assert done.exit_code == 0, done.output
    cells = [line.split("\t") for line in done.output.splitlines()[:3]]
    shown = [line.split() for line in block("text").replace("cache ", "cache_").splitlines()]
    assert [[c.replace(" ", "_") for c in row if c] for row in cells] == shown
    assert listed.read_text() == block("toml")


def test_a_cost_by_an_imported_price_is_that_of_the_provider_with_its_markup(listed: Path) -> None:
    told = CHAT | {"cache_creation_input_token_cost": 1.25e-06}
    run({"m": told}, "--markup", "2", "--credit-worth", "0.001")
    tokens = Tokens(input=1000, output=500, cache_write=800)

    price = PriceList(tuple(prices_in(listed).values()))
    found = price.find("chat", "m", None)  # type: ignore[arg-type]

    # 0.001 + 0.001 + 0.001 dollars, twice, in tenths of a cent.
    assert found is not None
    assert found.cost(tokens.total, tokens) == 6


def test_a_dry_run_prints_the_same_and_changes_nothing(listed: Path) -> None:
    listed.write_text(OWN)

    dry = run({"m": CHAT}, "--dry-run")
    before = listed.read_text()
    done = run({"m": CHAT})

    assert before == OWN
    assert dry.output.splitlines()[:2] == done.output.splitlines()[:2]
    assert "nothing is changed" in dry.output


def test_a_dry_run_needs_no_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALLOTMENT_PRICES", raising=False)

    dry, done = run({"m": CHAT}, "--dry-run"), run({"m": CHAT})

    assert (dry.exit_code, done.exit_code) == (0, 1)
    assert "ALLOTMENT_PRICES is not set" in done.output


def test_the_next_import_replaces_what_the_one_before_wrote_and_nothing_else(listed: Path) -> None:
    listed.write_text(OWN)
    listed.chmod(0o640)
    run({"old": CHAT, "both": CHAT})
    after = '\n[[prices]]\nmodel = "z"\ncredits_per_unit = 3\nunit_size = 1\n'
    listed.write_text(listed.read_text() + after)

    done = run({"both": CHAT | {"output_cost_per_token": 4e-06}, "new": CHAT})

    assert done.exit_code == 0, done.output
    text = listed.read_text()
    assert text.startswith(OWN)
    assert text.endswith(after)
    assert list(prices_in(listed)) == ["gpt-*", "both", "new", "z"]
    assert prices_in(listed)["both"].credits_per_unit == 400
    assert listed.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in listed.parent.iterdir() if file.name.startswith(".")] == []


def test_the_table_says_where_an_earlier_price_decides_or_long_contexts_cost_more(
    listed: Path,
) -> None:
    listed.write_text(OWN)
    long = CHAT | {"input_cost_per_token_above_200k_tokens": 9e-06}

    done = run({"gpt-1": CHAT, "m": long, "n": CHAT})
    rows = json.loads(run({"gpt-1": CHAT, "m": long, "n": CHAT}, "--json").output)

    remarks = [line.split("\t")[-1] for line in done.output.splitlines()[1:4]]
    assert remarks == ["an earlier price decides", "dearer when long: not taken over", ""]
    told = [(row["shadowed"], row["dearer_when_long"]) for row in rows]
    assert told == [(True, False), (False, True), (False, False)]


@pytest.mark.parametrize(
    "told",
    [
        7,
        {},
        {"mode": "image_generation", "input_cost_per_token": 1e-06},
        CHAT | {"input_cost_per_token": 0.0, "output_cost_per_token": 0},
        CHAT | {"input_cost_per_token": "1e-06"},
        CHAT | {"input_cost_per_token": True},
        CHAT | {"output_cost_per_token": -1e-06},
        CHAT | {"output_cost_per_token": 1.5},
        CHAT | {"output_cost_per_reasoning_token": [1]},
    ],
    ids=str,
)
def test_a_model_without_prices_of_tokens_is_left_out(listed: Path, told: Any) -> None:
    done = run({"known": CHAT, "other": told})

    assert done.exit_code == 0, done.output
    assert list(prices_in(listed)) == ["known"]


@pytest.mark.parametrize("model", ["bedrock/*/m", "a[b]?", 'quo"te\\', "é" * 200])
def test_a_name_is_taken_as_it_is_and_no_pattern(listed: Path, model: str) -> None:
    run({model: CHAT})

    (price,) = read_prices(listed.read_text()).prices

    assert price.fits_model(model)
    assert not price.fits_model("bedrock/x/m")
    assert not price.fits_model("ab1")


@pytest.mark.parametrize(
    ("models", "options", "why"),
    [
        ("{", (), "is not JSON"),
        ("[]", (), "no object of models"),
        ('{"m": {"input_cost_per_token": NaN}}', (), "NaN is no number"),
        ({}, (), "No model of the map"),
        ({"m": CHAT}, ("--models", "x*"), "No model of the map"),
        ({f"m-{n}": CHAT for n in range(1001)}, (), "Choose some of the 1001 models"),
    ],
    ids=str,
)
def test_what_cannot_be_imported_is_said_and_the_file_stays(
    listed: Path, models: Any, options: tuple[str, ...], why: str
) -> None:
    listed.write_text(OWN)

    done = run(models, *options)

    assert done.exit_code == 1
    assert why in done.output
    assert listed.read_text() == OWN


@pytest.mark.parametrize(
    "spoilt",
    ["[[prices]]\n", OWN + "# >>> from LiteLLM: the next import replaces everything up to <<<\n"],
)
def test_a_list_that_is_spoilt_is_to_be_mended_first(listed: Path, spoilt: str) -> None:
    listed.write_text(spoilt)

    done = run({"m": CHAT})

    assert (done.exit_code, listed.read_text()) == (1, spoilt)
    assert "to be mended first" in done.output


@pytest.mark.parametrize("option", ["--markup", "--credit-worth"])
@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity", "x"])
def test_a_markup_or_worth_that_is_no_number_above_0_is_wrong_usage(
    listed: Path, option: str, value: str
) -> None:
    assert run({"m": CHAT}, option, value).exit_code == 2
    assert not listed.exists()


@given(
    st.decimals("1e-12", 1, places=12),
    st.decimals(1, 9, places=3),
    st.decimals("0.001", 9, places=3),
)
def test_a_rate_is_exact_or_rounded_up_by_less_than_its_last_decimal(
    dollars: Decimal, markup: Decimal, worth: Decimal
) -> None:
    rate = Rate(markup, worth).credits_per_unit(dollars)

    cost = rate.as_integer_ratio()
    exact = dollars.as_integer_ratio(), markup.as_integer_ratio(), worth.as_integer_ratio()
    numerator = exact[0][0] * exact[1][0] * exact[2][1] * UNIT_SIZE
    denominator = exact[0][1] * exact[1][1] * exact[2][0]
    above = cost[0] * denominator - numerator * cost[1]
    assert 0 <= above * 10**12 < cost[1] * denominator
