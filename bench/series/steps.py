"""Jobs after others, batches and steps: what they cost, and the memory of a large batch.  Absurd is
there if its source is: ABSURD=folder."""
import time

import pq
import workload
from server import anonymous_memory
from . import take

TITLE = "Batches, chains and steps"

WITHOUT = "a job that enqueues a million others"
WITH = "the same with defer.when_done"
LATE = "from the end of the last of them to the job that waits for all"
GROWTH = "what a process's memory has grown by from the first to the last tenth of that time, the largest"
PLAIN = "jobs, each a row"
STEPS = "steps, ten in a procedure, each a row"
ABSURD = "steps, ten in a task of Absurd, each a row"
DBOS = "steps, ten in a workflow of DBOS, each a row"
LOOPS = 32                         # tasks and workflows of the others at a time
CHAIN = "a thousand jobs, each after the one before, for one of them"
PICKUP = "one job, from enqueue to the end, by itself"

SETUP = """
CREATE TABLE callback (at timestamptz, jobs bigint);
CREATE FUNCTION fan_out(n bigint, done boolean) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF done THEN PERFORM defer.when_done('fan_in'); END IF;
    RETURN (SELECT count(defer.enqueue('compute_product_recommendation', jsonb_build_array(g))) FROM generate_series(1, n) g);
END $$;
CREATE FUNCTION fan_in() RETURNS void LANGUAGE sql AS
    'INSERT INTO callback SELECT clock_timestamp(), sum(jobs) FROM defer.batch()';
CREATE PROCEDURE ten_steps(first bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 0 .. 9 LOOP
        CALL defer.step('row ' || i, 'compute_product_recommendation', jsonb_build_array(first + i));
    END LOOP;
END $$;
CREATE FUNCTION chain(n bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    FOR i IN 1 .. n LOOP
        last := defer.enqueue('compute_product_recommendation', jsonb_build_array(i),
                              after => CASE WHEN last IS NOT NULL THEN ARRAY[last] END);
    END LOOP;
END $$"""

TEN_STEPS = ("SELECT max(defer.enqueue('ten_steps', jsonb_build_array(g * 10)))"
             " FROM generate_series(1, {n} / 10) g")


class Watch(workload.Thread):
    """Memory of its own of each process of defer, while something goes on."""

    def __init__(self, bench):
        super().__init__(self._look)
        self.bench = bench
        self.points = {}            # title -> [(seconds, bytes)]

    def _look(self, over):
        began = time.monotonic()
        while not over.wait(0.2):
            for pid, title in self.bench.server.processes().items():
                if "defer worker" not in title and "defer scheduler" not in title:
                    continue
                try:
                    point = (time.monotonic() - began, anonymous_memory(pid))
                except OSError:
                    continue                        # it has just left
                kind = "scheduler" if "scheduler" in title else "worker"
                self.points.setdefault(f"{kind} {pid}", []).append(point)

    def growth(self):
        """The largest growth (bytes) of a process that was there throughout"""
        length = max((len(points) for points in self.points.values()), default=0)
        grown = []
        for points in self.points.values():
            if len(points) >= max(length * 0.8, 10):
                tenth = len(points) // 10
                sizes = [size for _, size in points]
                grown.append(max(sizes[-tenth:]) - max(sizes[:tenth]))
        return max(grown, default=None)


def fan_out(bench, database, count, done):
    """Jobs a second, and how late the callback is (seconds), if there is one"""
    workload.fresh(bench, database, "defer.job", "defer.claim", "defer.fan_out_delta")
    with pq.Connection(database) as app:
        app.run("TRUNCATE callback", f"SELECT defer.enqueue('fan_out', jsonb_build_array({count}, {str(done).lower()}))")
        workload.wait_for_rows(app, count)
        rate = workload.rate(app, count)
        if not done:
            return rate, None
        workload.wait_until(lambda: app.integer("SELECT count(*) FROM callback") > 0, "the job after all came")
        rows = app.rows("SELECT count(*), min(jobs), extract(epoch FROM min(at) - (SELECT max(made_at) FROM recommendation)) FROM callback")[0]
        if (int(rows[0]), int(rows[1])) != (1, count):
            raise RuntimeError(f"it has come {rows[0]} times, after {rows[1]} jobs of {count}")
        return rate, float(rows[2])


