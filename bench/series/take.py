"""Workers outside of the server, in Node.js: jobs of tasks, taken and ended by SQL, beside queues that
work so, too.  All commits are asynchronous but where it says flushed, for everybody.  pgmq and Absurd
are there if their sources are: PGMQ=folder, ABSURD=folder."""
import os
import time

import pq
import workload
from . import pickup

TITLE = "Workers outside of the server, Node.js"

LOOPS, BATCH = 4, 100
QUEUES = {"defer": "defer", "pgmq": "pgmq", "absurd": "Absurd"}
SOURCES = {"pgmq": ("PGMQ", "pgmq-extension/sql/pgmq.sql"), "absurd": ("ABSURD", "sql/absurd.sql")}
GRAPHILE, BOSS = "graphile-worker, fastest", "pg-boss"

EMPTY, WORK, FLUSHED = "nothing to do, ended by the 100", "one insert and one commit a job", "the same, flushed"
HANDLER, GRAPHILE_HANDLER = "defer, COMMIT to handler", "graphile-worker, 10 at once, COMMIT to handler"

ADD = {
    "defer": "SELECT count(defer.enqueue('work', jsonb_build_object('user_id', g))) FROM generate_series(1, {n}) g",
    "pgmq": "SELECT count(*) FROM pgmq.send_batch('work', (SELECT array_agg(jsonb_build_object('user_id', g))"
            " FROM generate_series(1, {n}) g))",
    "absurd": "SELECT count(*) FROM generate_series(1, {n}) g,"
              " absurd.spawn_task('work', 'work', jsonb_build_object('user_id', g))",
}
CREATE = {"defer": "SELECT defer.create_task('work')", "pgmq": "SELECT pgmq.create('work')",
          "absurd": "SELECT absurd.create_queue('work')"}
JOBS = {"defer": 100000, "pgmq": 100000, "absurd": 10000}


def case(what, name):
    return f"{what}: {name}"


