"""Hours under pressure: 2,000 jobs a second are offered all the time, first beside a transaction
that holds the oldest snapshot, then beside four readers in REPEATABLE READ over defer's own
tables, then half as many again, then 2,000 with nothing beside them.  Of each phase the last
part is compared with the first."""
import contextlib
import statistics
import time

import pq
import workload
from . import history

TITLE = "Under pressure"

JOBS_A_SECOND = 2000
PART = 300                         # seconds at either end of a phase that are compared
SNAPSHOT, READERS, MORE, AFTER = ("beside an old snapshot", "beside four readers",
                                  "half as many again", "nothing beside them")
PHASES = ((SNAPSHOT, 1800, 1), (READERS, 900, 1), (MORE, 900, 1.5), (AFTER, 900, 1))
READ = ("SELECT count(*) FROM defer.jobs WHERE state IN ('queued', 'running')",
        "SELECT count(*) FROM defer.queues", "SELECT count(*) FROM defer.functions", "SELECT pg_sleep(5)")

SETUP = """
CREATE TABLE pressed (sent timestamptz NOT NULL, made_at timestamptz NOT NULL);
CREATE FUNCTION press(sent timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO pressed VALUES (sent, clock_timestamp());
END $$"""

OFFER = "SELECT count(defer.enqueue('press', jsonb_build_array(clock_timestamp()))) FROM generate_series(1, {n})"

# Pages of the jobs' table and its indexes that were looked at
BUFFERS = ("SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read"
           " FROM pg_statio_all_tables WHERE relid = 'defer.job'::regclass")
FLUSH = 2                          # seconds until processes have told what they have looked at

# What is there for the unfinished only: it must not grow with what is done
SIZES = ("SELECT sum(pg_relation_size(c.oid)), sum(pg_indexes_size(c.oid)), sum(pg_stat_get_dead_tuples(c.oid))"
         " FROM pg_class c WHERE c.oid IN ('defer.job'::regclass, 'defer.claim'::regclass)")


def read(over, database):
    """One transaction after another, of some seconds each, with one snapshot"""
    with pq.Connection(database) as app:
        while not over.is_set():
            app.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", *READ, "COMMIT")


def hold(over, database):
    """One transaction for all the time"""
    with pq.Connection(database) as app:
        app.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", "SELECT count(*) FROM pressed")
        over.wait()
        app.run("COMMIT")


def watch(over, bench, database, begun, points):
    """Sizes and dead rows, every few seconds"""
    with bench.server.admin(database) as admin:
        while not over.wait(min(5, 50 * bench.scale)):
            heap, indexes, dead = admin.rows(SIZES)[0]
            points.append((time.monotonic() - begun, int(heap) / 1048576, int(indexes) / 1048576, int(dead) / 1000))


def part(app, start, seconds):
    """Jobs a second and the 99th percentile of the pick-up (ms) of those that began in a part of the time"""
    jobs, late = app.rows(
        "SELECT count(*), extract(epoch FROM percentile_cont(0.99) WITHIN GROUP (ORDER BY made_at - sent)) * 1000"
        f" FROM pressed WHERE made_at >= to_timestamp({start}) AND made_at < to_timestamp({start + seconds})")[0]
    if int(jobs) == 0:
        raise RuntimeError("no job has run in a part of the time")
    return int(jobs) / seconds, float(late)


