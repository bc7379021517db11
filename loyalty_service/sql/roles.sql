-- The two roles of the loyalty database. A superuser runs this once per server,
-- before the first migration; running it again changes nothing.
--
--   loyalty_owner    owns the schema and runs the migrations
--   loyalty_service  is what the service connects as: it owns nothing and cannot
--                    bypass row-level security
--
-- Passwords, and the database itself (CREATE DATABASE loyalty OWNER
-- loyalty_owner), are the administrator's to set.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'loyalty_owner') THEN
        CREATE ROLE loyalty_owner LOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'loyalty_service') THEN
        CREATE ROLE loyalty_service LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS;
    END IF;
END
$$;
