"""Cron: what the engine costs, and how late ticks are beside pg_cron's.

A tick's lateness is the server's clock, read by the scheduled function, less the time that
the schedule names.
"""
import os
import re
import subprocess
import time

import pq
import workload

TITLE = "Cron"

# How many of them are watched, with few and with many schedules
MINUTES, MINUTES_MANY = 2, 1
FEW = 10

TICKS = """
CREATE TABLE tick (name text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION tick_minute() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tick (name) VALUES ('minute');
END $$;
CREATE FUNCTION tick_second() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tick (name) VALUES ('second');
END $$;
CREATE FUNCTION tick_never() RETURNS void LANGUAGE sql AS ''"""


def run(bench, series):
    engine(bench, series)
    # 100 connections of pg_cron at most; it runs its commands through libpq
    libraries = ["pg_cron"] if bench.pg_cron else []
    bench.server.restart(libraries=libraries, **({"cron__host": os.environ["PGHOST"]} if libraries else {}))
    database = bench.database("cron", work=False)
    with pq.Connection(database) as app, bench.server.admin() as admin:
        app.run(TICKS)
        app.run(*(f"SELECT defer.cron('tick_{unit}', '{schedule}', name => '{unit} {i}')"
                  for unit, schedule in (("minute", "* * * * *"), ("second", "* * * * * *")) for i in range(FEW)))
        if libraries:
            admin.run("CREATE EXTENSION pg_cron", "DROP TABLE IF EXISTS tick",
                      "CREATE TABLE tick (name text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())",
                      *(f"SELECT cron.schedule('minute {i}', '* * * * *', 'INSERT INTO tick (name) VALUES (''minute'')')"
                        for i in range(FEW)))
        minutes = max(round(MINUTES * min(bench.scale, 1)), 1)
        sessions = {"defer": app, **({"pg_cron": admin} if libraries else {})}
        watch(series, sessions, minutes, f"{FEW} schedules")

        # one after the other, as either may need a processor for itself
        many = bench.count(100000)
        minutes = max(round(MINUTES_MANY * min(bench.scale, 1)), 1)
        if libraries:
            admin.run("UPDATE cron.job SET active = false")
        app.run(f"SELECT count(defer.cron('tick_never', '0 0 1 1 *', name => 'never ' || g)) FROM generate_series(1, {many}) g")
        watch(series, {"defer": app}, minutes, f"{many:,} schedules, {FEW} of them due")
        if libraries:
            app.run("SELECT count(defer.alter_cron(name, active => false)) FROM defer.schedules WHERE name !~ 'never'")
            admin.run("UPDATE cron.job SET active = true",
                      f"SELECT count(cron.schedule('never ' || g, '0 0 1 1 *', 'SELECT 1')) FROM generate_series(1, {many}) g")
            watch(series, {"pg_cron": admin}, minutes, f"{many:,} schedules, {FEW} of them due")
            admin.run("DROP EXTENSION pg_cron", "DROP TABLE tick")
    series.compare(f"defer, {FEW} schedules, by the minute: p50", f"pg_cron, {FEW} schedules, by the minute: p50")
    bench.server.drop(database)


def engine(bench, series):
    """bench/cron: nanoseconds of the engine alone"""
    folder = os.path.join(workload.HERE, "cron")
    done = subprocess.run(["make", "-s", "-C", folder, "bench"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        done = subprocess.run(["./bench"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        series.note(f"bench/cron: {done.stderr.strip()[-200:]}")
        return
    read_engine(series, done.stdout)


def read_engine(series, text):
    for line in text.splitlines():
        match = re.match(r"(0 8 \* \* 1)\s+(\S+)\s+(\d+)\s+(\d+)", line)
        if match:
            zone = match.group(2)
            if zone == "UTC":
                series.add("defer, parse 0 8 * * 1", float(match.group(3)), "ns")
            series.add(f"defer, next of 0 8 * * 1, {zone}", float(match.group(4)), "ns")


def watch(series, sessions, minutes, what):
    """Until so many minutes have begun"""
    if time.time() % 60 > 50:
        time.sleep(61 - time.time() % 60)           # the schedules have just been made
    for session in sessions.values():
        session.run("TRUNCATE tick")
    time.sleep(60 * minutes - time.time() % 60 + 8)
    for name, session in sessions.items():
        for unit in ("minute", "second"):
            late = [float(row[0]) * 1000 for row in session.rows(
                f"SELECT extract(epoch FROM at - date_trunc('{unit}', at)) FROM tick WHERE name = '{unit}'")]
            case = f"{name}, {what}, by the {unit}"
            if late:
                median, last = workload.percentiles(late)
                series.add(case + ": p50", median, "ms late")
                series.add(case + ": p99", last, "ms late")
            if late or unit == "minute":
                expected = FEW * minutes if unit == "minute" else None
                if expected and len(late) != expected:
                    series.note(f"{case}: {len(late)} of {expected} ticks.")
