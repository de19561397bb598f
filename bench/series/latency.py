"""Pick-up of a priority job while jobs of lesser priority come at 70 % of what the system
can take: enqueued all the time by a session of its own, in batches, as they run."""
import threading
import time

import pq
import workload
from . import pickup

TITLE = "Pick-up of a priority job at 70 % load, milliseconds"

CASE = "defer, priority -1"
BATCH_TIME = 0.01


class Feeder(threading.Thread):
    """Enqueues so many jobs a second; 0: as many as it can, in batches of 1,000"""

    def __init__(self, database, jobs_a_second, seconds):
        super().__init__()
        self.database, self.rate, self.seconds = database, jobs_a_second, seconds
        self.enqueued = 0
        self.failure = None

    def run(self):
        try:
            self.feed()
        except Exception as error:                  # told by the thread that joins
            self.failure = error

    def feed(self):
        with pq.Connection(self.database, settings={"synchronous_commit": "off"}) as app:
            start = time.monotonic()
            while (elapsed := time.monotonic() - start) < self.seconds:
                due = int(elapsed * self.rate) - self.enqueued if self.rate else 1000
                if due > 0:
                    app.run(workload.ENQUEUE.format(n=due))
                    self.enqueued += due
                if self.rate:
                    time.sleep(BATCH_TIME)

    def finish(self):
        self.join()
        if self.failure:
            raise self.failure


def capacity(database, seconds):
    """Jobs a second when as many are enqueued as the system can take, both at once"""
    with pq.Connection(database) as app:
        feeder = Feeder(database, 0, seconds)
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
            feeder = Feeder(database, 0.7 * most, seconds)
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
