"""The schema is what was reviewed, and keeps the rules that every table must keep."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator

import pytest

from tests.database.schema_dump import COMMAND, dump_file, dump_schema
from tests.databases import Connection, Databases, Service, connected

# Written once and never changed; the service may read them and add to them.
APPEND_ONLY = {
    "loyalty": ("loyalty_ledger", "loyalty_audit"),
    "ratingslip": ("rating_slip_event",),
}

# All but the migrations' own record, which is one for the whole database.
TABLES = """
    SELECT c.oid, c.relname AS name, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class AS c
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind IN ('r', 'p')
        AND c.relname <> 'schema_migration'
"""


@pytest.fixture(scope="module")
async def catalog(databases: Databases, service: Service) -> AsyncIterator[Connection]:
    """A superuser's connection to a database with the schema; for reading only."""
    async with databases.migrated(service) as database:
        async with connected(database.superuser_url) as connection:
            yield connection


async def test_the_committed_dump_is_what_the_migrations_build(
    catalog: Connection, service: Service
) -> None:
    built = await dump_schema(catalog, service.name)
    committed = dump_file(service).read_text(encoding="utf-8")

    difference = "\n".join(
        difflib.unified_diff(
            committed.splitlines(), built.splitlines(), "committed", "built", lineterm="", n=1
        )
    )
    if difference:
        pytest.fail(
            f"{dump_file(service).name} is not what the migrations build. If the change is "
            f"meant, run `{COMMAND}` and commit the file.\n{difference}",
            pytrace=False,
        )


async def test_the_committed_dump_is_whole_since_it_builds_the_schema_again(
    databases: Databases, service: Service
) -> None:
    committed = dump_file(service).read_text(encoding="utf-8")

    async with databases.empty(service) as database:
        async with connected(database.owner_url) as owner:
            await owner.execute(committed)
            assert await dump_schema(owner, service.name) == committed


async def test_every_table_begins_with_its_casino_and_has_a_primary_key(
    catalog: Connection, service: Service
) -> None:
    tables = await catalog.fetch(
        f"""
        SELECT t.name, a.attname, a.atttypid::regtype::text AS type, a.attnotnull,
            EXISTS (SELECT FROM pg_constraint AS n WHERE n.conrelid = t.oid AND n.contype = 'p')
                AS has_primary_key
        FROM ({TABLES}) AS t
        JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = 1
        """,
        service.name,
    )

    assert {row["name"] for row in tables} >= set(APPEND_ONLY[service.name])
    assert {row["name"]: tuple(row)[1:] for row in tables} == {
        row["name"]: ("casino_id", "uuid", True, True) for row in tables
    }


async def test_every_key_unique_index_and_foreign_key_begins_with_the_casino(
    catalog: Connection, service: Service
) -> None:
    keys = await catalog.fetch(
        f"""
        SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid, 1, true) AS first
        FROM ({TABLES}) AS t JOIN pg_index AS i ON i.indrelid = t.oid
        WHERE i.indisunique
        UNION ALL
        SELECT n.conname, a.attname
        FROM ({TABLES}) AS t JOIN pg_constraint AS n ON n.conrelid = t.oid,
            LATERAL (VALUES (n.conrelid, n.conkey[1]), (n.confrelid, n.confkey[1]))
                AS side (relation, number)
        JOIN pg_attribute AS a ON a.attrelid = side.relation AND a.attnum = side.number
        WHERE n.contype = 'f'
        """,
        service.name,
    )

    assert len(keys) > len(APPEND_ONLY[service.name])
    assert [row["name"] for row in keys if row["first"] != "casino_id"] == []


async def test_nothing_depends_on_triggers(catalog: Connection, service: Service) -> None:
    triggers = await catalog.fetch(
        "SELECT t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid"
        " WHERE c.relnamespace = $1::text::regnamespace AND NOT t.tgisinternal"
        " UNION ALL SELECT evtname FROM pg_event_trigger"
        " UNION ALL SELECT rulename FROM pg_rules WHERE schemaname = $1",
        service.name,
    )

    assert triggers == []


