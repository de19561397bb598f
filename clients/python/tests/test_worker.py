"""Against the server of DATABASE_URL, in which the role may create tasks."""
import asyncio
import concurrent.futures
import os
import signal
import subprocess
import sys
import time

import psycopg
import pytest

import defer_postgres as defer

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
import tasks  # noqa: E402

URL = os.environ.get('DATABASE_URL')
server = pytest.mark.skipif(not URL, reason='no DATABASE_URL')


def worker(*args):
    path = os.pathsep.join([os.path.dirname(FOLDER), FOLDER])
    return subprocess.Popen([sys.executable, '-m', 'defer_postgres', 'tasks', '--app', 'pytest', *args], text=True,
                            stderr=subprocess.PIPE, env={**os.environ, 'PYTHONPATH': path})


@pytest.fixture(scope='module')
def conn():
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute('CREATE TABLE IF NOT EXISTS effect (job bigint, what text)')
        yield connection


@pytest.fixture(scope='module')
def running(conn):
    process = worker('--lease', '1', '--log-level', 'error')
    until(conn, "SELECT count(*) = 1 FROM defer.schedules WHERE name = 'weekly'")
    yield process
    process.terminate()
    process.communicate()


def value(conn, sql, *values):
    row = conn.execute(sql, values).fetchone()
    return row and row[0]


def until(conn, sql, *values):
    end = time.monotonic() + 60
    while value(conn, sql, *values) is not True:
        assert time.monotonic() < end, f'not in a minute: {sql}'
        time.sleep(0.02)


def ended(conn, job, state):
    until(conn, 'SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = %s', job)
    found, result, error = conn.execute('SELECT state, result, error FROM defer.jobs WHERE id = %s', [job]).fetchone()
    assert found == state, error
    return error if state == 'failed' else result


def effects(conn, job):
    return value(conn, 'SELECT count(*) FROM effect WHERE job = %s', job)


def test_what_is_refused_when_it_is_written():
    with pytest.raises(defer.DeferError, match='no option "retries"'):
        defer.task(retries=3)(lambda: None)
    with pytest.raises(defer.DeferError, match='takes no arguments'):
        defer.cron('0 8 * * 1')(lambda a: None)
    with pytest.raises(defer.DeferError, match='two tasks "add"'):
        defer.task(name='add')(lambda: None)
    with pytest.raises(defer.DeferError, match='does not run in a job'):
        tasks.add.enqueue(1)
    with pytest.raises(defer.DeferError, match='unexpected keyword'):
        tasks.add.using(object()).enqueue(1, c=2)
    with pytest.raises(defer.DeferError, match='run by its schedule'):
        tasks.weekly.using(object()).enqueue()
    assert tasks.add(1, 2) == 3
    assert tasks.add.arguments([1], {'b': 2}) == {'a': 1, 'b': 2}


@server
def test_jobs_run_and_commit_with_their_ends(conn, running):
    assert ended(conn, tasks.add.using(conn).enqueue(20, b=22), 'succeeded') == 42
    assert ended(conn, tasks.add.using(conn, priority=3).enqueue(1), 'succeeded') == 2
    assert ended(conn, defer.enqueue(conn, 'add', [2, 2], max_attempts=1), 'succeeded') == 4
    job = tasks.write.using(conn).enqueue()
    assert ended(conn, job, 'succeeded') == 1
    assert value(conn, 'SELECT count(*) FROM defer.jobs WHERE parent_id = %s', job) == 1
    job = tasks.write.using(conn).enqueue('fail')
    assert ended(conn, job, 'succeeded') == 2
    assert effects(conn, job) == 1
    assert value(conn, 'SELECT message FROM defer.attempts WHERE job_id = %s', job) == 'fails once'
    job = tasks.write.using(conn).enqueue('for good')
    assert ended(conn, job, 'failed') == 'never again'
    assert effects(conn, job) == 0
    job = tasks.write.using(conn).enqueue('caught')
    assert 'has failed' in ended(conn, job, 'failed')
    assert effects(conn, job) == 0
    job = tasks.write.using(conn).enqueue('savepoint')
    assert ended(conn, job, 'succeeded') == 1
    assert effects(conn, job) == 1
    job = tasks.write.using(conn, max_attempts=1).enqueue('commit')
    assert 'ended the transaction of the job itself' in ended(conn, job, 'failed')
    assert value(conn, "SELECT count(*) FROM defer.jobs WHERE function = 'add' AND args = %s", '{"a": 1, "b": 2}') == 4


@server
def test_coroutines_and_transactions_of_ones_own(conn, running):
    job = tasks.later.using(conn).enqueue()
    assert value(conn, 'SELECT parent_id FROM defer.jobs WHERE id = %s', ended(conn, job, 'succeeded')) == job
    assert ended(conn, ended(conn, job, 'succeeded'), 'succeeded') == 42
    assert effects(conn, job) == 1
    job = tasks.own.using(conn).enqueue(True)
    assert ended(conn, job, 'succeeded') == 'by itself'
    assert effects(conn, job) == 1
    assert 'was not committed' in ended(conn, tasks.own.using(conn).enqueue(False), 'failed')
    with psycopg.connect(URL) as other:
        job = tasks.add.using(other).enqueue(1)
        other.rollback()
    assert value(conn, 'SELECT count(*) FROM defer.jobs WHERE id = %s', job) == 0


