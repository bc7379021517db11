"""A database's schema as SQL, the same text on every PostgreSQL that the services support.

pg_dump's text changes from version to version, so this reads the catalog itself. The
text can be executed, and builds the schema again in an empty database.

    python -m tests.database.schema_dump

writes it to `schema_<service>.sql` beside this file, for every service. It must not
know what is in a schema, and refuses kinds of objects that it cannot write down.
"""

from __future__ import annotations

import asyncio
import pathlib
import sys

from tests.databases import (
    SERVICES,
    Connection,
    Databases,
    Service,
    connected,
    databases_of,
    running_cluster,
)

COMMAND = "python -m tests.database.schema_dump"

_HEADER = """\
-- The schema {schema} as the migrations build it, everything owned by {owner}.
-- Written by `{command}`; a test compares it with the real thing.

SET check_function_bodies = off;
CREATE SCHEMA {schema};
"""

# Whatever this finds would be missing from the dump.
_UNKNOWN = """
    SELECT 'relation ' || c.oid::regclass FROM pg_class AS c
    WHERE c.relnamespace = $1 AND c.relkind NOT IN ('r', 'i', 'c')
    UNION ALL
    SELECT 'type ' || t.oid::regtype FROM pg_type AS t
    WHERE t.typnamespace = $1 AND t.typtype NOT IN ('c', 'e')
        AND NOT EXISTS (SELECT FROM pg_type AS e WHERE e.typarray = t.oid)
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure FROM pg_proc AS p
    WHERE p.pronamespace = $1 AND p.prokind NOT IN ('f', 'p')
    UNION ALL
    SELECT 'trigger on ' || c.oid::regclass
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace = $1 AND NOT t.tgisinternal
    UNION ALL
    SELECT 'column ' || c.oid::regclass || '.' || a.attname
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace = $1 AND (a.attidentity <> '' OR a.attgenerated <> '')
"""

_TYPES = """
    SELECT format('CREATE TYPE %s AS ENUM (%s);', t.oid::regtype,
        string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder))
    FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid
    WHERE t.typnamespace = $1
    GROUP BY t.oid, t.typname
    UNION ALL
    SELECT format(E'CREATE TYPE %s AS (\n    %s\n);', c.oid::regclass,
        string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)),
            E',\n    ' ORDER BY a.attnum))
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = $1 AND c.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped
    GROUP BY c.oid, c.relname
    ORDER BY 1
"""

# PostgreSQL 18 keeps NOT NULL as constraints as well; the columns say it everywhere.
_TABLES = """
    WITH line AS (
        SELECT a.attrelid, 1 AS part, a.attnum::text::name AS name, a.attnum AS position,
            format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
            || CASE WHEN a.attcollation <> t.typcollation
                THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END
            || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
            || COALESCE(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid, true), '') AS text
        FROM pg_attribute AS a
        JOIN pg_type AS t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT n.conrelid, 2 + position(n.contype IN 'puxc'), n.conname, 0,
            format('CONSTRAINT %I %s', n.conname, pg_get_constraintdef(n.oid, true))
        FROM pg_constraint AS n
        WHERE n.contype IN ('p', 'u', 'x', 'c')
    )
    SELECT format(E'CREATE TABLE %s (\n    %s\n)%s;', c.oid::regclass,
        string_agg(l.text, E',\n    ' ORDER BY l.part, l.position, l.name),
        ' WITH (' || array_to_string(c.reloptions, ', ') || ')')
    FROM pg_class AS c JOIN line AS l ON l.attrelid = c.oid
    WHERE c.relnamespace = $1 AND c.relkind = 'r'
    GROUP BY c.oid, c.relname, c.reloptions
    ORDER BY c.relname
"""

_FOREIGN_KEYS = """
    SELECT format(E'ALTER TABLE %s ADD CONSTRAINT %I\n    %s;',
        n.conrelid::regclass, n.conname, pg_get_constraintdef(n.oid, true))
    FROM pg_constraint AS n
    WHERE n.connamespace = $1 AND n.contype = 'f'
    ORDER BY n.conrelid::regclass::text, n.conname
"""

_INDEXES = """
    SELECT pg_get_indexdef(i.indexrelid) || ';'
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relnamespace = $1
        AND NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.conindid = i.indexrelid
            AND n.contype IN ('p', 'u', 'x'))
    ORDER BY i.indrelid::regclass::text, c.relname
"""

_FUNCTIONS = """
    SELECT pg_get_functiondef(p.oid) || ';'
    FROM pg_proc AS p
    WHERE p.pronamespace = $1
    ORDER BY p.proname, p.oid::regprocedure::text
"""

_ROW_LEVEL_SECURITY = """
    SELECT format('ALTER TABLE %s %s ROW LEVEL SECURITY;', c.oid::regclass, s.setting)
    FROM pg_class AS c, LATERAL (VALUES
        (1, c.relrowsecurity, 'ENABLE'), (2, c.relforcerowsecurity, 'FORCE')
    ) AS s (position, is_on, setting)
    WHERE c.relnamespace = $1 AND c.relkind = 'r' AND s.is_on
    ORDER BY c.relname, s.position
"""

_POLICIES = """
    SELECT format(E'CREATE POLICY %I ON %s\n    AS %s FOR %s TO %s',
            p.polname, p.polrelid::regclass,
            CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
            CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
            (SELECT string_agg(CASE r.oid WHEN 0 THEN 'PUBLIC' ELSE r.oid::regrole::text END, ', '
                ORDER BY r.oid::regrole::text) FROM unnest(p.polroles) AS r (oid)))
        || COALESCE(E'\n    USING (' || pg_get_expr(p.polqual, p.polrelid, true) || ')', '')
        || COALESCE(
            E'\n    WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid, true) || ')', '')
        || ';'
    FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
    WHERE c.relnamespace = $1
    ORDER BY c.relname, p.polname
"""

