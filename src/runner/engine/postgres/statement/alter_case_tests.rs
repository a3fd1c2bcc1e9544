//! `ALTER` as dump tools have written it, and what is made of it.

/// A statement, and the decision in one line: nothing is left out, the server is the newest.
pub(super) const ALTER: &[(&str, &str)] = &[
    ("ALTER AGGREGATE sales.total(integer) OWNER TO postgres", "owner of Aggregate sales.total is postgres"),
    ("ALTER COLLATION sales.german OWNER TO postgres", "owner of Collation sales.german is postgres"),
    ("ALTER CONVERSION sales.conv OWNER TO postgres", "owner of Conversion sales.conv is postgres"),
    ("ALTER DATABASE icu OWNER TO postgres", "icu is postgres's"),
    ("ALTER DATABASE postgres OWNER TO postgres", "postgres is postgres's"),
    ("ALTER DATABASE shop CONNECTION LIMIT = 50", "shop takes 50"),
    ("ALTER DATABASE shop SET work_mem TO '64MB'", "skip ALTER DATABASE shop"),
    ("ALTER DATABASE template1 IS_TEMPLATE = true", "skip ALTER DATABASE template1"),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE pg_read_all_settings REVOKE ALL ON TYPES FROM pg_read_all_settings",
        "default rights for [pg_read_all_settings,pg_read_all_settings]",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner GRANT SELECT ON LARGE OBJECTS TO reporting",
        "default rights for [shop_owner,reporting]",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA sales GRANT SELECT ON TABLES TO reporting",
        "default rights for [shop_owner,reporting]",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC",
        "default rights for [shop_owner]",
    ),
    (
        "ALTER DOMAIN sales.price ADD CONSTRAINT small CHECK ((VALUE < (1000000)::numeric)) NOT VALID",
        "alter Domain sales.price",
    ),
    ("ALTER DOMAIN sales.price DROP CONSTRAINT small", "skip ALTER DOMAIN … DROP CONSTRAINT"),
    ("ALTER DOMAIN sales.price OWNER TO postgres", "owner of Domain sales.price is postgres"),
    ("ALTER EVENT TRIGGER watch DISABLE", "alter EventTrigger watch"),
    ("ALTER EVENT TRIGGER watch OWNER TO postgres", "owner of EventTrigger watch is postgres"),
    (
        "ALTER FOREIGN DATA WRAPPER nothing OWNER TO postgres",
        "owner of ForeignDataWrapper nothing is postgres",
    ),
    (
        "ALTER FOREIGN TABLE ONLY sales.far_orders ALTER COLUMN id OPTIONS ( column_name 'no' )",
        "Column of sales.far_orders",
    ),
    (
        "ALTER FOREIGN TABLE sales.far_orders ALTER COLUMN id OPTIONS ( column_name 'no' )",
        "Column of sales.far_orders",
    ),
    (
        "ALTER FOREIGN TABLE sales.far_orders OWNER TO postgres",
        "owner of ForeignTable sales.far_orders is postgres",
    ),
    (
        "ALTER FUNCTION sales.add(a integer, b integer) OWNER TO shop_owner",
        "owner of Function sales.add is shop_owner",
    ),
    (
        "ALTER FUNCTION sales.lang(language text, OUT x text) OWNER TO postgres",
        "owner of Function sales.lang is postgres",
    ),
    (
        "ALTER FUNCTION sales.to_text(sales.pair) OWNER TO postgres",
        "owner of Function sales.to_text is postgres",
    ),
    ("ALTER FUNCTION sales.two() DEPENDS ON EXTENSION hstore", "alter Function sales.two"),
    ("ALTER INDEX sales.customers_trgm DEPENDS ON EXTENSION pg_trgm", "alter Index sales.customers_trgm"),
    (
        "ALTER INDEX sales.orders_customer ATTACH PARTITION sales.orders_2025_customer_idx",
        "attach index sales.orders_2025_customer_idx to sales.orders_customer",
    ),
    ("ALTER INDEX sales.stat_index ALTER COLUMN 1 SET STATISTICS 400", "alter Index sales.stat_index"),
    ("ALTER LARGE OBJECT 4711 OWNER TO postgres", "owner of LargeObject is postgres"),
    ("ALTER MATERIALIZED VIEW sales.mv DEPENDS ON EXTENSION hstore", "alter MaterializedView sales.mv"),
    ("ALTER MATERIALIZED VIEW sales.mv OWNER TO postgres", "owner of MaterializedView sales.mv is postgres"),
    (
        "ALTER OPERATOR CLASS sales.cls USING btree OWNER TO postgres",
        "owner of OperatorClass sales.cls is postgres",
    ),
    (
        "ALTER OPERATOR FAMILY sales.fam USING btree ADD FUNCTION 1 (integer, bigint) btint48cmp(integer,bigint)",
        "alter OperatorFamily sales.fam",
    ),
    (
        "ALTER OPERATOR FAMILY sales.fam USING btree OWNER TO postgres",
        "owner of OperatorFamily sales.fam is postgres",
    ),
    ("ALTER OPERATOR sales.=== (sales.pair, sales.pair) OWNER TO postgres", "owner of Operator is postgres"),
    (
        "ALTER PROCEDURE sales.clean(IN keep integer) OWNER TO postgres",
        "owner of Procedure sales.clean is postgres",
    ),
    ("ALTER PUBLICATION p_all OWNER TO postgres", "owner of Publication p_all is postgres"),
    ("ALTER PUBLICATION p_schema ADD TABLES IN SCHEMA sales", "alter Publication p_schema"),
    ("ALTER PUBLICATION p_some ADD TABLE ONLY sales.animals", "alter Publication p_some"),
    (
        "ALTER PUBLICATION p_some ADD TABLE ONLY sales.customers (id, name) WHERE ((id > 5))",
        "alter Publication p_some",
    ),
    (
        r#"ALTER ROLE "Odd ""Role" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS"#,
        r#"skip ALTER ROLE "Odd ""Role""#,
    ),
    (
        "ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS",
        "skip ALTER ROLE postgres",
    ),
    ("ALTER ROLE reporting IN DATABASE shop SET statement_timeout TO '5min'", "skip ALTER ROLE reporting"),
    (r#"ALTER SCHEMA "Odd ""schema" OWNER TO postgres"#, r#"owner of Schema "Odd ""schema" is postgres"#),
    ("ALTER SCHEMA sales OWNER TO shop_owner", "owner of Schema sales is shop_owner"),
    (
        "ALTER SEQUENCE sales.customers_id_seq OWNED BY sales.customers.id",
        "alter Sequence sales.customers_id_seq",
    ),
    (
        "ALTER SEQUENCE sales.customers_id_seq OWNER TO shop_owner",
        "owner of Sequence sales.customers_id_seq is shop_owner",
    ),
    ("ALTER SERVER far OWNER TO postgres", "owner of Server far is postgres"),
    ("ALTER STATISTICS sales.st OWNER TO postgres", "owner of Statistics sales.st is postgres"),
    ("ALTER STATISTICS sales.st SET STATISTICS 50", "alter Statistics sales.st"),
    ("ALTER SUBSCRIPTION s OWNER TO postgres", "owner of Subscription s is postgres"),
    (r#"ALTER TABLE "Odd ""schema"."select" DISABLE TRIGGER ALL"#, r#"AllTriggers of "Odd ""schema".select"#),
    (r#"ALTER TABLE "Odd ""schema"."select" ENABLE TRIGGER ALL"#, r#"AllTriggers of "Odd ""schema".select"#),
    (
        r#"ALTER TABLE "Odd ""schema"."select" OWNER TO postgres"#,
        r#"owner of Table "Odd ""schema".select is postgres"#,
    ),
    ("ALTER TABLE ONLY sales.animals REPLICA IDENTITY FULL", "ReplicaIdentity of sales.animals"),
    (
        "ALTER TABLE ONLY sales.booked ADD CONSTRAINT booked_during_excl EXCLUDE USING gist (during WITH &&) WHERE ((room > 0))",
        "Exclude booked_during_excl of sales.booked",
    ),
    (
        "ALTER TABLE ONLY sales.booked ADD CONSTRAINT booked_room_during_excl EXCLUDE USING gist (room WITH =, during WITH &&) WHERE ((room > 0))",
        "Exclude booked_room_during_excl of sales.booked",
    ),
    (
        "ALTER TABLE ONLY sales.cache ADD CONSTRAINT cache_pkey PRIMARY KEY (k)",
        "Primary cache_pkey of sales.cache",
    ),
    (
        "ALTER TABLE ONLY sales.customers ADD CONSTRAINT customers_email_key UNIQUE (email)",
        "Unique customers_email_key of sales.customers",
    ),
    (
        "ALTER TABLE ONLY sales.customers ADD CONSTRAINT customers_pkey PRIMARY KEY (id)",
        "Primary customers_pkey of sales.customers",
    ),
    ("ALTER TABLE ONLY sales.customers ALTER COLUMN id SET (n_distinct=-1)", "Column of sales.customers"),
    (
        "ALTER TABLE ONLY sales.customers ALTER COLUMN id SET (pg_attver=50826696)",
        "skip column version of sales.customers",
    ),
    (
        "ALTER TABLE ONLY sales.customers ALTER COLUMN id SET DEFAULT nextval('sales.customers_id_seq'::regclass)",
        "Column of sales.customers",
    ),
    ("ALTER TABLE ONLY sales.customers ALTER COLUMN name SET STATISTICS 500", "Column of sales.customers"),
    ("ALTER TABLE ONLY sales.customers ALTER COLUMN note SET COMPRESSION pglz", "Column of sales.customers"),
    ("ALTER TABLE ONLY sales.customers ALTER COLUMN note SET STORAGE EXTERNAL", "Column of sales.customers"),
    ("ALTER TABLE ONLY sales.customers FORCE ROW LEVEL SECURITY", "RowSecurity of sales.customers"),
    ("ALTER TABLE ONLY sales.dogs ALTER COLUMN id SET NOT NULL", "Column of sales.dogs"),
    ("ALTER TABLE ONLY sales.dogs REPLICA IDENTITY USING INDEX dogs_id", "ReplicaIdentity of sales.dogs"),
    (
        "ALTER TABLE ONLY sales.orders ATTACH PARTITION sales.orders_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "attach sales.orders_2025 to sales.orders",
    ),
    (
        "ALTER TABLE ONLY sales.orders ATTACH PARTITION sales.orders_rest DEFAULT",
        "attach sales.orders_rest to sales.orders",
    ),
    (
        "ALTER TABLE ONLY sales.orders_rest ATTACH PARTITION sales.orders_rest_0 FOR VALUES WITH (modulus 1, remainder 0)",
        "attach sales.orders_rest_0 to sales.orders_rest",
    ),
    (
        "ALTER TABLE ONLY sales.orders_rest_0 DROP CONSTRAINT orders_rest_0_pkey",
        "skip ALTER TABLE … DROP CONSTRAINT",
    ),
    (
        "ALTER TABLE ONLY sales.per_fk ADD CONSTRAINT per_fk_id_d_fkey FOREIGN KEY (id, PERIOD d) REFERENCES sales.periods(id, PERIOD d)",
        "foreign key per_fk_id_d_fkey of sales.per_fk to sales.periods",
    ),
    (
        "ALTER TABLE ONLY sales.periods ADD CONSTRAINT periods_pkey PRIMARY KEY (id, d WITHOUT OVERLAPS)",
        "Primary periods_pkey of sales.periods",
    ),
    (
        "ALTER TABLE sales.animals ADD CONSTRAINT later CHECK ((id > 0)) NOT VALID",
        "Constraint of sales.animals",
    ),
    ("ALTER TABLE sales.animals DISABLE RULE off", "Rule of sales.animals"),
    ("ALTER TABLE sales.animals DISABLE TRIGGER ALL", "AllTriggers of sales.animals"),
    ("ALTER TABLE sales.animals ENABLE TRIGGER ALL", "AllTriggers of sales.animals"),
    ("ALTER TABLE sales.animals OWNER TO postgres", "owner of Table sales.animals is postgres"),
    ("ALTER TABLE sales.customers CLUSTER ON customers_pkey", "ClusterOn of sales.customers"),
    ("ALTER TABLE sales.customers DISABLE TRIGGER stamp", "Trigger of sales.customers"),
    ("ALTER TABLE sales.customers ENABLE ALWAYS TRIGGER late", "Trigger of sales.customers"),
    ("ALTER TABLE sales.customers ENABLE ROW LEVEL SECURITY", "RowSecurity of sales.customers"),
    (
        "ALTER TABLE sales.orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES sales.customers(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        "foreign key orders_customer_fkey of sales.orders to sales.customers",
    ),
    (
        "ALTER TABLE sales.orders ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY ( SEQUENCE NAME sales.orders_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1 )",
        "Identity of sales.orders",
    ),
    ("ALTER TABLE sales.orders DROP CONSTRAINT orders_customer_fkey", "skip ALTER TABLE … DROP CONSTRAINT"),
    ("ALTER TABLE sales.part_am SET ACCESS METHOD heap_too", "AccessMethod of sales.part_am"),
    ("ALTER TABLE sales.v ALTER COLUMN name DROP DEFAULT", "skip ALTER TABLE … DROP DEFAULT"),
    ("ALTER TABLE sales.v18 ADD CONSTRAINT c_nn NOT NULL c NOT VALID", "Constraint of sales.v18"),
    (
        "ALTER TEXT SEARCH CONFIGURATION sales.conf ADD MAPPING FOR asciiword WITH sales.dict, english_stem",
        "alter TextSearchConfiguration sales.conf",
    ),
    (
        "ALTER TEXT SEARCH CONFIGURATION sales.conf OWNER TO postgres",
        "owner of TextSearchConfiguration sales.conf is postgres",
    ),
    (
        "ALTER TEXT SEARCH DICTIONARY sales.dict OWNER TO postgres",
        "owner of TextSearchDictionary sales.dict is postgres",
    ),
    ("ALTER TRIGGER stamp ON sales.customers DEPENDS ON EXTENSION hstore", "alter Trigger"),
    ("ALTER TYPE sales.mood OWNER TO postgres", "owner of Type sales.mood is postgres"),
    ("ALTER VIEW sales.circle OWNER TO postgres", "owner of View sales.circle is postgres"),
];
