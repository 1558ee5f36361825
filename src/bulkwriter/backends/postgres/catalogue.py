"""What is asked of PostgreSQL's catalogue.

Every name is qualified: a search path of the caller's own could lead elsewhere. https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

from typing import Final

FINGERPRINT: Final = (
    "(SELECT pg_catalog.md5(pg_catalog.string_agg(a.attname || ' ' || a.atttypid || ' ' || a.atttypmod, ',' "
    "ORDER BY a.attnum)) FROM pg_catalog.pg_attribute a WHERE a.attrelid = {oid} AND a.attnum > 0 "
    "AND NOT a.attisdropped)"
)
"""A digest of a table's columns, by which a change of their types is noticed."""

FINGERPRINT_OF_THE_NAMED: Final = "CASE WHEN pg_catalog.to_regclass({name}) = {oid}::oid THEN " + FINGERPRINT + " END"
"""The same, if the table is still the one of that name: COPY goes by it, and another may have been renamed to it."""

# Of what pg_relation_is_updatable tells, 8 is for INSERT.
TABLE: Final = f"""
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
  pg_catalog.has_table_privilege(c.oid, 'INSERT') OR pg_catalog.has_any_column_privilege(c.oid, 'INSERT') AS may_insert,
  pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_enter,
  pg_catalog.pg_relation_is_updatable(c.oid, true) & 8 <> 0 AS takes_inserts,
  c.relkind IN ('r', 'p') AND pg_catalog.row_security_active(c.oid) AS has_row_security,
  EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3', '4')) AS has_rules,
  {FINGERPRINT.format(oid="c.oid")} AS fingerprint,
  pg_catalog.current_setting('server_version_num')::int AS version
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $2 AND CASE WHEN $1::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = $1 END
"""  # noqa: S608 - a part of this very file

COLUMNS: Final = """
SELECT a.attname AS name, pg_catalog.format_type(b.oid, -1) AS type_name,
  pg_catalog.format_type(a.atttypid, a.atttypmod) AS full_type,
  p.proname AS receive, ep.proname AS element_receive, b.typelem::int8 AS element_oid,
  coalesce(nullif(b.typrelid, 0), e.typrelid)::int8 AS relation,
  coalesce(l.collisdeterministic, true) AS is_deterministic,
  a.attgenerated <> '' AS is_generated, a.attidentity = 'a' AS is_always_identity, a.attnotnull AS is_not_null,
  a.atthasdef OR a.attidentity <> '' AS has_default,
  pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'INSERT') AS may_insert,
  pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_update,
  pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS may_select
FROM pg_catalog.pg_attribute a
CROSS JOIN LATERAL (
  WITH RECURSIVE r AS (
    SELECT t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid
    UNION ALL SELECT t.oid, t.typtype, t.typbasetype FROM r JOIN pg_catalog.pg_type t ON t.oid = r.typbasetype)
  SELECT t.* FROM r JOIN pg_catalog.pg_type t ON t.oid = r.oid WHERE r.typtype <> 'd') b
LEFT JOIN pg_catalog.pg_proc p ON p.oid = b.typreceive
LEFT JOIN LATERAL (
  WITH RECURSIVE r AS (
    SELECT t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t
    WHERE t.oid = coalesce(nullif(b.typelem, 0),
      (SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE g.rngtypid = b.oid))
    UNION ALL SELECT t.oid, t.typtype, t.typbasetype FROM r JOIN pg_catalog.pg_type t ON t.oid = r.typbasetype)
  SELECT t.typreceive, t.typrelid FROM r JOIN pg_catalog.pg_type t ON t.oid = r.oid WHERE r.typtype <> 'd') e ON true
LEFT JOIN pg_catalog.pg_proc ep ON ep.oid = e.typreceive
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
WHERE a.attrelid = $1::int8::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

KEYS: Final = """
SELECT i.indisprimary AS is_primary, i.indimmediate AS is_immediate,
  (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place)
    FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.place <= i.indnkeyatts) AS columns
FROM pg_catalog.pg_index i
WHERE i.indrelid = $1::int8::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indisprimary DESC, i.indexrelid
"""

# In pg_trigger.tgtype: 1 for each row, 2 before, 4 insert, 8 delete, 16 update. A partition may have its own.
TRIGGERS: Final = """
SELECT coalesce(pg_catalog.bool_or(t.tgtype & 7 = 7), false) AS inserts,
  coalesce(pg_catalog.bool_or(t.tgtype & 19 = 19), false) AS updates,
  coalesce(pg_catalog.bool_or(t.tgtype & 11 = 11), false) AS deletes
FROM pg_catalog.pg_trigger t
WHERE t.tgenabled <> 'D' AND NOT t.tgisinternal
  AND t.tgrelid IN (SELECT $1::int8::oid UNION ALL
    SELECT p.relid::oid FROM pg_catalog.pg_partition_tree($1::int8::oid::regclass) AS p)
"""
