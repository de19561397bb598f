"""Tasks of the tests."""
import os
import signal
import time

import psycopg

import defer_postgres as defer


def effect(conn, what):
    conn.execute('INSERT INTO effect VALUES (%s, %s)', [defer.current().id, what])


@defer.task(max_attempts=2, initial_interval=0)
def add(a, b=1):
    return a + b


@defer.task(max_attempts=2, initial_interval=0)
def write(how=''):
    job = defer.current()
    with job.connection().transaction():
        effect(job.connection(), 'write')
    add.enqueue(1, b=2)
    if how == 'fail' and job.attempt == 1:
        raise ValueError('fails once')
    if how == 'for good':
        raise defer.Fail('never again', retry=False)
    if how == 'caught':
        try:
            job.connection().execute('SELECT 1 / 0')
        except psycopg.Error:
            pass
    if how == 'savepoint':
        try:
            with job.connection().transaction():
                job.connection().execute('SELECT 1 / 0')
        except psycopg.Error:
            pass
    if how == 'commit':
        job.connection().commit()
    return job.attempt


@defer.task(max_attempts=1)
async def later():
    conn = await defer.current().aconnection()
    await conn.execute('INSERT INTO effect VALUES (%s, %s)', [defer.current().id, 'later'])
    return await add.aenqueue(20, 22)


@defer.task(max_attempts=1)
def own(commit):
    with psycopg.connect(os.environ['DATABASE_URL']) as conn:
        effect(conn, 'own')
        defer.current().complete(conn, 'by itself')
        if not commit:
            conn.rollback()


results = defer.Results()


@defer.task(max_attempts=1)
def asks(depth):
    """Waits for a chain of jobs that is longer than the worker has places."""
    if depth == 0:
        return [0]
    with psycopg.connect(os.environ['DATABASE_URL'], autocommit=True) as conn:
        job = asks.using(conn).enqueue(depth - 1)
    return results.result(job) + [depth]


@defer.task(max_attempts=1)
def patient():
    job = defer.current()
    effect(job.connection(), 'patient')
    job.log('waits')
    job.progress(0.5)
    job.stopping.wait(60)
    job.check()


@defer.task(max_attempts=2, initial_interval=0)
def poison():
    effect(defer.current().connection(), 'poison')
    os.kill(os.getpid(), signal.SIGKILL)


@defer.task(max_attempts=2, initial_interval=0)
def late(seconds):
    """The worker's heartbeats are stopped by a signal from the test"""
    job = defer.current()
    effect(job.connection(), 'late')
    if job.attempt == 1:
        time.sleep(seconds)
    return job.attempt


@defer.cron('0 8 * * 1', timezone='Europe/Paris', max_attempts=4)
def weekly():
    return 'ran'