def load(database, name):
    """pgmq or Absurd, if its source is there: then true"""
    variable, file = SOURCES[name]
    path = os.path.join(os.environ.get(variable, ""), file)
    if not os.environ.get(variable):
        return False
    with open(path, encoding="utf-8") as sql, pq.Connection(database, user="postgres") as admin:
        admin.run(*([f"CREATE SCHEMA {name}"] if name == "pgmq" else []), sql.read(),
                  f"GRANT ALL ON SCHEMA {name} TO app",
                  f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO app",
                  f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {name} TO app")
    return True


def install(database):
    """The queues that are there, ready for use"""
    there = ["defer"] + [name for name in SOURCES if load(database, name)]
    with pq.Connection(database) as app:
        for name in there:
            app.run(CREATE[name])
    return there


def fill(bench, database, name, count):
    with bench.server.admin(database) as admin:
        admin.run("TRUNCATE recommendation", "VACUUM ANALYZE", "CHECKPOINT")
    with pq.Connection(database) as app:
        app.run(ADD[name].format(n=count))
    with bench.server.admin(database) as admin:
        admin.run("ANALYZE")


def expect(answer, count):
    if int(answer["jobs"]) != count:
        raise RuntimeError(f"{answer['jobs']} of {count} jobs")
    return count / answer["seconds"]


def add_sql(bench, series, database, peer, name, number):
    """defer, pgmq or Absurd; returns nothing"""
    count = bench.count(JOBS[name])
    fill(bench, database, name, count)
    series.add(case(EMPTY, QUEUES[name]), expect(peer["sql"].ask(f"drain {name} {LOOPS} {BATCH}"), count), "jobs/s", number)
    for what, session in ((WORK, "sql"), (FLUSHED, "flushed")):
        count = bench.count(JOBS[name] // 4)
        fill(bench, database, name, count)
        expect(peer[session].ask(f"one {name} {LOOPS} {BATCH}"), count)
        with pq.Connection(database) as app:
            series.add(case(what, QUEUES[name]), workload.rate(app, count), "jobs/s", number)


def add_boss(bench, series, database, peer, number):
    def jobs(count):
        workload.fresh(bench, database)
        peer["boss"].ask("empty")
        peer["boss"].ask(f"insert {count} 10000")
        with bench.server.admin(database) as admin:
            admin.run("VACUUM ANALYZE")
        return count

    count = jobs(bench.count(40000))
    series.add(case(EMPTY, BOSS), expect(peer["boss"].ask(f"drain {LOOPS} {BATCH}"), count), "jobs/s", number)
    for what, session in ((WORK, "boss"), (FLUSHED, "boss flushed")):
        count = jobs(bench.count(10000))
        expect(peer[session].ask(f"one {LOOPS} {BATCH}"), count)
        with pq.Connection(database) as app:
            series.add(case(what, BOSS), workload.rate(app, count), "jobs/s", number)


def add_graphile(bench, series, database, peer, number):
    count = bench.count(40000)
    workload.fresh(bench, database, "graphile_worker._private_jobs")
    with pq.Connection(database) as app:
        workload.graphile_add(app, count)
    series.add(case(EMPTY, GRAPHILE), expect(peer["graphile"].ask(f"empty {count} fast"), count), "jobs/s", number)
    for what, session in ((WORK, "graphile"), (FLUSHED, "graphile flushed")):
        series.add(case(what, GRAPHILE), workload.graphile_jobs(bench, peer[session], database, bench.count(20000), "fast"),
                   "jobs/s", number)


def handler_times(peer, app, count, pause, enqueue):
    """Milliseconds from before COMMIT to the handler's first line"""
    peer.ask("times")
    sent = {}
    for n in range(1, count + 1):
        app.run("BEGIN")
        enqueue(app, n)
        sent[n] = time.time()
        app.run("COMMIT")
        time.sleep(pause)
    called = {}

    def all_called():
        called.update(peer.ask("times")["times"])
        return len(called) >= count

    workload.wait_until(all_called, "all handlers were called", seconds=60)
    return [(at - sent[int(n)]) * 1000 for n, at in called.items()]


def add_handlers(bench, series, database, peer, number):
    count = bench.count(500, 50)
    with pq.Connection(database) as app:
        for session, what, enqueue in (("sql", HANDLER, pickup.by_defer), ("graphile", GRAPHILE_HANDLER, pickup.by_graphile)):
            peer[session].ask("listen")
            if session == "sql":
                workload.wait_until(lambda: app.integer("SELECT count(*) FROM defer.tasks WHERE name = 'probe'") == 1,
                                    "the worker had declared its task")
            handler_times(peer[session], app, 20, 0.01, enqueue)        # caches and plans
            pickup.add(series, what, handler_times(peer[session], app, count, 0.01, enqueue), number)
            peer[session].ask("stop")


def run(bench, series):
    if not bench.peers:
        series.note("It needs Node.js and the peers.")
        return
    for other in (GRAPHILE, BOSS, "pgmq", "Absurd"):
        series.compare(case(EMPTY, "defer"), case(EMPTY, other), ("≥", 3))
        series.compare(case(WORK, "defer"), case(WORK, other), ("≥", 1.5))
        series.compare(case(FLUSHED, "defer"), case(FLUSHED, other))
    series.compare(HANDLER + ": p50", GRAPHILE_HANDLER + ": p50", ("≤", 0.5))
    bench.server.restart()
    database = bench.database("take")
    there = install(database)
    peer = {}
    try:
        for name, script in (("sql", "take.js"), ("graphile", "graphile.js"), ("boss", "pgboss.js")):
            peer[name] = bench.peer(script, database, synchronous_commit="off")
            peer[{"sql": "flushed"}.get(name, f"{name} flushed")] = bench.peer(script, database, synchronous_commit="on")
        peer["graphile"].ask("migrate")
        peer["boss"].ask("open")
        peer["boss flushed"].ask("open")
        for number in range(bench.rounds):
            for name in there:
                add_sql(bench, series, database, peer, name, number)
            add_boss(bench, series, database, peer, number)
            add_graphile(bench, series, database, peer, number)
            add_handlers(bench, series, database, peer, number)
    finally:
        for process in peer.values():
            process.__exit__()
    bench.server.drop(database)
