"""One job that a worker has taken: what the task sees of it, and its end."""
import asyncio
import inspect
import os
import socket
import threading
import time
import traceback

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from .context import running
from .errors import CANCELLED, CONFLICTS, ENDED, LOST, DeferError, Fail, Release, Stop, connection_lost
from .options import convert

COMPLETE = 'SELECT defer.complete(%s::pg_catalog.int8, %s::pg_catalog.uuid, %s::pg_catalog.jsonb)'
AS_JOB = 'SELECT defer.as_job(%s::pg_catalog.int8, %s::pg_catalog.uuid)'
RELEASE = 'SELECT defer.release(%s::pg_catalog.int8, %s::pg_catalog.uuid, %s::pg_catalog.interval)'
LONGEST_PAUSE = 5
# A connection that was cut is noticed within half a minute; what the dsn says counts
CONNECT = {'application_name': 'defer-worker', 'connect_timeout': '10', 'keepalives_idle': '10', 'keepalives_interval': '5',
           'keepalives_count': '4', 'tcp_user_timeout': '30000'}


def connect(dsn, **options):
    return psycopg.connect(make_conninfo(**{**CONNECT, **conninfo_to_dict(dsn)}), **options)


def cut(conn):
    """Break a connection off, from another thread: what waits for its answer gets an error."""
    try:
        with socket.socket(fileno=os.dup(conn.pgconn.socket)) as its:
            its.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        pass        # it has gone


