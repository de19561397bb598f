"""Jobs a second of the mission's work, one role, the queue full at the start."""
import workload

TITLE = "Throughput: one PL/pgSQL call that inserts one row"

ASYNC, SYNC = "defer (default)", "defer, defer.synchronous_commit on"
FLOOR, FLOOR_SYNC = "floor: bare loop, async commit", "floor: bare loop, sync commit"
GRAPHILE, GRAPHILE_SYNC = "graphile-worker, fastest, async commit", "graphile-worker, fastest, sync commit"
GRAPHILE_DEFAULT = "graphile-worker, defaults, 10 at once"
PGBOSS = "pg-boss, 4 loops of 100, async commit"
PLAIN, PLAIN_SYNC = "plain SKIP LOCKED, async commit", "plain SKIP LOCKED, sync commit"


def run(bench, series):
    bench.server.restart()
    database = bench.database("throughput")
    series.compare(ASYNC, GRAPHILE, ("≥", 12))
    series.compare(ASYNC, FLOOR, ("≥", 0.35))
    series.compare(ASYNC, PGBOSS)
    series.compare(ASYNC, PLAIN)
    series.compare(SYNC, GRAPHILE_SYNC, ("≥", 3))
    series.compare(SYNC, FLOOR_SYNC, ("≥", 0.7))
    series.compare(SYNC, PLAIN_SYNC)
    peers = {}
    try:
        if bench.peers:
            peers = {"async": bench.peer("graphile.js", database, synchronous_commit="off"),
                     "sync": bench.peer("graphile.js", database, synchronous_commit="on"),
                     "boss": bench.peer("pgboss.js", database, synchronous_commit="off")}
            peers["async"].ask("migrate")
            peers["boss"].ask("open")
        for number in range(bench.rounds):
            one_round(bench, series, database, peers, number)
    finally:
        for peer in peers.values():
            peer.__exit__()
    bench.server.drop(database)


def one_round(bench, series, database, peers, number):
    def add(case, value):
        series.add(case, value, "jobs/s", number)

    add(ASYNC, workload.defer_jobs(bench, database, bench.count(500000)))
    add(FLOOR, workload.floor_jobs(bench, database, bench.count(1000000), 16, "off"))
    if peers:
        add(GRAPHILE, workload.graphile_jobs(bench, peers["async"], database, bench.count(40000), "fast"))
        add(PGBOSS, workload.pgboss_jobs(bench, peers["boss"], database, bench.count(20000)))
    add(PLAIN, workload.skip_locked_jobs(bench, database, bench.count(40000), 16, "off"))
    bench.server.set(defer__synchronous_commit="on")
    add(SYNC, workload.defer_jobs(bench, database, bench.count(100000)))
    bench.server.set(defer__synchronous_commit=None)
    add(FLOOR_SYNC, workload.floor_jobs(bench, database, bench.count(150000), 16, "on"))
    if peers:
        add(GRAPHILE_SYNC, workload.graphile_jobs(bench, peers["sync"], database, bench.count(40000), "fast"))
        add(GRAPHILE_DEFAULT, workload.graphile_jobs(bench, peers["sync"], database, bench.count(10000), "default"))
    add(PLAIN_SYNC, workload.skip_locked_jobs(bench, database, bench.count(30000), 16, "on"))
