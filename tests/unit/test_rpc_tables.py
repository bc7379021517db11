"""What the protos promise of each RPC is what the code does and what the README says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from chassis.context import Role
from docs import rpc_tables
from docs.rpc_tables import Service
from loyalty_service import access as loyalty_access
from ratingslip_service import access as ratingslip_access
from tests.unit.raised_reasons import raised_reasons

PERMISSIONS: Mapping[str, frozenset[Role]] = {
    **ratingslip_access.PERMISSIONS,
    **loyalty_access.PERMISSIONS,
}
SERVICES = rpc_tables.read_services()

PROTO = """\
// Conventions
//
//   Every RPC can answer:
//     UNAUTHENTICATED    TOKEN_MISSING, TOKEN_EXPIRED
//     INVALID_ARGUMENT   INVALID_REQUEST, with one violation
//                        for each bad field; INVALID_ID
// * And more.
package casino.bar.v1;

service BarService {
  // Pours a drink.
  //
  // Roles: waiter, admin.
  // Idempotent by: the glass,
  // key (derived when empty).
  // Errors: NOT_FOUND `GLASS_NOT_FOUND` (or broken; see `glass`);
  // UNAVAILABLE or ABORTED `BAR_CLOSED`, `BAR_BUSY`.
  rpc Pour(PourRequest) returns (PourResponse);

  // Reads the card.
  //
  // Roles: waiter.
  // Idempotent by: reads.
  rpc ReadCard(ReadCardRequest) returns (ReadCardResponse);
}
"""
TABLE = """\
| Bar | roles | idempotent by | errors of its own |
|---|---|---|---|
| `Pour` | waiter, admin | the glass, key (derived when empty) | NOT_FOUND `GLASS_NOT_FOUND`; \
UNAVAILABLE or ABORTED `BAR_CLOSED`, `BAR_BUSY` |
| `ReadCard` | waiter | reads | none |
"""


def by_title(service: Service) -> str:
    return service.title


def test_the_readme_says_what_the_protos_say() -> None:
    readme = rpc_tables.README.read_text(encoding="utf-8")
    assert rpc_tables.rendered(readme, SERVICES) == readme


def test_every_rpc_lets_in_the_roles_that_its_comment_names() -> None:
    documented = {
        f"{service.full_name}/{rpc.name}": set(rpc.roles)
        for service in SERVICES
        for rpc in service.rpcs
    }
    assert documented == {
        name: {role.value for role in roles} for name, roles in PERMISSIONS.items()
    }


@pytest.mark.parametrize("service", SERVICES, ids=by_title)
def test_a_service_can_answer_with_exactly_the_reasons_its_proto_documents(
    service: Service,
) -> None:
    failures = [*service.common_failures, *(each for rpc in service.rpcs for each in rpc.failures)]
    code = [
        path
        for package in ("chassis", f"{service.title.lower()}_service")
        for path in (rpc_tables.ROOT / package).rglob("*.py")
    ]
    assert {reason for failure in failures for reason in failure.reasons} == raised_reasons(code)


def test_a_table_is_made_of_the_comments_and_leaves_the_explanations_out() -> None:
    readme = f"before\n{rpc_tables.BEGIN}\nstale\n{rpc_tables.END}\nbehind\n"

    rendered = rpc_tables.rendered(readme, [rpc_tables.parse_proto(PROTO)])

    expected = f"before\n{rpc_tables.BEGIN}\n\n{TABLE}\n{rpc_tables.END}\nbehind\n"
    assert rendered == expected
    assert rpc_tables.rendered(rendered, [rpc_tables.parse_proto(PROTO)]) == expected


def test_the_conventions_are_what_every_rpc_can_answer() -> None:
    service = rpc_tables.parse_proto(PROTO)

    common = [(kind[0].name, kind[1]) for each in service.common_failures for kind in each.kinds()]

    assert service.full_name == "casino.bar.v1.BarService"
    assert common == [
        ("UNAUTHENTICATED", "TOKEN_MISSING"),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED"),
        ("INVALID_ARGUMENT", "INVALID_REQUEST"),
        ("INVALID_ARGUMENT", "INVALID_ID"),
    ]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("  // Roles: waiter.\n", "", "ReadCard does not say 'Roles'"),
        ("  // Idempotent by: reads.\n", "", "ReadCard does not say 'Idempotent by'"),
        ("ABORTED", "CLOSED", "Pour: CLOSED is no gRPC code"),
        ("`BAR_BUSY`", "BAR_BUSY", "Pour: cannot read"),
        ("UNAVAILABLE or", "sometimes", "Pour: cannot read"),
        ("Every RPC can answer:", "", "no list below"),
        ("package ", "", "without package"),
    ],
)
def test_a_comment_that_cannot_be_read_is_named(good: str, bad: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rpc_tables.parse_proto(PROTO.replace(good, bad, 1))


def test_a_readme_without_the_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks"):
        rpc_tables.rendered(f"{rpc_tables.BEGIN}\n", SERVICES)
