"""Key sets that are changed while services read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.identity import SigningKey
from deploy.local.keys import add_key, drop_key, key_ids


def test_a_key_is_added_beside_the_old_one_and_signs_what_the_set_can_check(
    tmp_path: Path,
) -> None:
    key_set, private_key = tmp_path / "keys.json", tmp_path / "new.pem"
    old = SigningKey.generate()
    old.write_jwks(key_set)

    new_id = add_key(key_set, private_key)

    assert key_ids(key_set) == [old.key_id, new_id]
    assert SigningKey.load_or_create(private_key).key_id == new_id
    drop_key(key_set, old.key_id)
    assert key_ids(key_set) == [new_id]


def test_a_key_in_use_is_never_written_over_and_a_set_never_left_empty(tmp_path: Path) -> None:
    key_set, private_key = tmp_path / "keys.json", tmp_path / "key.pem"
    key = SigningKey.load_or_create(private_key)
    key.write_jwks(key_set)

    with pytest.raises(FileExistsError):
        add_key(key_set, private_key)
    with pytest.raises(LookupError, match="only key"):
        drop_key(key_set, key.key_id)
    with pytest.raises(LookupError, match="no key"):
        drop_key(key_set, "unknown")

    assert key_ids(key_set) == [key.key_id]
    assert SigningKey.load_or_create(private_key).key_id == key.key_id
