"""Ten million finished jobs in the history, over a week: throughput, the views, and the
dropping of a day."""
import time

import pq
import workload

TITLE = "Ten million finished jobs in history"

WITHOUT, WITH = "plain: throughput, empty history", "defer, throughput, ten million in history"
JOBS, DAYS = 10000000, 7
DROP, BLOCKED = "retention drops a day: until it has gone", "retention drops a day: longest enqueue meanwhile"
VIEWS = ("functions", "queues", "health")


def fill(bench, database):
    """Copies of one real job, so many for each of the last days; the partitions
    of days gone by are made as table/partitions.c makes them."""
    with pq.Connection(database) as app:
        app.run("SELECT defer.enqueue('compute_product_recommendation', '[1]')")
        workload.wait_until(lambda: app.integer("SELECT count(*) FROM recommendation") > 0, "the job ran")
        time.sleep(0.5)
    each = bench.count(JOBS) // DAYS
    with bench.server.admin(database) as admin:
        admin.run("SET timezone = 'UTC'")
        columns = [row[0] for row in admin.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'defer.job_history'::regclass AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum")]
        today = admin.value("SELECT 'job_history_p' || to_char(now(), 'YYYYMMDD')")
        indexes = [row[0] for row in admin.rows(
            f"SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'defer.{today}'::regclass")]
        for back in range(DAYS - 1, -1, -1):
            day = f"date_trunc('day', now(), 'UTC') - interval '{back} days'"
            name = admin.value(f"SELECT 'job_history_p' || to_char(({day}) AT TIME ZONE 'UTC', 'YYYYMMDD')")
            bounds = admin.rows(f"SELECT {day}, {day} + interval '1 day'")[0]
            old = back > 0
            if old:
                admin.run(f"CREATE TABLE defer.{name} (LIKE defer.job_history INCLUDING DEFAULTS INCLUDING STORAGE)")
            # of today: spread over the time that it has lasted, so that most are of the last 24 hours
            width = f"(LEAST(now(), '{bounds[1]}') - '{bounds[0]}'::timestamptz)"
            at = f"'{bounds[0]}'::timestamptz + {width} * (g::float8 / {each})"
            changed = {"id": "nextval('defer.job_id_seq')", "run_at": at, "enqueued_at": at,
                       "started_at": at, "finished_at": f"{at} + interval '20 us' * (g % 7)"}
            admin.run(f"INSERT INTO defer.{name} ({', '.join(columns)}) SELECT "
                      + ", ".join(changed.get(c, "h." + c) for c in columns)
                      + f" FROM (SELECT * FROM defer.job_history LIMIT 1) h, generate_series(0, {each - 1}) g")
            if old:
                admin.run(*(index.replace(today, name) for index in indexes),
                          f"ALTER TABLE defer.job_history ATTACH PARTITION defer.{name}"
                          f" FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')")
        admin.run("VACUUM ANALYZE defer.job_history", "CHECKPOINT")


def run(bench, series):
    series.compare(WITH, WITHOUT, ("≥", 0.95))
    for view in VIEWS:
        series.limit(f"defer.{view}, ten million in history", "≤", 50)
    series.limit(DROP, "≤", 1000)
    series.limit(BLOCKED, "≤", 1000)
    bench.server.restart(defer__retention="30d")
    databases = {WITHOUT: bench.database("short"), WITH: bench.database("long")}
    fill(bench, databases[WITH])
    count = bench.count(300000)
    for number in range(bench.rounds):
        for case, database in databases.items():
            series.add(case, workload.warm_defer_jobs(bench, database, count), "jobs/s", number)
            if case == WITHOUT:
                with bench.server.admin(database) as admin:
                    admin.run("TRUNCATE defer.job_history")
        # those jobs' rows are dead, and read by the views until somebody vacuums
        views(bench, series, databases[WITH], "right after 300,000 jobs", number)
        with bench.server.admin(databases[WITH]) as admin:
            admin.run("VACUUM defer.job, defer.claim, defer.job_rollup, defer.job_rollup_new")
        views(bench, series, databases[WITH], "ten million in history", number)
    for number in range(min(bench.rounds, DAYS - 2)):
        drop_a_day(bench, series, databases[WITH], number)
    bench.server.drop(*databases.values())


def views(bench, series, database, when, number):
    """Each view in a new session"""
    for view in VIEWS:
        with bench.server.admin(database) as admin:
            start = time.monotonic()
            admin.run(f"SELECT * FROM defer.{view}")
            series.add(f"defer.{view}, {when}", (time.monotonic() - start) * 1000, "ms", number)


class Clients(workload.Thread):
    """Enqueues a job every few milliseconds and notes how long the longest took"""

    def __init__(self, database):
        super().__init__(self._enqueue)
        self.database, self.longest = database, 0.0

    def _enqueue(self, over):
        with pq.Connection(self.database) as app:
            while not over.is_set():
                start = time.monotonic()
                app.run("SELECT defer.enqueue('compute_product_recommendation', '[1]')")
                self.longest = max(self.longest, time.monotonic() - start)
                time.sleep(0.002)


def drop_a_day(bench, series, database, number):
    """From the reload of a shorter defer.retention to the end of the partition"""
    with bench.server.admin(database) as admin:
        count = ("SELECT count(*) FROM pg_inherits WHERE inhparent = 'defer.job_history'::regclass")
        before = admin.integer(count)
        with Clients(database) as clients:
            time.sleep(0.3)
            # days are dropped whole: the eldest has ended a bit more than DAYS - 2 days ago
            admin.run(f"ALTER SYSTEM SET defer.retention = '{(DAYS - 2 - number) * 1440}min'")
            start = time.monotonic()
            admin.run("SELECT pg_reload_conf()")
            workload.wait_until(lambda: admin.integer(count) < before, "a day was dropped", seconds=90, pause=0.005)
            series.add(DROP, (time.monotonic() - start) * 1000, "ms", number)
    series.add(BLOCKED, clients.longest * 1000, "ms", number)
