//! `CREATE` as dump tools have written it, and what is made of it.

/// A statement, and the decision in one line: nothing is left out, the server is the newest.
pub(super) const CREATE: &[(&str, &str)] = &[
    ("CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler", "create AccessMethod heap_too"),
    (
        "CREATE AGGREGATE sales.total(integer) ( SFUNC = int4pl, STYPE = integer, INITCOND = '0' )",
        "create Aggregate sales.total",
    ),
    ("CREATE CAST (sales.pair AS text) WITH FUNCTION sales.to_text(sales.pair) AS ASSIGNMENT", "create Cast"),
    ("CREATE COLLATION sales.german (provider = libc, locale = 'C.UTF-8')", "create Collation sales.german"),
    (
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON sales.customers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sales.stamp()",
        "trigger of sales.customers",
    ),
    (
        "CREATE CONVERSION sales.conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
        "create Conversion sales.conv",
    ),
    (
        "CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8'",
        "create database shop template=template0 encoding=UTF8 provider=libc locale=C.UTF-8",
    ),
    (
        "CREATE DOMAIN sales.price AS numeric(10,2) DEFAULT 0 CONSTRAINT positive CHECK ((VALUE >= (0)::numeric))",
        "create Domain sales.price",
    ),
    (
        "CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION sales.watch()",
        "create EventTrigger watch",
    ),
    ("CREATE FOREIGN DATA WRAPPER nothing OPTIONS ( a 'b' )", "create ForeignDataWrapper nothing"),
    ("CREATE FOREIGN DATA WRAPPER useless", "create ForeignDataWrapper useless"),
    (
        "CREATE FOREIGN TABLE sales.far_orders ( id integer, program text ) SERVER far OPTIONS ( table_name 'orders' )",
        "foreign table sales.far_orders at far",
    ),
    (
        "CREATE FUNCTION sales.add(a integer, b integer DEFAULT 2) RETURNS integer LANGUAGE sql IMMUTABLE COST 5 PARALLEL SAFE RETURN (a + b)",
        "routine sales.add sql",
    ),
    (
        "CREATE FUNCTION sales.cmp(sales.pair, sales.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS $_$SELECT $1.a = $2.a$_$",
        "routine sales.cmp sql",
    ),
    (
        "CREATE FUNCTION sales.lang(language text, OUT x text) RETURNS text LANGUAGE sql AS $_$SELECT $1$_$",
        "routine sales.lang sql",
    ),
    (
        "CREATE FUNCTION sales.stamp() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path TO 'pg_catalog', 'sales' SET work_mem TO '8MB' AS $$BEGIN NEW.created := now(); /* ; ' */ RETURN NEW; END$$",
        "routine sales.stamp plpgsql",
    ),
    (
        "CREATE FUNCTION sales.to_text(sales.pair) RETURNS text LANGUAGE sql IMMUTABLE AS $_$SELECT $1.b$_$",
        "routine sales.to_text sql",
    ),
    (
        r#"CREATE FUNCTION sales.two() RETURNS SETOF integer LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN (1 = 1) THEN 1 ELSE 2 END AS "case"; SELECT 2; END"#,
        "routine sales.two sql",
    ),
    (
        "CREATE FUNCTION sales.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$",
        "routine sales.watch plpgsql",
    ),
    (
        "CREATE INDEX customers_lower ON sales.customers USING btree (lower(name))",
        "index customers_lower of sales.customers",
    ),
    (
        "CREATE INDEX customers_part ON sales.customers USING btree (created DESC NULLS LAST) INCLUDE (mood) WHERE (mood = 'happy'::sales.mood)",
        "index customers_part of sales.customers",
    ),
    (
        "CREATE INDEX orders_2025_customer_idx ON sales.orders_2025 USING btree (customer)",
        "index orders_2025_customer_idx of sales.orders_2025 plain",
    ),
    (
        "CREATE INDEX orders_customer ON ONLY sales.orders USING btree (customer)",
        "index orders_customer of sales.orders plain",
    ),
    (
        "CREATE INDEX orders_rest_customer_idx ON ONLY sales.orders_rest USING btree (customer)",
        "index orders_rest_customer_idx of sales.orders_rest plain",
    ),
    (
        "CREATE INDEX stat_index ON sales.customers USING btree (((name || note)))",
        "index stat_index of sales.customers",
    ),
    (
        "CREATE MATERIALIZED VIEW sales.mv AS SELECT customers.mood, count(*) AS n FROM sales.customers GROUP BY customers.mood WITH NO DATA",
        "create MaterializedView sales.mv",
    ),
    (
        "CREATE MATERIALIZED VIEW sales.mv_empty AS SELECT 1 AS one WITH NO DATA",
        "create MaterializedView sales.mv_empty",
    ),
    (
        "CREATE OPERATOR CLASS sales.cls FOR TYPE integer USING btree FAMILY sales.fam AS OPERATOR 1 <(integer,integer) , OPERATOR 3 =(integer,integer) , FUNCTION 1 (integer, integer) btint4cmp(integer,integer)",
        "create OperatorClass sales.cls",
    ),
    ("CREATE OPERATOR FAMILY sales.fam USING btree", "create OperatorFamily sales.fam"),
    (
        "CREATE OPERATOR sales.=== ( FUNCTION = sales.cmp, LEFTARG = sales.pair, RIGHTARG = sales.pair )",
        "create Operator",
    ),
    (
        "CREATE OR REPLACE VIEW sales.circle AS SELECT NULL::integer AS id, NULL::text AS name, NULL::text COLLATE sales.german AS note",
        "skip CREATE OR REPLACE VIEW",
    ),
    (
        "CREATE OR REPLACE VIEW sales.circle AS SELECT c.id, c.name, c.note FROM sales.customers c GROUP BY c.id",
        "create View sales.circle",
    ),
    ("CREATE POLICY everyone ON sales.customers USING (true)", "policy of sales.customers for []"),
    (
        r#"CREATE POLICY mine ON sales.customers AS RESTRICTIVE FOR UPDATE TO "Odd ""Role", reporting USING ((name = CURRENT_USER)) WITH CHECK (true)"#,
        r#"policy of sales.customers for ["Odd ""Role",reporting]"#,
    ),
    (
        "CREATE PROCEDURE sales.clean(IN keep integer) LANGUAGE plpgsql AS $$BEGIN DELETE FROM sales.cache; END$$",
        "routine sales.clean plpgsql",
    ),
    (
        "CREATE PUBLICATION p_all FOR ALL TABLES WITH (publish = 'insert, update, delete, truncate')",
        "create Publication p_all",
    ),
    (
        "CREATE PUBLICATION p_schema WITH (publish = 'insert, update, delete, truncate')",
        "create Publication p_schema",
    ),
    (r#"CREATE ROLE "Odd ""Role""#, r#"skip ROLE "Odd ""Role""#),
    (
        "CREATE RULE no_delete AS ON DELETE TO sales.animals WHERE (old.id = 1) DO INSTEAD NOTHING",
        "rule of sales.animals",
    ),
    ("CREATE RULE off AS ON UPDATE TO sales.animals DO NOTIFY x", "rule of sales.animals"),
    (r#"CREATE SCHEMA "Odd ""schema""#, r#"create Schema "Odd ""schema""#),
    (
        "CREATE SEQUENCE sales.customers_id_seq AS integer START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1",
        "create Sequence sales.customers_id_seq",
    ),
    (
        "CREATE SEQUENCE sales.numbers START WITH 100 INCREMENT BY 5 NO MINVALUE MAXVALUE 100000 CACHE 1 CYCLE",
        "create Sequence sales.numbers",
    ),
    (
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS ( dbname 'x', host 'db.example' )",
        "create Server far",
    ),
    ("CREATE SERVER files FOREIGN DATA WRAPPER file_fdw", "create Server files"),
    (
        "CREATE STATISTICS sales.st (ndistinct, dependencies) ON name, mood FROM sales.customers",
        "create Statistics sales.st",
    ),
    (
        "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere.example dbname=x password=not-a-secret' PUBLICATION p_some WITH (connect = false, slot_name = NONE)",
        "subscription s",
    ),
    (
        r#"CREATE TABLE "Odd ""schema"."select" ( "from" integer, "a""b;c" text, "new line" text, "größe" integer, CONSTRAINT "It's" CHECK (("from" > 0)) )"#,
        r#"table "Odd ""schema".select"#,
    ),
    (
        "CREATE TABLE sales.animals ( id integer, name text, CONSTRAINT named CHECK ((name <> ''::text)) NO INHERIT )",
        "table sales.animals",
    ),
    ("CREATE TABLE sales.booked ( room integer, during tsrange )", "table sales.booked"),
    (
        "CREATE TABLE sales.dogs ( NOT NULL id, breed text ) INHERITS (sales.animals)",
        "table sales.dogs from=sales.animals",
    ),
    (
        "CREATE TABLE sales.dogs ( breed text ) INHERITS (sales.animals)",
        "table sales.dogs from=sales.animals",
    ),
    ("CREATE TABLE sales.of_pair OF sales.pair", "table sales.of_pair"),
    (
        "CREATE TABLE sales.orders ( id bigint NOT NULL, customer integer NOT NULL, total sales.price, gross numeric GENERATED ALWAYS AS (((total)::numeric * 1.19)) STORED, at date NOT NULL ) PARTITION BY RANGE (at)",
        "table sales.orders partitioned",
    ),
    (
        "CREATE TABLE sales.orders_2025 ( id bigint NOT NULL, customer integer NOT NULL, total sales.price, gross numeric GENERATED ALWAYS AS (((total)::numeric * 1.19)) STORED, at date NOT NULL )",
        "table sales.orders_2025",
    ),
    ("CREATE TABLE sales.part_am ( a integer ) PARTITION BY RANGE (a)", "table sales.part_am partitioned"),
    ("CREATE TABLE sales.periods ( id int4range NOT NULL, d daterange NOT NULL )", "table sales.periods"),
    (
        "CREATE TABLE sales.v18 ( a integer CONSTRAINT named_nn NOT NULL, b integer GENERATED ALWAYS AS ((a * 2)), c integer )",
        "table sales.v18",
    ),
    ("CREATE TABLESPACE fast OWNER postgres LOCATION '/srv/fast'", "skip TABLESPACE fast"),
    (
        r#"CREATE TEXT SEARCH CONFIGURATION sales.conf ( PARSER = pg_catalog."default" )"#,
        "create TextSearchConfiguration sales.conf",
    ),
    (
        "CREATE TEXT SEARCH DICTIONARY sales.dict ( TEMPLATE = pg_catalog.simple, stopwords = 'english' )",
        "create TextSearchDictionary sales.dict",
    ),
    (
        "CREATE TEXT SEARCH PARSER sales.pars ( START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype )",
        "create TextSearchParser sales.pars",
    ),
    (
        "CREATE TEXT SEARCH TEMPLATE sales.tmpl ( LEXIZE = dsimple_lexize )",
        "create TextSearchTemplate sales.tmpl",
    ),
    (
        "CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION pg_catalog.prsd_lextype(internal))",
        "create Transform",
    ),
    (
        "CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION pg_catalog.prsd_lextype(internal), TO SQL WITH FUNCTION pg_catalog.int4recv(internal))",
        "create Transform",
    ),
    (
        "CREATE TRIGGER stamp BEFORE INSERT OR UPDATE OF name, note ON sales.customers FOR EACH ROW WHEN ((new.name IS NOT NULL)) EXECUTE FUNCTION sales.stamp('a', 'b''c')",
        "trigger of sales.customers",
    ),
    ("CREATE TYPE sales.mood AS ENUM ( 'sad', 'it''s ok', 'happy' )", "create Type sales.mood"),
    ("CREATE TYPE sales.pair AS ( a integer, b text )", "create Type sales.pair"),
    (
        "CREATE TYPE sales.span AS RANGE ( subtype = double precision, multirange_type_name = sales.span_multirange, subtype_diff = float8mi )",
        "create Type sales.span",
    ),
    (
        r#"CREATE UNIQUE INDEX "odd ""index" ON "Odd ""schema"."select" USING btree ("from", "a""b;c" COLLATE "C") WITH (fillfactor='70')"#,
        r#"index "odd ""index" of "Odd ""schema".select plain"#,
    ),
    ("CREATE UNIQUE INDEX dogs_id ON sales.dogs USING btree (id)", "index dogs_id of sales.dogs plain"),
    ("CREATE UNIQUE INDEX mv_mood ON sales.mv USING btree (mood)", "index mv_mood of sales.mv plain"),
    ("CREATE UNLOGGED TABLE sales.cache ( k text NOT NULL, v bytea )", "table sales.cache unlogged"),
    ("CREATE USER MAPPING FOR public SERVER far", "mapping of public at far"),
    (
        r#"CREATE USER MAPPING FOR reporting SERVER far OPTIONS ( password 'not-a-secret', "user" 'u' )"#,
        "mapping of reporting at far",
    ),
    (
        "CREATE VIEW sales.circle AS SELECT NULL::integer AS id, NULL::text AS name, NULL::text COLLATE sales.german AS note",
        "create View sales.circle",
    ),
    (
        "CREATE VIEW sales.counting AS WITH RECURSIVE counting(n) AS ( VALUES (1) UNION ALL SELECT (counting_1.n + 1) FROM counting counting_1 WHERE (counting_1.n < 5) ) SELECT counting.n FROM counting",
        "create View sales.counting",
    ),
    (
        "CREATE VIEW sales.v WITH (security_barrier='true') AS SELECT customers.id, customers.name FROM sales.customers WHERE (customers.mood <> 'sad'::sales.mood) WITH LOCAL CHECK OPTION",
        "create View sales.v",
    ),
];
