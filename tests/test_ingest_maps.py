"""Every mapping of docs/maps loads its file of the evaluation data, and nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from limner.histories import Mapping, ingest
from limner.histories.profile import profile
from limner.histories.store import Store

MAPS = Path(__file__).parents[1] / "docs" / "maps"

FILES = {
    "amazon_musical_instruments": "amazon_musical_instruments/events.parquet",
    "amazon2023_multicat": "amazon2023_multicat/events.parquet",
    "douban_events": "douban_user_histories_zh/events.parquet",
    "douban_items": "douban_user_histories_zh/items.parquet",
    "douban_users": "douban_user_histories_zh/users.parquet",
    "online_retail_uk": "online_retail_uk/events.parquet",
    "grocery_events": "complete_journey_grocery/events.parquet",
    "grocery_items": "complete_journey_grocery/items.parquet",
    "grocery_users": "complete_journey_grocery/users.parquet",
    "grocery_campaigns_received": "complete_journey_grocery/campaigns_received.parquet",
    "grocery_campaign_descriptions": "complete_journey_grocery/campaign_descriptions.parquet",
    "grocery_coupon_redemptions": "complete_journey_grocery/coupon_redemptions.parquet",
    "jd_events": "jd_clicks_sample_zh/events.parquet",
    "jd_users": "jd_clicks_sample_zh/users.parquet",
    "movielens_events": "movielens_100k/events.parquet",
    "movielens_users": "movielens_100k/users.parquet",
    "steam_reviews": "steam_reviews_meta/events.parquet",
    "zh_reviews_labelled": "zh_reviews_labelled/reviews.parquet",
    "zh_restaurants": "zh_aspect_opinion/asap_restaurants_sample.parquet",
    "zh_cosmetics_reviews": "zh_aspect_opinion/cosmetics_reviews.parquet",
    "zh_cosmetics_quads": "zh_aspect_opinion/cosmetics_quads.parquet",
    "en_laptop_sentences": "en_aspect_opinion/laptops_sentences.parquet",
    "en_laptop_quads": "en_aspect_opinion/laptops_quads.parquet",
    "intents_banking77": "intents_en/banking77.parquet",
    "intents_clinc150": "intents_en/clinc150.parquet",
    "dialogs": "dialogs_satisfaction_en/*.parquet",
    "bank_marketing": "bank_telco_labels/bank_marketing.parquet",
    "telco_churn": "bank_telco_labels/telco_churn.parquet",
    "adgen_items": "adgen_copy_zh/adgen.parquet",
}


def test_every_map_is_tried():
    assert {path.stem for path in MAPS.glob("*.toml")} == set(FILES)


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_map_loads_its_file(name: str, data_folder: Path, tmp_path: Path) -> None:
    """Rows, users, sums and the profile's figures are those that pandas counts in the file."""
    mapping = Mapping.load(MAPS / f"{name}.toml")
    store = Store.open(tmp_path / "w", create=True)
    summary = ingest(store, data_folder / FILES[name], mapping=mapping)
    source = pd.concat([pd.read_parquet(path) for path in sorted(data_folder.glob(FILES[name]))])
    assert summary.rows == len(source) == summary.stored + summary.repeats_dropped
    assert summary.quarantined == summary.duplicates == 0
    assert store.rows(f"SELECT count(*) AS n FROM {mapping.kind}")[0]["n"] == summary.stored
    if mapping.kind != "items":
        assert summary.users == source[mapping.columns["user_id"][0]].nunique()
        assert store.rows("SELECT count(*) AS n FROM facts")[0]["n"] == summary.users
    if mapping.kind == "events":
        found = store.rows("SELECT count(DISTINCT event_id) AS ids, bool_and(json_valid(attrs)) AS ok FROM events")[0]
        assert found == {"ids": summary.stored, "ok": True}
    if not summary.repeats_dropped:
        _agrees(source, mapping, store)


def _agrees(source: pd.DataFrame, mapping: Mapping, store: Store) -> None:
    """Holds what is stored, and what the profile says of it, against the file."""
    (table,) = profile(store).tables
    assert (table.name, table.rows_before, table.rows_after) == (mapping.kind, len(source), len(source))
    columns = {column.name: column for column in table.columns}
    for field in {"rating", "price", "quantity", "amount"} & set(mapping.columns):
        given = pd.to_numeric(source[mapping.columns[field][0]])
        assert store.rows(f"SELECT sum({field}) AS total FROM {mapping.kind}")[0]["total"] == pytest.approx(given.sum())
        assert (field, columns[field].missing_after) == (field, int(given.isna().sum()))
        assert (field, columns[field].different) == (field, given.nunique())
        assert columns[field].constant is None or given.nunique() == 1
        if columns[field].outlying is not None:
            low, high = given.quantile([0.25, 0.75])
            fence = 3 * (high - low)
            assert columns[field].outlying == int(((given < low - fence) | (given > high + fence)).sum())
    for field in {"user_id", "item_id"} & set(mapping.columns):
        if len(names := mapping.columns[field]) == 1:
            assert (field, columns[field].different) == (field, source[names[0]].nunique())
            assert (field, columns[field].missing_after) == (field, int(source[names[0]].isna().sum()))


@pytest.mark.data
def test_loading_all_of_a_set_twice_adds_nothing(data_folder, tmp_path):
    store = Store.open(tmp_path / "w", create=True)
    first = ingest(store, data_folder / "jd_clicks_sample_zh")
    again = ingest(store, data_folder / "jd_clicks_sample_zh")
    assert first.stored + first.repeats_dropped == first.rows == 66127 + 885
    assert again.stored == 0
    assert again.duplicates == first.stored