@server
def test_results(conn, running):
    results = defer.Results()
    job = tasks.add.using(conn).enqueue(20, 22)
    assert results.result(job) == 42
    assert results.result(job) == 42
    with pytest.raises(defer.JobFailed, match='never again') as failure:
        results.result(tasks.write.using(conn).enqueue('for good'))
    assert (failure.value.state, failure.value.sqlstate) == ('failed', 'P0001')
    later = tasks.add.using(conn, delay='1 hour').enqueue(1)
    with pytest.raises(TimeoutError):
        results.result(later, timeout=0.1)

    # many at a time, by threads and coroutines; one that comes later; one connection waits, without a snapshot
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(results.result, later)
        until(conn, "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL defer.await_any%%' AND state = 'active' AND backend_xmin IS NULL")

        async def many():
            jobs = [tasks.add.using(conn).enqueue(1, n) for n in range(20)]
            return await asyncio.gather(*map(results.aresult, jobs))
        assert asyncio.run(many()) == [1 + n for n in range(20)]
        until(conn, 'SELECT defer.reschedule(%s)', later)
        assert first.result() == 2

        # of a connection that was broken
        later = tasks.add.using(conn, delay='1 hour').enqueue(2)
        first = pool.submit(results.result, later)
        broken = "SELECT count(pg_terminate_backend(pid)) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL defer.await_any%%' AND state = 'active'"
        until(conn, broken)
        until(conn, 'SELECT defer.reschedule(%s)', later)
        assert first.result() == 3

        # of a transaction that has not committed
        with psycopg.connect(URL) as other:
            job = tasks.add.using(other).enqueue(3)
            first = pool.submit(results.result, job)
        assert first.result() == 4

        # closed while it waits
        first = pool.submit(results.result, tasks.add.using(conn, delay='1 hour').enqueue(4))
        until(conn, "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL defer.await_any%%' AND state = 'active'")
        results.close()
        with pytest.raises(defer.DeferError, match='closed'):
            first.result()


@server
def test_tasks_that_wait_for_each_other(conn, running):
    assert ended(conn, tasks.asks.using(conn).enqueue(14), 'succeeded') == list(range(15))


@server
def test_cancel(conn, running):
    job = tasks.patient.using(conn).enqueue()
    until(conn, "SELECT state = 'running' AND progress = 0.5 FROM defer.jobs WHERE id = %s", job)
    assert value(conn, 'SELECT defer.cancel(%s, true)', job)
    ended(conn, job, 'cancelled')
    assert effects(conn, job) == 0
    assert value(conn, 'SELECT message FROM defer.logs WHERE job_id = %s', job) == 'waits'


@server
def test_sessions_that_are_terminated(conn, running):
    job = tasks.patient.using(conn).enqueue()
    until(conn, "SELECT state = 'running' AND progress = 0.5 FROM defer.jobs WHERE id = %s", job)
    value(conn, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'defer-worker'")
    assert ended(conn, tasks.add.using(conn).enqueue(2, 2), 'succeeded') == 4
    value(conn, 'SELECT defer.cancel(%s, true)', job)
    ended(conn, job, 'cancelled')
    assert effects(conn, job) == 0


@server
def test_a_lease_that_is_lost(conn, running):
    job = tasks.late.using(conn).enqueue(3)
    until(conn, "SELECT state = 'running' FROM defer.jobs WHERE id = %s", job)
    running.send_signal(signal.SIGSTOP)
    until(conn, "SELECT count(*) = 1 FROM defer.attempts WHERE job_id = %s AND outcome = 'lost'", job)
    running.send_signal(signal.SIGCONT)
    assert ended(conn, job, 'succeeded') == 2
    assert effects(conn, job) == 1


@server
def test_schedules(conn, running):
    assert value(conn, "SELECT schedule || ' ' || timezone FROM defer.schedules WHERE name = 'weekly'") == '0 8 * * 1 Europe/Paris'
    assert value(conn, "SELECT max_attempts FROM defer.functions WHERE function = 'weekly'") == 4
    assert ended(conn, defer.trigger(conn, tasks.weekly), 'succeeded') == 'ran'


@server
def test_stops_and_deaths(conn, running):
    running.terminate()
    assert running.wait(60) == 0
    job = tasks.poison.using(conn).enqueue()
    for _ in range(2):
        assert worker('--lease', '1').wait(60) == -signal.SIGKILL
    ended(conn, job, 'failed')
    assert effects(conn, job) == 0
    hasty = worker('--grace', '0')
    job = tasks.patient.using(conn).enqueue()
    until(conn, "SELECT state = 'running' FROM defer.jobs WHERE id = %s", job)
    hasty.terminate()
    assert hasty.wait(60) == 0
    assert value(conn, "SELECT state || ' ' || attempt FROM defer.jobs WHERE id = %s", job) == 'queued 0'
    value(conn, 'SELECT defer.cancel(%s)', job)
    assert worker('--once').wait(60) == 0