async def test_row_level_security_is_on_for_every_table_and_its_owner(
    catalog: Connection, service: Service
) -> None:
    tables = await catalog.fetch(
        f"""
        SELECT t.name, t.relrowsecurity, t.relforcerowsecurity,
            EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = t.oid AND p.polpermissive)
                AS has_policy
        FROM ({TABLES}) AS t
        """,
        service.name,
    )

    assert {row["name"]: tuple(row)[1:] for row in tables} == {
        row["name"]: (True, True, True) for row in tables
    }


async def test_policies_are_without_subqueries(catalog: Connection, service: Service) -> None:
    policies = await catalog.fetch(
        """
        SELECT p.polname, concat(p.polqual, p.polwithcheck) AS tree
        FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
        WHERE c.relnamespace = $1::text::regnamespace
        """,
        service.name,
    )

    # The parsed tree has a node of this name for every kind of subquery.
    assert policies != []
    assert [row["polname"] for row in policies if "{SUBLINK" in row["tree"]] == []


async def test_functions_run_with_the_rights_of_their_caller(
    catalog: Connection, service: Service
) -> None:
    functions = await catalog.fetch(
        "SELECT proname, prosecdef FROM pg_proc WHERE pronamespace = $1::text::regnamespace",
        service.name,
    )

    assert functions != []
    assert [row["proname"] for row in functions if row["prosecdef"]] == []


async def test_the_service_role_owns_nothing_and_cannot_bypass_row_level_security(
    catalog: Connection, service: Service
) -> None:
    role = await catalog.fetchrow(
        """
        SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
            EXISTS (SELECT FROM pg_auth_members AS m WHERE m.member = r.oid) AS is_member,
            EXISTS (SELECT FROM pg_shdepend AS d WHERE d.refclassid = 'pg_authid'::regclass
                AND d.refobjid = r.oid AND d.deptype = 'o') AS is_owner,
            has_schema_privilege(r.oid, $2, 'CREATE') AS may_create
        FROM pg_roles AS r WHERE r.rolname = $1
        """,
        service.service_role,
        service.name,
    )

    assert role is not None
    assert [name for name, holds in role.items() if holds] == []


async def test_the_service_role_deletes_nothing_and_changes_no_entry(
    catalog: Connection, service: Service
) -> None:
    tables = await catalog.fetch(
        f"""
        SELECT t.name, array_remove(ARRAY[
            CASE WHEN has_any_column_privilege($2, t.oid, 'UPDATE') THEN 'UPDATE' END,
            CASE WHEN has_table_privilege($2, t.oid, 'DELETE') THEN 'DELETE' END,
            CASE WHEN has_table_privilege($2, t.oid, 'TRUNCATE') THEN 'TRUNCATE' END,
            CASE WHEN has_table_privilege($2, t.oid, 'TRIGGER') THEN 'TRIGGER' END
        ], NULL) AS privileges
        FROM ({TABLES}) AS t
        """,
        service.name,
        service.service_role,
    )

    held = {row["name"]: set(row["privileges"]) for row in tables}
    assert all(privileges <= {"UPDATE"} for privileges in held.values())
    assert [held[name] for name in APPEND_ONLY[service.name]] == [set()] * len(
        APPEND_ONLY[service.name]
    )


async def test_everybody_else_may_do_nothing(catalog: Connection, service: Service) -> None:
    """What PUBLIC holds, any role of the server holds."""
    granted = await catalog.fetch(
        """
        SELECT o.name, g.privilege_type
        FROM (
            SELECT nspname::text AS name, COALESCE(nspacl, acldefault('n', nspowner)) AS acl
            FROM pg_namespace WHERE nspname = $1
            UNION ALL
            SELECT relname, COALESCE(relacl, acldefault('r', relowner))
            FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'p')
            UNION ALL
            SELECT proname, COALESCE(proacl, acldefault('f', proowner))
            FROM pg_proc WHERE pronamespace = $1::text::regnamespace
        ) AS o, aclexplode(o.acl) AS g
        WHERE g.grantee = 0
        """,
        service.name,
    )

    assert granted == []
