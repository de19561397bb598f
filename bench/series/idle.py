"""What 10,000 schedules cost while none is due."""
import time

import pq
from server import usage

TITLE = "Idle with 10,000 schedules, none due: 20 seconds"

SECONDS = 20
OURS, CRON, REST = "defer, launcher and scheduler", "pg_cron, its launcher", "the rest of the server"


def kind(title):
    if "defer" in title:
        return OURS
    return CRON if "pg_cron" in title else REST


def run(bench, series):
    series.limit(f"{OURS}: CPU time", "≤", 0.5)
    series.limit(f"{OURS}: context switches", "≤", 5)
    series.limit("defer, transactions in its database", "≤", 0)
    settings = {"autovacuum": "off"}
    bench.server.restart(libraries=["pg_cron"] if bench.pg_cron else (), **settings)
    database = bench.database("idle")
    schedules = bench.count(10000)
    with pq.Connection(database) as app:
        app.run("CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS ''")
        app.run(f"SELECT count(defer.cron('tick', '0 0 1 1 *', name => 'schedule ' || g)) FROM generate_series(1, {schedules}) g")
    with bench.server.admin() as admin:
        if bench.pg_cron:
            admin.run("CREATE EXTENSION pg_cron")
            admin.run(f"SELECT count(cron.schedule('schedule ' || g, '0 0 1 1 *', 'SELECT 1')) FROM generate_series(1, {schedules}) g")
        time.sleep(12)                  # whoever has worked has left; statistics are written
        for number in range(bench.rounds):
            measure(bench, series, admin, database, number)
        if bench.pg_cron:
            admin.run("DROP EXTENSION pg_cron")
    bench.server.drop(database)


def transactions(admin, database):
    admin.run("SELECT pg_stat_clear_snapshot()")
    return admin.integer("SELECT xact_commit + xact_rollback FROM pg_stat_database"
                         f" WHERE datname = '{database}'")


def measure(bench, series, admin, database, number):
    before = transactions(admin, database)
    first = {}
    for pid, title in bench.server.processes().items():
        if pid != admin.pid:
            first[pid] = (kind(title), *usage(pid))
    time.sleep(SECONDS)
    spent = {}
    for pid, (name, time_before, switches_before) in first.items():
        time_after, switches_after = usage(pid)
        total = spent.setdefault(name, [0, 0])
        total[0] += time_after - time_before
        total[1] += switches_after - switches_before
    for name in (OURS, CRON, REST):
        if name in spent:
            series.add(f"{name}: CPU time", spent[name][0] / 1e6, "ms", number)
            series.add(f"{name}: context switches", spent[name][1], "switches", number)
    series.add("defer, transactions in its database", transactions(admin, database) - before, "transactions", number)
