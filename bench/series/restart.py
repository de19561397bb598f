"""How soon jobs run again when the server is back: from the line "ready to accept
connections" in its log to the first row that a job has written since."""
import os
import signal
import statistics
import time

import pq
import workload

TITLE = "From the server being back to the first job, milliseconds"

CASES = {"a worker is killed (-9), the server resets itself": "kill",
         "immediate stop, start": "immediate",
         "fast stop, start": "fast"}
JOBS, TIMES = 100000, 5
READY = "database system is ready to accept connections"


def log_lines(bench, offset):
    with open(bench.server.log, encoding="utf-8", errors="replace") as file:
        file.seek(offset)
        return file.read().splitlines()


def kill_worker(bench):
    worker = next(pid for pid, title in bench.server.processes().items() if "defer worker" in title)
    os.kill(worker, signal.SIGKILL)


def ready_again(bench, offset):
    """The time that the server gives for it, as it is written in the log"""
    found = []

    def seen():
        found[:] = [line for line in log_lines(bench, offset) if READY in line]
        return found

    workload.wait_until(seen, "the server was back", seconds=60, pause=0.01)
    return " ".join(found[-1].split()[:3])


def connected(database):
    """The server is back, but a session may still come too early for it"""
    try:
        with pq.Connection(database) as app:
            app.run("SELECT")
        return True
    except pq.Error:
        return False


def one(bench, database, how):
    """With jobs waiting and running: the fault, and what it cost"""
    workload.fresh(bench, database, "defer.job", "defer.claim")
    with pq.Connection(database) as app:
        app.run(workload.ENQUEUE.format(n=bench.count(JOBS)))
        workload.wait_until(lambda: app.integer("SELECT count(*) FROM (SELECT FROM recommendation LIMIT 1000) r") == 1000,
                            "jobs ran")
    offset = os.path.getsize(bench.server.log)
    if how == "kill":
        kill_worker(bench)
    else:
        bench.server.bounce(how)
    back = ready_again(bench, offset)
    workload.wait_until(lambda: connected(database), "sessions were let in", seconds=60, pause=0.01)
    with pq.Connection(database) as app:
        first = f"SELECT min(made_at) FROM recommendation WHERE made_at > '{back}'"
        workload.wait_until(lambda: app.value(first), "a job ran again", seconds=60, pause=0.02)
        wait = float(app.value(f"SELECT extract(epoch FROM ({first}) - '{back}')")) * 1000
        workload.wait_until(lambda: app.integer("SELECT count(*) FROM recommendation") == bench.count(JOBS),
                            "all jobs were done")
    return wait


def run(bench, series):
    bench.server.restart(log_timezone="UTC")
    database = bench.database("restart")
    for case in CASES:
        series.limit(case + ": slowest", "≤", 1000)
    for number in range(bench.rounds):
        for case, how in CASES.items():
            values = [one(bench, database, how) for _ in range(TIMES)]
            series.add(case + ": median", statistics.median(values), "ms", number)
            series.add(case + ": slowest", max(values), "ms", number)
            time.sleep(1)
    bench.server.drop(database)