class Job:
    """The running job: defer_postgres.current()."""

    def __init__(self, worker, row):
        self.id, self.token, self.task, self.args, self.attempt, self.max_attempts, self.metadata, self.group_key, self.deadline = row
        self.stopping = threading.Event()       # cancelled, lost or given back: stop then
        self.cancelled = False
        self.heard = time.monotonic()           # of the server, about the lease
        self.waiting = 0                        # for other jobs
        self._worker, self._conn, self._aconn, self._given = worker, None, None, False

    # ---- for the task

    def connection(self):
        """A connection in the job's own transaction: what is written with it, and all jobs that the task enqueues, is
        committed with the end of the job, or not at all. Do not commit it."""
        if self._aconn or self._given:
            raise DeferError('the job has another transaction')
        if self._conn is None:
            self._conn = self._worker.lend()
            # it begins, so that a block "with conn.transaction()" is a savepoint
            self._conn.execute(AS_JOB, [self.id, self.token])
        return self._conn

    async def aconnection(self):
        """The same as an AsyncConnection, for tasks that are coroutines."""
        if self._conn or self._given:
            raise DeferError('the job has another transaction')
        if self._aconn is None:
            self._aconn = await psycopg.AsyncConnection.connect(make_conninfo(**{**CONNECT, **conninfo_to_dict(self._worker.dsn)}))
            await self._aconn.execute(AS_JOB, [self.id, self.token])
        return self._aconn

    def complete(self, conn, result=None):
        """End the job in a transaction of yours, which you commit."""
        if self._conn or self._aconn:
            raise DeferError('the job has a transaction already')
        self._given = True
        conn.execute(COMPLETE, [self.id, self.token, Jsonb(result)])

    def check(self):
        """Raise Stop if there is no use in going on."""
        if self.stopping.is_set():
            raise Stop(f'job {self.id} is not to go on')

    def log(self, message):
        """For defer.logs, also if the attempt fails."""
        self._worker.tell('SELECT defer.log(%s::pg_catalog.int8, %s::pg_catalog.uuid, %s::pg_catalog.text)',
                          [self.id, self.token, str(message).replace('\0', '')])

    def progress(self, fraction):
        """From 0 to 1, shown in defer.jobs at once."""
        if not 0 <= fraction <= 1:
            raise DeferError('progress is a number from 0 to 1')
        self._worker.tell('SELECT defer.heartbeat(%s::pg_catalog.int8, %s::pg_catalog.uuid, %s::pg_catalog.float8)',
                          [self.id, self.token, fraction])

    # ---- for the worker

    def waits(self, change):
        """The task waits for another job, or does not any more."""
        self._worker.waits(self, change)

    def lose(self):
        """The job is not the worker's any more: a statement that waits, such as on a connection that was cut, waits for
        nothing, as nothing can be committed."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        for conn in (self._conn, self._aconn):
            if conn is not None and not conn.closed:
                cut(conn)

    def run(self, function):
        """Run the task and end the job; never raises. Returns the word for the log."""
        running.set(self)
        try:
            try:
                if inspect.iscoroutinefunction(function):
                    asyncio.run(self._arun(function))
                else:
                    self._succeed(self._call(function))
                return 'succeeded'
            finally:
                conn, self._conn = self._conn, None
                if conn is not None:
                    self._worker.give_back(conn)
        except BaseException as error:      # pylint: disable=broad-except
            return self._failed(error)

    def _call(self, function):
        if self.args is None:
            return function()
        return function(**self.args) if isinstance(self.args, dict) else function(*self.args)

    async def _arun(self, function):
        try:
            result = await self._call(function)
            if self._aconn is None:
                await asyncio.get_running_loop().run_in_executor(None, self._succeed, result)
            else:
                self._check_status(self._aconn)
                await self._aconn.execute(COMPLETE, [self.id, self.token, Jsonb(result)])
                await self._commit_async()
        finally:
            if self._aconn is not None:
                await self._aconn.close()

    async def _commit_async(self):
        try:
            await self._aconn.commit()
        except psycopg.Error as error:
            self._committed(error)

    # COMMIT of a transaction that has failed is no error, but rolls back
    @staticmethod
    def _check_status(conn):
        if conn.info.transaction_status == TransactionStatus.INERROR:
            raise DeferError('a statement of the transaction of the job has failed')
        if conn.info.transaction_status == TransactionStatus.IDLE:
            raise DeferError('the task has ended the transaction of the job itself')

    # The answer to COMMIT may be lost, and the commit not
    def _committed(self, error):
        if not connection_lost(error) or self._state() != 'completed':
            raise error

    def _state(self):
        return self.persistent('SELECT defer.lease_state(%s::pg_catalog.int8, %s::pg_catalog.uuid)', [self.id, self.token])

    def _succeed(self, result):
        if self._given:
            state = self._state()
            if state == 'held':
                raise DeferError('the transaction of job.complete() was not committed')
        elif self._conn is None:
            self.persistent(COMPLETE, [self.id, self.token, Jsonb(result)])
        else:
            self._check_status(self._conn)
            self._conn.execute(COMPLETE, [self.id, self.token, Jsonb(result)])
            try:
                self._conn.commit()
            except psycopg.Error as error:
                self._committed(error)

    def _failed(self, error):
        state = getattr(error, 'sqlstate', None)
        try:
            if state == LOST or isinstance(error, Stop) and not self.cancelled:
                return f'lost: {error}'
            if state == CANCELLED or self.cancelled:
                self.release('0')
                return 'cancelled'
            if isinstance(error, Release) or state == '57P01':
                self.release(getattr(error, 'delay', '0'))
                return f'given back: {error}'
            self._fail(error, state)
            return f'failed: {error}'
        except psycopg.Error as second:
            if second.sqlstate == ENDED:
                return 'succeeded, by its own commit'
            return f'lost: {second}' if second.sqlstate == LOST else f'could not be ended, its lease will: {second}'

    def _fail(self, error, state):
        retry, retry_in = (error.retry, error.retry_in) if isinstance(error, Fail) else (True, None)
        detail = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
        self.persistent('SELECT defer.fail(%s::pg_catalog.int8, %s::pg_catalog.uuid, %s::pg_catalog.text, %s::pg_catalog.text, '
                        '%s::pg_catalog.text, %s::pg_catalog.bool, %s::pg_catalog.interval)',
                        [self.id, self.token, (str(error) or type(error).__name__).replace('\0', ''), state,
                         detail.replace('\0', ''), retry, convert('interval', retry_in)])

    def release(self, delay):
        self.persistent(RELEASE, [self.id, self.token, convert('interval', delay)])

    def persistent(self, sql, values):
        """A statement in a transaction of its own, which is repeated while there is no connection."""
        wait, lost = 0.05, False
        while True:
            try:
                return self._worker.execute(sql, values)
            except psycopg.Error as error:
                # the answer to the first one was lost, and it had worked
                if lost and error.sqlstate == ENDED:
                    return None
                if not connection_lost(error) and error.sqlstate not in CONFLICTS:
                    raise
                lost = lost or connection_lost(error)
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_PAUSE)
