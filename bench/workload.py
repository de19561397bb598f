"""What several series need: the work, a round of it for each contender."""
import json
import math
import os
import statistics
import subprocess
import threading
import time

import pq

ROWS_A_PAGE = 157                  # of recommendation
HERE = os.path.dirname(os.path.abspath(__file__))
ENQUEUE = ("SELECT max(defer.enqueue('compute_product_recommendation', jsonb_build_object('user_id', g)))"
           " FROM generate_series(1, {n}) g")


class Bench:
    """What was asked for, and what there is."""

    def __init__(self, server, rounds, scale, peers, pgbench, pg_cron):
        self.server = server
        self.rounds = rounds
        self.scale = scale
        self.peers = peers          # folder with node_modules; None: no peers
        self.pgbench = pgbench
        self.pg_cron = pg_cron

    def count(self, full, least=100):
        return max(int(full * self.scale), least)

    def database(self, name, work=True):
        self.server.database(name)
        if work:
            with open(os.path.join(HERE, "work.sql"), encoding="utf-8") as file, \
                    pq.Connection(name) as app:
                app.run(file.read())
        return name

    def peer(self, script, database, **settings):
        return Peer(self.peers, script, database, settings)

    def run_pgbench(self, database, script, clients, seconds=None, transactions=None, **settings):
        """Transactions per second of a script, prepared."""
        path = os.path.join(self.server.folder, "script.sql")
        with open(path, "w", encoding="utf-8") as file:
            file.write(script)
        length = ["-T", str(seconds)] if seconds else ["-t", str(transactions)]
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        done = subprocess.run([self.pgbench, "-n", "-M", "prepared", "-c", str(clients), "-j", "2",
                               *length, "-f", path, "-U", "app", database],
                              env={**os.environ, "PGOPTIONS": options}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if line.startswith("tps = ") and done.returncode == 0:
                return float(line.split()[2])
        raise RuntimeError(f"pgbench: {done.stdout}{done.stderr}")


class Peer:
    """A queue of Node.js in a process of its own, told what to do line by line."""

    def __init__(self, folder, script, database, settings):
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self.process = subprocess.Popen(
            ["node", script], cwd=folder, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PGDATABASE": database, "PGUSER": "app", "PGOPTIONS": options,
                 "NODE_ENV": "production", "NO_LOG_SUCCESS": "1"})

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it has gone"}
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Thread(threading.Thread):
    """Does something beside the measurement: calls work(over, ...), which ends when "over" is
    set.  An error of it is raised by finish(), or at the end of "with", which begins it"""

    def __init__(self, work, *arguments):
        super().__init__()
        self.work, self.arguments = work, arguments
        self.over = threading.Event()
        self.failure = None

    def run(self):
        try:
            self.work(self.over, *self.arguments)
        except Exception as error:                  # told by finish()
            self.failure = error

    def finish(self):
        self.join()
        if self.failure:
            raise self.failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.finish()


class Feeder(Thread):
    """Enqueues so many jobs a second, by a statement for {n} of them; 0: as many as it can,
    in batches of 1,000.  For so many seconds, or until it is over"""

    BATCH_TIME = 0.01

    def __init__(self, database, jobs_a_second, seconds=math.inf, enqueue=ENQUEUE):
        super().__init__(self._feed)
        self.database, self.rate, self.seconds, self.enqueue = database, jobs_a_second, seconds, enqueue
        self.enqueued = 0

    def _feed(self, over):
        with pq.Connection(self.database, settings={"synchronous_commit": "off"}) as app:
            start = time.monotonic()
            while (elapsed := time.monotonic() - start) < self.seconds and not over.is_set():
                due = int(elapsed * self.rate) - self.enqueued if self.rate else 1000
                if due > 0:
                    app.run(self.enqueue.format(n=due))
                    self.enqueued += due
                if self.rate:
                    time.sleep(self.BATCH_TIME)


def fresh(bench, database, *tables):
    """Before each measurement: nothing left to clean up by somebody else's jobs."""
    with bench.server.admin(database) as admin:
        admin.run("TRUNCATE recommendation", "VACUUM " + ", ".join(("recommendation", *tables)), "CHECKPOINT")


def wait_until(condition, what, seconds=600, pause=0.05):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain until {what}")
        time.sleep(pause)


