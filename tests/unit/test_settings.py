"""What a service understands of its environment, and of nothing else."""

from __future__ import annotations

import pytest

from chassis.config import ConfigurationError
from loyalty_service.config import LoyaltySettings
from ratingslip_service.config import RatingSlipSettings

LOYALTY = {
    "LOYALTY_DATABASE_URL": "postgresql://loyalty_service@db/loyalty",
    "LOYALTY_TOKEN_ISSUER": "https://identity.example",
    "LOYALTY_TOKEN_AUDIENCE": "loyalty.casino",
    "LOYALTY_JWKS": "https://identity.example/jwks.json",
    "LOYALTY_PAGE_TOKEN_KEY": "k" * 32,
    "LOYALTY_SERVICE_TOKEN_ISSUER": "https://ratingslip.example",
    "LOYALTY_SERVICE_JWKS": "services.json",
}
RATINGSLIP = {
    "RATINGSLIP_DATABASE_URL": "postgresql://ratingslip_service@db/ratingslip",
    "RATINGSLIP_TOKEN_ISSUER": "https://identity.example",
    "RATINGSLIP_TOKEN_AUDIENCE": "ratingslip.casino",
    "RATINGSLIP_JWKS": "https://identity.example/jwks.json",
    "RATINGSLIP_PAGE_TOKEN_KEY": "k" * 32,
    "RATINGSLIP_LOYALTY_ADDRESS": "localhost:50051",
    "RATINGSLIP_LOYALTY_TOKEN_AUDIENCE": "loyalty.casino",
    "RATINGSLIP_SERVICE_TOKEN_ISSUER": "https://ratingslip.example",
    "RATINGSLIP_SERVICE_TOKEN_KEY_FILE": "key.pem",
    "RATINGSLIP_SERVICE_TOKEN_KEY_ID": "2026-11",
}


def test_without_an_address_each_service_listens_on_its_own_port_of_this_machine() -> None:
    assert LoyaltySettings.from_environment(LOYALTY).listen_address == "127.0.0.1:50051"
    assert RatingSlipSettings.from_environment(RATINGSLIP).listen_address == "127.0.0.1:50052"


def test_an_empty_variable_is_an_unset_one() -> None:
    empty = {"LOYALTY_LISTEN_ADDRESS": "", "LOYALTY_TLS_CERTIFICATE_FILE": ""}
    assert LoyaltySettings.from_environment(LOYALTY | empty) == LoyaltySettings.from_environment(
        LOYALTY
    )
    with pytest.raises(ConfigurationError, match="LOYALTY_JWKS: is required"):
        LoyaltySettings.from_environment(LOYALTY | {"LOYALTY_JWKS": ""})


def test_the_other_service_s_variables_are_none_of_its_business() -> None:
    both = LOYALTY | RATINGSLIP | {"RATINGSLIP_TYPO": "1", "PATH": "/bin"}
    assert LoyaltySettings.from_environment(both) == LoyaltySettings.from_environment(LOYALTY)


def test_every_flaw_is_named_at_once() -> None:
    flawed = {**RATINGSLIP, "RATINGSLIP_PAGE_TOKEN_KEY": "short", "RATINGSLIP_LISTEN_ADRESS": "x"}
    del flawed["RATINGSLIP_JWKS"]
    with pytest.raises(ConfigurationError) as failure:
        RatingSlipSettings.from_environment(flawed)
    named = {line.partition(":")[0] for line in str(failure.value).splitlines()}
    assert named == {"RATINGSLIP_PAGE_TOKEN_KEY", "RATINGSLIP_LISTEN_ADRESS", "RATINGSLIP_JWKS"}
