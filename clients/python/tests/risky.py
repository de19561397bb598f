"""For the faults of client_faults.pl: everything that can happen to a task, by chance. Each job that succeeds has its row
in "effect" once."""
import os
import random
import signal
import time

import psycopg

import defer_postgres as defer


def effect(conn):
    conn.execute('INSERT INTO effect VALUES (%s)', [defer.current().id])


@defer.task(max_attempts=100, initial_interval=0)
def risky_python(depth=0):
    job = defer.current()
    dice = random.random()
    if dice < 0.15:
        with psycopg.connect(os.environ['DATABASE_URL']) as conn:
            effect(conn)
            job.complete(conn)
            if dice < 0.03:
                conn.rollback()
        return
    effect(job.connection())
    if depth < 1 and dice > 0.9:
        for _ in range(2):
            risky_python.enqueue(depth + 1)
    if dice < 0.18:
        raise ValueError('on purpose')
    if dice < 0.21:
        raise defer.Fail('again soon', retry_in='0.1 s')
    if dice < 0.24:
        raise defer.Release('0.05 s')
    if dice < 0.242:
        os.kill(os.getpid(), signal.SIGKILL)
    if dice < 0.4:
        time.sleep(0.05)