# What PostgreSQL grants to everyone by default (functions, types) is said as well, or
# that it was taken back.
_GRANTS = """
    WITH object AS (
        SELECT 1 AS part, 'SCHEMA' AS kind, oid::regnamespace::text AS name, '' AS columns,
            COALESCE(nspacl, acldefault('n', nspowner)) AS acl, nspowner AS owner
        FROM pg_namespace WHERE oid = $1
        UNION ALL
        SELECT 2, 'TYPE', oid::regtype::text, '', COALESCE(typacl, acldefault('T', typowner)),
            typowner
        FROM pg_type
        WHERE typnamespace = $1 AND typcategory <> 'A'
            AND typrelid NOT IN (SELECT oid FROM pg_class WHERE relkind = 'r')
        UNION ALL
        SELECT 3, 'TABLE', oid::regclass::text, '', COALESCE(relacl, acldefault('r', relowner)),
            relowner
        FROM pg_class WHERE relnamespace = $1 AND relkind = 'r'
        UNION ALL
        SELECT 4, 'TABLE', c.oid::regclass::text, format(' (%I)', a.attname), a.attacl, c.relowner
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        WHERE c.relnamespace = $1 AND c.relkind = 'r' AND a.attacl IS NOT NULL
        UNION ALL
        SELECT 5, 'FUNCTION', oid::regprocedure::text, '',
            COALESCE(proacl, acldefault('f', proowner)), proowner
        FROM pg_proc WHERE pronamespace = $1
    ), granted AS (
        SELECT o.*, g.grantee, g.privilege_type, g.is_grantable
        FROM object AS o, aclexplode(o.acl) AS g
        WHERE g.grantee <> o.owner
    )
    SELECT text FROM (
        SELECT part, name, columns, 1 AS position, '' AS role,
            format('REVOKE ALL ON %s %s FROM PUBLIC;', kind, name) AS text
        FROM object AS o
        WHERE kind IN ('TYPE', 'FUNCTION') AND NOT EXISTS (
            SELECT FROM granted AS g WHERE (g.kind, g.name) = (o.kind, o.name) AND g.grantee = 0)
        UNION ALL
        SELECT part, name, columns, 2, grantee::regrole::text,
            format('GRANT %s ON %s %s TO %s%s;',
                string_agg(privilege_type || columns, ', ' ORDER BY privilege_type), kind, name,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM granted
        GROUP BY part, kind, name, columns, grantee, is_grantable
    ) AS statement
    ORDER BY part, name, columns, position, role
"""

_OWNERS = """
    SELECT nspowner::regrole::text FROM pg_namespace WHERE oid = $1
    UNION SELECT relowner::regrole::text FROM pg_class WHERE relnamespace = $1
    UNION SELECT typowner::regrole::text FROM pg_type WHERE typnamespace = $1
    UNION SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = $1
"""

# What stands in the dump, and whether a blank line parts its statements.
_SECTIONS = (
    ("Types", _TYPES, True),
    ("Tables", _TABLES, True),
    ("Foreign keys", _FOREIGN_KEYS, False),
    ("Indexes", _INDEXES, False),
    ("Functions", _FUNCTIONS, True),
    ("Row-level security", _ROW_LEVEL_SECURITY, False),
    ("Policies", _POLICIES, True),
    ("Grants, beside what the owner may", _GRANTS, False),
)


class UnknownObjectError(Exception):
    """The schema holds something that a dump would leave out; the message says what."""


async def dump_schema(connection: Connection, schema: str) -> str:
    """The schema as SQL that builds it.

    Raises `UnknownObjectError` for a kind of object it cannot write down.
    """
    async with connection.transaction(readonly=True):
        # Names outside of pg_catalog come out qualified.
        await connection.execute("SET LOCAL search_path = pg_catalog")
        namespace = await connection.fetchval(
            "SELECT oid FROM pg_namespace WHERE nspname = $1", schema
        )
        unknown = await _texts(connection, _UNKNOWN, namespace)
        owners = await _texts(connection, _OWNERS, namespace)
        if unknown or len(owners) != 1:
            raise UnknownObjectError(f"{', '.join(unknown)}; owned by {', '.join(owners)}")
        parts = [_HEADER.format(schema=schema, owner=owners[0], command=COMMAND)]
        for title, query, is_spaced in _SECTIONS:
            statements = await _texts(connection, query, namespace)
            if statements:
                parts.append(f"\n-- {title}\n\n")
                parts.append(("\n\n" if is_spaced else "\n").join(statements) + "\n")
    return "".join(parts)


def dump_file(service: Service) -> pathlib.Path:
    """Where a service's dump is kept."""
    return pathlib.Path(__file__).with_name(f"schema_{service.name}.sql")


async def _texts(connection: Connection, query: str, namespace: int) -> list[str]:
    return [row[0] for row in await connection.fetch(query, namespace)]


async def _rewrite(databases: Databases) -> None:
    for service in SERVICES:
        async with databases.migrated(service) as database:
            async with connected(database.owner_url) as connection:
                text = await dump_schema(connection, service.name)
        dump_file(service).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {dump_file(service).name}\n")


async def _main() -> None:
    # The cluster starts here, in the main thread, and before any test's event loop.
    with running_cluster() as cluster:
        async with databases_of(cluster) as databases:
            await _rewrite(databases)


if __name__ == "__main__":
    asyncio.run(_main())