def wait_for_rows(connection, count):
    """Until so many rows are there.  The size of the table is cheap to ask for, so
    rows are counted when the last ones are about to come."""
    nearly = int(count / ROWS_A_PAGE * 0.98) * 8192
    wait_until(lambda: connection.integer("SELECT pg_relation_size('recommendation')") >= nearly,
               f"the {count} jobs were nearly done", pause=0.1)
    wait_until(lambda: connection.integer("SELECT count(*) FROM recommendation") >= count,
               f"the {count} jobs were done", pause=0.2)


def rate(connection, count):
    """Jobs a second, by the clock of the work: from the first row to the last.
    Each job must have run exactly once."""
    rows, users, seconds = connection.rows(
        "SELECT count(*), count(DISTINCT user_id), extract(epoch FROM max(made_at) - min(made_at))"
        " FROM recommendation")[0]
    if (int(rows), int(users)) != (count, count):
        raise RuntimeError(f"{count} jobs have made {rows} rows for {users} users")
    return (count - 1) / float(seconds)


def defer_jobs(bench, database, count, enqueue=ENQUEUE, clean=True):
    """A round of defer: jobs of one statement, begun by its commit."""
    if clean:
        fresh(bench, database, "defer.job", "defer.claim")
    with pq.Connection(database) as app:
        app.run(enqueue.format(n=count))
        wait_for_rows(app, count)
        return rate(app, count)


def warm_defer_jobs(bench, database, count):
    """The same where several databases take turns: some jobs before, not counted, for
    which the other's workers make room."""
    defer_jobs(bench, database, max(count // 10, 1000))
    return defer_jobs(bench, database, count)


def graphile_add(app, count, task="work"):
    """Seconds that graphile-worker takes for so many jobs in one statement"""
    start = time.monotonic()
    app.run("SELECT count(*) FROM graphile_worker.add_jobs((SELECT array_agg(ROW("
            f"'{task}', json_build_object('user_id', g), null, null, null, null, null, null)"
            f"::graphile_worker.job_spec) FROM generate_series(1, {count}) g))")
    return time.monotonic() - start


def graphile_jobs(bench, peer, database, count, mode, clean=True):
    """A round of graphile-worker: the jobs are there before it starts."""
    if clean:
        fresh(bench, database, "graphile_worker._private_jobs")
    with pq.Connection(database) as app:
        graphile_add(app, count)
        peer.ask(f"work {count} {mode}")
        return rate(app, count)


def pgboss_jobs(bench, peer, database, count):
    fresh(bench, database)
    peer.ask("empty")
    peer.ask(f"insert {count} 10000")
    with bench.server.admin(database) as admin:
        admin.run("VACUUM ANALYZE pgboss.job")
    peer.ask("work 4 100")
    with pq.Connection(database) as app:
        return rate(app, count)


def run_together(database, statements, synchronous_commit):
    """Each statement in a session of its own, all at the same time."""
    sessions = [pq.Connection(database, settings={"synchronous_commit": synchronous_commit})
                for _ in statements]
    for session, statement in zip(sessions, statements):
        session.send(statement)
    for session in sessions:
        session.finish()
        session.close()


def floor_jobs(bench, database, count, backends, synchronous_commit):
    """The same function in a bare loop, no queue at all."""
    fresh(bench, database)
    share = count // backends
    run_together(database, [f"CALL bare_floor({i * share + 1}, {(i + 1) * share})" for i in range(backends)],
                 synchronous_commit)
    with pq.Connection(database) as app:
        return rate(app, share * backends)


def skip_locked_jobs(bench, database, count, clients, synchronous_commit):
    """Claim one, run it, delete it: one statement, one transaction."""
    fresh(bench, database)
    share = count // clients
    with pq.Connection(database) as app:
        app.run("TRUNCATE plain_queue RESTART IDENTITY",
                f"INSERT INTO plain_queue (user_id) SELECT generate_series(1, {share * clients})")
    with bench.server.admin(database) as admin:
        admin.run("VACUUM ANALYZE plain_queue")
    bench.run_pgbench(
        database, "WITH taken AS (DELETE FROM plain_queue WHERE id = (SELECT id FROM plain_queue ORDER BY id"
        " FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING user_id)"
        " SELECT compute_product_recommendation(user_id) FROM taken;\n",
        clients, transactions=share, synchronous_commit=synchronous_commit)
    with pq.Connection(database) as app:
        left = app.integer("SELECT count(*) FROM plain_queue")
        return rate(app, share * clients - left)


def percentiles(values):
    """The median and the 99th percentile"""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
