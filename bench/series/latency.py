"""Pick-up of a priority job while jobs of lesser priority come at 70 % of what the system
can take: enqueued all the time by a session of its own, in batches, as they run."""
import time

import pq
import workload
from . import pickup

TITLE = "Pick-up of a priority job at 70 % load, milliseconds"

CASE = "defer, priority -1"


def capacity(database, seconds):
    """Jobs a second when as many are enqueued as the system can take, both at once"""
    with pq.Connection(database) as app:
        feeder = workload.Feeder(database, 0, seconds)
        start = time.monotonic()
        feeder.start()
        feeder.finish()
        workload.wait_for_rows(app, feeder.enqueued)
        return feeder.enqueued / (time.monotonic() - start)


def run(bench, series):
    series.limit(CASE + ": p99", "≤", 10)
    bench.server.restart()
    database = bench.database("latency")
    seconds = max(8 * min(bench.scale, 1), 2)
    with pq.Connection(database) as app:
        app.run(pickup.PROBE)
        for number in range(bench.rounds):
            workload.fresh(bench, database, "defer.job")
            most = capacity(database, seconds / 2)
            series.add("defer, enqueueing and running at once", most, "jobs/s", number)
            workload.fresh(bench, database, "defer.job")
            feeder = workload.Feeder(database, 0.7 * most, seconds)
            feeder.start()
            time.sleep(0.5)
            times = pickup.one_by_one(app, int((seconds - 1) / 0.02), 0.015, lambda app, n: app.run(
                f"SELECT defer.enqueue('probe', '[{n}]', priority => -1)"))
            behind = app.integer(f"SELECT {feeder.enqueued} - count(*) FROM recommendation")
            feeder.finish()
            workload.wait_for_rows(app, feeder.enqueued)
            pickup.add_parts(series, CASE, times, number)
            series.add("defer, jobs waiting at the end", max(behind, 0), "jobs", number)
    bench.server.drop(database)
