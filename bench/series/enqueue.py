"""Rows a second: a million in one statement, and one a transaction from clients.

Jobs are not run meanwhile (defer.enabled is off, the peers have no worker).
"""
import time

import pq
import workload

TITLE = "Enqueue"

BULK, BULK_LATER = "defer.enqueue, one statement", "defer.later, one statement"
BULK_PLAIN = "plain INSERT … SELECT, same columns and indexes"
BULK_GRAPHILE, BULK_BOSS = "graphile_worker.add_jobs, one statement", "pg-boss insert, 100,000 a call"
ONE, ONE_PLAIN = "defer.enqueue, one a transaction", "plain INSERT, one a transaction"
ONE_ASYNC, ONE_PLAIN_ASYNC = ONE + ", async commit", ONE_PLAIN + ", async commit"
CLIENTS = 8

LATER = "SELECT count(defer.later('compute_product_recommendation', g::bigint)) FROM generate_series(1, {n}) g"


def plain_table(app, admin):
    """A table with the columns, indexes and storage options of defer.job; the
    INSERT that writes the row that defer.enqueue writes."""
    admin.run("DROP TABLE IF EXISTS plain_job",
              "CREATE TABLE plain_job (LIKE defer.job INCLUDING ALL)",
              "CREATE SEQUENCE IF NOT EXISTS plain_job_id_seq",
              "GRANT ALL ON plain_job, plain_job_id_seq TO app")
    options = admin.value("SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = 'defer.job'::regclass")
    if options:
        admin.run(f"ALTER TABLE plain_job SET ({options})")
    job = app.value("SELECT defer.enqueue('compute_product_recommendation', '{\"user_id\": 1}')")
    columns, values = [], []
    for name, kind, value in admin.rows(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), to_jsonb(j) ->> a.attname"
            f" FROM defer.job j, pg_attribute a WHERE j.id = {job}"
            " AND a.attrelid = 'defer.job'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"):
        if value is None:
            continue
        columns.append(name)
        values.append({"id": "nextval('plain_job_id_seq')", "run_at": "now()", "enqueued_at": "now()",
                       "args": "jsonb_build_object('user_id', {user})"}
                      .get(name, "'" + value.replace("'", "''") + f"'::{kind}"))
    admin.run("ANALYZE plain_job")
    return f"INSERT INTO plain_job ({', '.join(columns)}) SELECT {', '.join(values)}"


def timed(app, sql):
    start = time.monotonic()
    app.run(sql)
    return time.monotonic() - start


def empty(bench, database):
    """Both tables as new"""
    with bench.server.admin(database) as admin:
        admin.run("TRUNCATE defer.job, plain_job", "CHECKPOINT")


def run(bench, series):
    for other, mark in ((BULK_PLAIN, None), (BULK_GRAPHILE, ("≥", 1.5)), (BULK_BOSS, ("≥", 1.5))):
        series.compare(BULK, other, mark)
    series.limit(BULK, "≥", 200000)
    series.compare(ONE, ONE_PLAIN, ("≥", 0.85))
    series.compare(ONE_ASYNC, ONE_PLAIN_ASYNC)
    bench.server.restart()
    database = bench.database("enqueue")
    bench.server.set(defer__enabled="off")
    if bench.peers:
        with bench.peer("graphile.js", database) as peer:
            peer.ask("migrate")
    boss = bench.peer("pgboss.js", database) if bench.peers else None
    try:
        if boss:
            boss.ask("open")
        with pq.Connection(database) as app, bench.server.admin(database) as admin:
            insert = plain_table(app, admin)
            for number in range(bench.rounds):
                bulk(bench, series, database, app, admin, insert, boss, number)
                singles(bench, series, database, insert, number)
    finally:
        if boss:
            boss.__exit__()
    bench.server.drop(database)


def bulk(bench, series, database, app, admin, insert, boss, number):
    count = bench.count(1000000)

    def add(case, seconds):
        series.add(case, count / seconds, "rows/s", number)

    empty(bench, database)
    add(BULK, timed(app, workload.ENQUEUE.format(n=count)))
    empty(bench, database)
    add(BULK_LATER, timed(app, LATER.format(n=count)))
    empty(bench, database)
    add(BULK_PLAIN, timed(app, insert.replace("{user}", "g") + f" FROM generate_series(1, {count}) g"))
    empty(bench, database)
    if boss:
        add(BULK_GRAPHILE, workload.graphile_add(app, count))
        admin.run("TRUNCATE graphile_worker._private_jobs CASCADE", "CHECKPOINT")
        add(BULK_BOSS, boss.ask(f"insert {count} 100000")["seconds"])
        boss.ask("empty")


def singles(bench, series, database, insert, number):
    seconds = max(int(5 * min(bench.scale, 1)), 1)
    ours = ("\\set user random(1, 1000000)\n"
            "SELECT defer.enqueue('compute_product_recommendation', jsonb_build_object('user_id', :user::int));\n")
    plain = "\\set user random(1, 1000000)\n" + insert.replace("{user}", ":user::int") + ";\n"
    for commit, cases in (("on", (ONE, ONE_PLAIN)), ("off", (ONE_ASYNC, ONE_PLAIN_ASYNC))):
        for case, script in zip(cases, (ours, plain)):
            empty(bench, database)
            series.add(case, bench.run_pgbench(database, script, CLIENTS, seconds=seconds,
                                               synchronous_commit=commit), "transactions/s", number)
