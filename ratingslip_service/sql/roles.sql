-- The two roles of the ratingslip database. A superuser runs this once per server,
-- before the first migration; running it again changes nothing.
--
--   ratingslip_owner    owns the schema and runs the migrations
--   ratingslip_service  is what the service connects as: it owns nothing and cannot
--                       bypass row-level security
--
-- Passwords, and the database itself (CREATE DATABASE ratingslip OWNER
-- ratingslip_owner), are the administrator's to set.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ratingslip_owner') THEN
        CREATE ROLE ratingslip_owner LOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ratingslip_service') THEN
        CREATE ROLE ratingslip_service LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS;
    END IF;
END
$$;
