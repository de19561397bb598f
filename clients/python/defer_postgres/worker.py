"""The worker: takes jobs, runs each in a thread, keeps their leases, and stops without losing any.

A thread ends its job. Heartbeats have a thread and a connection of their own, so that nothing keeps them waiting, and
so has the loop that takes jobs: the server expects the session that it wakes by defer.wait_for_work() to take them.
"""
import logging
import os
import socket
import threading
import time

import psycopg
from psycopg.pq import TransactionStatus

from .declare import declare
from .errors import connection_lost
from .job import RELEASE, Job, connect, cut

log = logging.getLogger('defer_postgres')
LONGEST_PAUSE = 1.0     # between two looks for jobs
WAITING_FACTOR = 10     # tasks that wait for other jobs, for each place


class _Connection:
    """A connection in autocommit that is made when it is needed, and anew after it has broken; for one thread at a time."""

    def __init__(self, dsn):
        self._dsn, self._lock, self._conn, self._end = dsn, threading.Lock(), None, None

    def execute(self, sql, values, fetch, timeout=30):
        """timeout: if there is no answer for so long, the connection has been cut"""
        with self._lock:
            if self._conn is None or self._conn.closed:
                self._conn = connect(self._dsn, autocommit=True)
            self._end = time.monotonic() + timeout
            try:
                return fetch(self._conn.execute(sql, values))
            except psycopg.Error as error:
                if connection_lost(error):
                    self._conn.close()
                raise
            finally:
                self._end = None

    def check(self):
        """Break a connection off that does not answer, from another thread."""
        end, conn = self._end, self._conn
        if end is not None and time.monotonic() > end and not conn.closed:
            log.warning('no answer of the server: the connection is given up')
            cut(conn)

    def cancel(self):
        """End the statement that is under way, from another thread."""
        conn = self._conn
        if conn is not None and not conn.closed:
            conn.cancel()

    def close(self):
        with self._lock:
            if self._conn is not None:
                self._conn.close()


