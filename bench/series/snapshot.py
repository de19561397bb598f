"""A transaction with an old snapshot stays open while a million jobs go through:
what was deleted cannot be cleaned up.  Five rounds one after the other."""
import pq
import workload

TITLE = "One snapshot held open: jobs a second, round by round"

STEPS = 5


def run(bench, series):
    for name in ("defer", "graphile-worker"):
        series.compare(f"{name}, last round", f"{name}, first round", ("≥", 0.9) if name == "defer" else None)
    bench.server.restart()
    database = bench.database("snapshot")
    curves = {}
    for number in range(bench.rounds):
        curves[f"defer, {number + 1}"] = held(
            bench, series, "defer", number, database, bench.count(200000),
            lambda count: workload.defer_jobs(bench, database, count, clean=False))
        if bench.peers:
            with bench.peer("graphile.js", database, synchronous_commit="off") as peer:
                peer.ask("migrate")
                curves[f"graphile-worker, {number + 1}"] = held(
                    bench, series, "graphile-worker", number, database, bench.count(25000),
                    lambda count: workload.graphile_jobs(bench, peer, database, count, "fast", clean=False))
    series.lines = ("jobs done since the snapshot was taken", "jobs/s", curves)
    bench.server.drop(database)


def held(bench, series, name, number, database, count, one_round):
    """[(jobs so far, jobs/s)] with a snapshot open"""
    points = []
    workload.fresh(bench, database)
    one_round(count // 4)               # the workers are there, the caches warm
    workload.fresh(bench, database, "defer.job")
    with pq.Connection(database) as holder:
        holder.run("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pg_class")
        for step in range(STEPS):
            with pq.Connection(database) as app:
                app.run("TRUNCATE recommendation")      # of the work's table, not of a queue's
            value = one_round(count)
            points.append(((step + 1) * count, value))
            if step == 0:
                series.add(f"{name}, first round", value, "jobs/s", number)
        series.add(f"{name}, last round", value, "jobs/s", number)
        holder.run("COMMIT")
    return points