def chain(bench, database, count):
    """Seconds for one of a chain"""
    workload.fresh(bench, database, "defer.job", "defer.claim")
    with pq.Connection(database) as app:
        app.run(f"SELECT chain({count})")
        workload.wait_until(lambda: app.integer("SELECT count(*) FROM recommendation") >= count, "the chain was done")
        return 1 / workload.rate(app, count)


def pickup(bench, database, count):
    """Seconds for a job that is enqueued when the one before has ended, the median"""
    workload.fresh(bench, database, "defer.job", "defer.claim")
    with pq.Connection(database) as app:
        for user in range(count):
            job = app.integer(f"SELECT defer.enqueue('compute_product_recommendation', jsonb_build_array({user}))")
            app.run(f"SELECT defer.await({job})")
        return float(app.value("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM r.made_at - j.enqueued_at))"
                               " FROM recommendation r JOIN defer.jobs j ON COALESCE(j.args->>'user_id', j.args->>0)::bigint = r.user_id"
                               " AND j.finished_at BETWEEN r.made_at AND r.made_at + interval '1 second'"))


def absurd_steps(database, peer, count):
    """Steps a second of Absurd, whose commits are asynchronous, too"""
    with pq.Connection(database) as app:
        app.run("SELECT count(*) FROM generate_series(0, {0} / 10 - 1) g,"
                " absurd.spawn_task('steps', 'ten_steps', jsonb_build_object('first', g * 10))".format(count))
        peer.ask(f"work {LOOPS}")
        workload.wait_until(lambda: app.integer("SELECT count(*) FROM recommendation") >= count, "the tasks were done")
        peer.ask("stop")
        return workload.rate(app, count)


def dbos_steps(database, peer, count):
    """Steps a second of DBOS"""
    peer.ask(f"work {count} {LOOPS}")
    with pq.Connection(database) as app:
        return workload.rate(app, count)


def add_peers(bench, series):
    """Steps of others, in a database of their own"""
    database = bench.database("steps_peers")
    peers = {DBOS: ("dbos.js", dbos_steps)}
    if take.load(database, "absurd"):
        peers[ABSURD] = ("absurd.js", absurd_steps)
        with pq.Connection(database) as app:
            app.run("SELECT absurd.create_queue('steps')")
    for case, (script, steps) in peers.items():
        with bench.peer(script, database, synchronous_commit="off") as peer:
            if case == DBOS:
                peer.ask("open")
            for number in range(bench.rounds):
                workload.fresh(bench, database)
                series.add(case, steps(database, peer, bench.count(20000, 1000) // 10 * 10), "rows/s", number)
    bench.server.drop(database)


def run(bench, series):
    series.compare(WITH, WITHOUT, ("≥", 0.9))
    series.limit(LATE, "≤", 50)
    series.limit(GROWTH, "≤", 2)
    series.compare(STEPS, PLAIN, ("≥", 0.7))
    series.compare(STEPS, ABSURD, ("≥", 10))
    series.compare(STEPS, DBOS, ("≥", 10))
    series.compare(CHAIN, PICKUP, ("≤", 1.5))
    bench.server.restart()
    database = bench.database("steps")
    with pq.Connection(database) as app:
        app.run(SETUP)
    fan_out(bench, database, bench.count(10000), True)     # not counted: workers are started
    for number in range(bench.rounds):
        rate, _ = fan_out(bench, database, bench.count(1000000), False)
        series.add(WITHOUT, rate, "jobs/s", number)
        with Watch(bench) as watch:
            rate, late = fan_out(bench, database, bench.count(1000000), True)
        series.add(WITH, rate, "jobs/s", number)
        series.add(LATE, late * 1000, "ms", number)
        if (growth := watch.growth()) is not None:
            series.add(GROWTH, growth / 1048576, "MiB", number)
        series.lines = ("seconds", "MiB", {title: [(x, y / 1048576) for x, y in points]
                                           for title, points in watch.points.items() if len(points) > 10})
    for number in range(bench.rounds):
        jobs = bench.count(300000, 1000) // 10 * 10
        series.add(PLAIN, workload.defer_jobs(bench, database, jobs), "rows/s", number)
        series.add(STEPS, workload.defer_jobs(bench, database, jobs, TEN_STEPS), "rows/s", number)
        series.add(PICKUP, pickup(bench, database, 200) * 1000, "ms", number)
        series.add(CHAIN, chain(bench, database, 1000) * 1000, "ms", number)
    bench.server.drop(database)
    if bench.peers:
        add_peers(bench, series)
