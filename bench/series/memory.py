"""Memory of its own (RssAnon) of each worker, over three million jobs."""
import time

import pq
import workload
from server import anonymous_memory

TITLE = "Memory of the workers over a long run"

JOBS, BATCH = 3000000, 250000


def workers(bench):
    found = []
    for pid, title in bench.server.processes().items():
        if "defer worker" in title:
            try:
                found.append(anonymous_memory(pid))
            except OSError:
                pass                                # it has just left
    return found


def run(bench, series):
    series.limit("largest worker, last tenth ÷ first tenth", "≤", 1.1)
    bench.server.restart()
    database = bench.database("memory")
    total = bench.count(JOBS, BATCH)
    points, samples = [], []
    with pq.Connection(database) as app:
        for done in range(0, total, BATCH):
            workload.fresh(bench, database, "defer.job")
            app.run(workload.ENQUEUE.format(n=BATCH))
            while (rows := app.integer("SELECT pg_relation_size('recommendation')") / 8192 * workload.ROWS_A_PAGE) \
                    < BATCH * 0.98:
                if found := workers(bench):
                    samples.append((done + rows, max(found)))
                time.sleep(0.1)
            workload.wait_for_rows(app, BATCH)
    if not samples:
        raise RuntimeError("no worker was seen")
    points = [(x, y / 1048576) for x, y in samples]
    tenth = max(len(points) // 10, 1)
    first = max(y for _, y in points[:tenth])
    last = max(y for _, y in points[-tenth:])
    series.add("largest worker, first tenth", first, "MiB")
    series.add("largest worker, last tenth", last, "MiB")
    series.add("largest worker, last tenth ÷ first tenth", last / first, "")
    series.lines = ("jobs done", "MiB, largest worker", {"defer": points})
    bench.server.drop(database)