def phase(bench, series, database, name, seconds, load, points, begun):
    """Offer jobs for so long, and compare the ends of that time"""
    width = min(PART * bench.scale, seconds / 3)
    with contextlib.ExitStack() as beside:
        beside.enter_context(workload.Thread(watch, bench, database, begun, points))
        for work in {SNAPSHOT: [hold], READERS: [read] * 4}.get(name, []):
            beside.enter_context(workload.Thread(work, database))
        beside.enter_context(workload.Feeder(database, load * JOBS_A_SECOND, enqueue=OFFER))
        start, at = time.time(), time.monotonic()
        time.sleep(seconds)
    sizes = [sum(point[1:3]) for point in points if point[0] >= at - begun]
    with pq.Connection(database) as app:
        first, last = part(app, start, width), part(app, start + seconds - width, width)
    for i, (what, unit) in enumerate(((": jobs", "jobs/s"), (": pick-up, p99", "ms"))):
        series.add(name + what + ", at first", first[i], unit)
        series.add(name + what + ", at last", last[i], unit)
    if len(sizes) > 3:
        third = max(len(sizes) // 3, 1)
        series.add(name + ": size of tables and indexes, at first", statistics.median(sizes[:third]), "MiB")
        series.add(name + ": size of tables and indexes, at last", statistics.median(sizes[-third:]), "MiB")


def look(bench, series, database, when):
    """What a user waits for: views in a new session, and a job by itself"""
    history.views(bench, series, database, when, 0)
    with pq.Connection(database) as app:
        took, jobs = [], 50
        time.sleep(FLUSH)
        buffers = app.integer(BUFFERS)
        for _ in range(jobs):
            app.run("TRUNCATE pressed", "SELECT defer.enqueue('press', jsonb_build_array(clock_timestamp()))")
            workload.wait_until(lambda: app.integer("SELECT count(*) FROM pressed") == 1, "the job had run", pause=0.002)
            took.append(float(app.value("SELECT extract(epoch FROM made_at - sent) * 1000 FROM pressed")))
        time.sleep(FLUSH)
        series.add(f"one job by itself, {when}: p50", statistics.median(took), "ms")
        series.add(f"one job by itself, {when}: pages looked at", (app.integer(BUFFERS) - buffers) / jobs, "pages")


def restart(bench, series, database):
    """From the start of the server to the first line of a job that waits for it"""
    with bench.server.admin(database) as admin:
        admin.run("TRUNCATE pressed", "ALTER SYSTEM SET defer.enabled = off", "SELECT pg_reload_conf()")
        time.sleep(0.5)
        admin.run("SELECT defer.enqueue('press', jsonb_build_array(clock_timestamp()))",
                  "ALTER SYSTEM RESET defer.enabled")
    bench.server.bounce("fast")
    with pq.Connection(database) as app:
        workload.wait_until(lambda: app.integer("SELECT count(*) FROM pressed") == 1, "the job had run", pause=0.01)
        series.add("restart: from the postmaster's start to the first job",
                   float(app.value("SELECT extract(epoch FROM made_at - pg_postmaster_start_time()) * 1000 FROM pressed")), "ms")


def marks(series):
    for name, _, _ in PHASES:
        series.compare(name + ": jobs, at last", name + ": jobs, at first", ("≥", 0.95))
        series.compare(name + ": pick-up, p99, at last", name + ": pick-up, p99, at first", ("≤", 2))
        size = name + ": size of tables and indexes, at "
        series.compare(size + "last", size + "first", ("≤", 1.1))
    for view in history.VIEWS:
        series.compare(f"defer.{view}, afterwards", f"defer.{view}, before")
    for what in ("p50", "pages looked at"):
        series.compare(f"one job by itself, afterwards: {what}", f"one job by itself, before: {what}")


def run(bench, series):
    marks(series)
    bench.server.restart()
    database = bench.database("pressure")
    points, begun = [], time.monotonic()
    with pq.Connection(database) as app:
        app.run(SETUP)
    with workload.Feeder(database, JOBS_A_SECOND, enqueue=OFFER):    # not counted: workers are started
        time.sleep(max(20 * bench.scale, 2))
    look(bench, series, database, "before")
    for name, seconds, load in PHASES:
        phase(bench, series, database, name, max(seconds * bench.scale, 6), load, points, begun)
    with pq.Connection(database) as app:
        workload.wait_until(lambda: app.value("SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE state IN ('queued', 'running'))")
                            == "t", "all jobs were done")
    restart(bench, series, database)
    look(bench, series, database, "afterwards")
    series.lines = ("seconds", "MiB, and thousands of dead rows", {
        name: [(point[0], point[i]) for point in points]
        for i, name in ((1, "tables"), (2, "indexes"), (3, "dead rows, thousands"))})
    bench.server.drop(database)
