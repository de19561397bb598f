"""From the enqueueing transaction's COMMIT to the first line of the function, with nothing
else to do.  The client takes the time just before it sends COMMIT, the function
that of its start, from the same clock: the commit itself is in it.  How long the
COMMIT takes, as the client sees it, and from its answer to the start, are given, too."""
import time

import pq
import workload

TITLE = "Pick-up on an idle system, milliseconds"

WARM, COLD = "defer, a worker idles", "defer, no worker is there"
GRAPHILE, BOSS = "graphile-worker, 10 at once (LISTEN)", "pg-boss, boss.work()"

PROBE = """
CREATE TABLE pick_up (n bigint PRIMARY KEY, started_at timestamptz NOT NULL);
CREATE FUNCTION probe(n bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO pick_up VALUES (n, clock_timestamp());
END $$"""


def one_by_one(app, count, pause, enqueue):
    """Milliseconds for each of count jobs; enqueue(app, n) does all but the COMMIT"""
    app.run("TRUNCATE pick_up")
    sent, answered = {}, {}
    for n in range(1, count + 1):
        app.run("BEGIN")
        enqueue(app, n)
        sent[n] = time.time()
        app.run("COMMIT")
        answered[n] = time.time()
        time.sleep(pause)
    return Times(sent, answered, started(app, count))


class Times:
    """Of each job: from COMMIT to start, and the two parts of it, milliseconds"""

    def __init__(self, sent, answered, start):
        self.whole = [(at - sent[n]) * 1000 for n, at in start.items()]
        self.commit = [(at - sent[n]) * 1000 for n, at in answered.items()]
        self.after = [(at - answered[n]) * 1000 for n, at in start.items()]


def started(app, count):
    """When each probe began, by its number"""
    workload.wait_until(lambda: app.integer("SELECT count(*) FROM pick_up") >= count,
                        "all probes had run", seconds=60)
    return {int(n): float(at)
            for n, at in app.rows("SELECT n, extract(epoch FROM started_at) FROM pick_up")}


def add(series, case, values, number):
    median, last = workload.percentiles(values)
    series.add(case + ": p50", median, "ms", number)
    series.add(case + ": p99", last, "ms", number)


def add_parts(series, case, times, number):
    add(series, case, times.whole, number)
    add(series, case + ", the COMMIT alone", times.commit, number)
    add(series, case + ", after the COMMIT", times.after, number)


def by_defer(app, n):
    app.run(f"SELECT defer.enqueue('probe', '[{n}]')")


def by_graphile(app, n):
    app.run(f"SELECT graphile_worker.add_job('probe', '{{\"n\": {n}}}')")


def pg_boss(bench, database, app, count):
    with bench.peer("pgboss.js", database) as boss:
        boss.ask("open")
        app.run("TRUNCATE pick_up")
        boss.ask("listen")
        sent = {}
        for n in range(1, count + 1):
            sent[n] = time.time()
            boss.ask(f"send {n}")
            time.sleep(2.7)        # it takes one job each 2 s
        return Times(sent, sent, started(app, count))


def run(bench, series):
    series.limit(WARM + ": p50", "≤", 0.3)
    series.limit(WARM + ": p99", "≤", 2)
    series.compare(WARM + ": p50", GRAPHILE + ": p50")
    series.compare(WARM + ": p99", GRAPHILE + ": p99")
    bench.server.restart()
    database = bench.database("pickup")
    count = bench.count(500, 50)
    with pq.Connection(database) as app:
        app.run(PROBE)
        for number in range(bench.rounds):
            one_by_one(app, 20, 0.01, by_defer)         # caches and plans, as after any start
            add_parts(series, WARM, one_by_one(app, count, 0.005, by_defer), number)
            bench.server.set(defer__worker_idle_timeout="10ms")
            add(series, COLD, one_by_one(app, max(count // 10, 10), 0.06, by_defer).whole, number)
            bench.server.set(defer__worker_idle_timeout=None)
            if bench.peers:
                with bench.peer("graphile.js", database) as peer:
                    peer.ask("migrate")
                    peer.ask("start default probe")
                    one_by_one(app, 20, 0.01, by_graphile)
                    add(series, GRAPHILE, one_by_one(app, count, 0.005, by_graphile).whole, number)
                    peer.ask("stop")
        if bench.peers:
            add(series, BOSS, pg_boss(bench, database, app, min(bench.count(10, 5), 10)).whole, 0)
    bench.server.drop(database)