class Worker:
    def __init__(self, dsn, tasks, *, concurrency=10, lease=60, grace=25, queues=None, name=None,
                 poll=False):
        self.dsn, self.tasks, self.concurrency, self.lease, self.grace = dsn, tasks, concurrency, lease, grace
        self.queues, self.poll = queues, poll
        self.name = name or f'{socket.gethostname()}:{os.getpid()}'[-63:]
        self._control, self._heart, self._taking = _Connection(dsn), _Connection(dsn), _Connection(dsn)
        self._idle = []         # connections of transactions that have ended
        self._jobs, self._changed = set(), threading.Condition()
        self._stopping = threading.Event()
        self._taken_all = threading.Event()     # the loop has ended
        self._over = threading.Event()

    def execute(self, sql, values):
        """The first value of a statement's first row."""
        return self._control.execute(sql, values, lambda cursor: cursor.fetchone()[0])

    def tell(self, sql, values):
        """A statement whose failure is no error of the job."""
        try:
            self._control.execute(sql, values, lambda cursor: None)
        except psycopg.Error as error:
            log.debug('%s', error)

    def lend(self):
        """A connection for the transaction of a job."""
        with self._changed:
            while self._idle:
                conn = self._idle.pop()
                if not conn.closed:
                    return conn
        return connect(self.dsn)

    def give_back(self, conn):
        """What is not committed is rolled back."""
        try:
            conn.rollback()
        except psycopg.Error:
            pass
        with self._changed:
            if not conn.closed and conn.info.transaction_status == TransactionStatus.IDLE:
                self._idle.append(conn)
            else:
                conn.close()

    def declare(self, app, version=0, prune=False):
        wait = 0.1
        while True:
            try:
                with connect(self.dsn, autocommit=True) as conn:
                    return declare(conn, self.tasks, app, version, prune)
            except psycopg.Error as error:
                if not connection_lost(error) or self._stopping.is_set():
                    raise
                log.warning('no connection: %s', error)
                self._stopping.wait(wait)
                wait = min(2 * wait, 5)

    def stop(self):
        """Take no more, and let the running jobs end."""
        if not self._stopping.is_set():
            self._stopping.set()
            threading.Thread(target=self._interrupt, daemon=True).start()
        with self._changed:
            self._changed.notify_all()

    # The loop may be about to wait: until it has ended
    def _interrupt(self):
        while not self._taken_all.wait(0.1):
            try:
                self._taking.cancel()
            except psycopg.Error as error:
                log.debug('%s', error)

    def run(self, once=False):
        """Until stop(), or with once until there is no job left. Returns the number of jobs that were given back."""
        threading.Thread(target=self._beat, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        log.info('worker %s: %s; %d at once', self.name, ', '.join(self.tasks), self.concurrency)
        pause = 0.02
        while not self._stopping.is_set():
            with self._changed:
                idle, free = not self._jobs, self._free()
                if free <= 0:
                    self._changed.wait(1)
                    continue
            taken = self._take(min(free, 500))
            if taken:
                pause = 0.02
                continue
            if once and idle and taken == 0:
                break
            if once or self.poll:
                with self._changed:
                    self._changed.wait(pause)
                pause = min(1.5 * pause, LONGEST_PAUSE)
            elif taken == 0:
                self._wait()
        self._taken_all.set()
        return self._drain()

    # Places; within a bound, tasks that wait for other jobs take none
    def _free(self):
        waiting = sum(job.waiting > 0 for job in self._jobs)
        return self.concurrency - len(self._jobs) + min(waiting, self.concurrency * WAITING_FACTOR)

    def waits(self, job, change):
        """A task waits for another job, or does not any more."""
        with self._changed:
            job.waiting += change
            self._changed.notify_all()

    def _take(self, n):
        try:
            rows = self._taking.execute(
                'SELECT id, token, task, args, attempt, max_attempts, metadata, group_key, deadline FROM defer.take('
                '%s::pg_catalog.text[], %s::pg_catalog.text[], %s::pg_catalog.int4, %s::pg_catalog.interval, %s::pg_catalog.text)',
                [list(self.tasks), self.queues, n, f'{self.lease} s', self.name], lambda cursor: cursor.fetchall())
        except psycopg.Error as error:
            if error.sqlstate in ('42501', '42883'):
                raise
            log.warning('take: %s', error)
            self._stopping.wait(0.5)
            return None
        for row in rows:
            job = Job(self, row)
            with self._changed:
                self._jobs.add(job)
            threading.Thread(target=self._run, args=[job], daemon=True).start()
        return len(rows)

    def _wait(self):
        """Until there may be jobs; a place that becomes free meanwhile is no reason to look again."""
        try:
            self._taking.execute("CALL defer.wait_for_work(%s::pg_catalog.text[], '1 minute', %s::pg_catalog.text[])",
                                 [list(self.tasks), self.queues], lambda cursor: None, 90)
        except psycopg.Error as error:
            if not self._stopping.is_set():
                log.warning('wait_for_work: %s', error)
                self._stopping.wait(0.5)

    def _run(self, job):
        begun = time.monotonic()
        word = job.run(self.tasks[job.task].function)
        log.log(logging.INFO if word == 'succeeded' else logging.WARNING, 'job %s %s, attempt %s: %s, %.0f ms',
                job.id, job.task, job.attempt, word, (time.monotonic() - begun) * 1000)
        with self._changed:
            self._jobs.discard(job)
            self._changed.notify_all()

    def _watch(self):
        while not self._over.wait(min(1, self.lease / 4)):
            for connection in (self._control, self._heart, self._taking):
                connection.check()

    def _beat(self):
        while not self._over.wait(self.lease / 3):
            with self._changed:
                jobs = list(self._jobs)
            if not jobs:
                continue
            begun = time.monotonic()
            try:
                answers = self._heart.execute(
                    'SELECT answer FROM defer.heartbeat_many(%s::pg_catalog.int8[], %s::pg_catalog.uuid[])',
                    [[job.id for job in jobs], [job.token for job in jobs]], lambda cursor: [row[0] for row in cursor.fetchall()],
                    self.lease / 2)
            except psycopg.Error as error:
                log.warning('heartbeat: %s', error)
                answers = [None] * len(jobs)
            for job, answer in zip(jobs, answers):      # in the order of the jobs
                if answer in ('go on', 'cancel'):
                    job.heard = begun
                # the server has ended leases of which it has not heard for so long, whether it can be asked or not
                if answer == 'lost' or time.monotonic() - job.heard > self.lease:
                    job.lose()
                elif answer == 'cancel':
                    job.cancelled = True
                    job.stopping.set()

    def _drain(self):
        end = time.monotonic() + self.grace
        self._stopping.set()
        with self._changed:
            while self._jobs and time.monotonic() < end:
                self._changed.wait(end - time.monotonic())
            left = list(self._jobs)
        for job in left:
            job.stopping.set()
            try:
                self.execute(RELEASE, [job.id, job.token, '0'])
            except psycopg.Error as error:
                log.debug('%s', error)
        if left:
            log.warning('%d jobs did not end in time: they were given back', len(left))
        self._over.set()
        self._taking.close()
        self._control.close()
        self._heart.close()
        return len(left)
