"""Waiting for jobs to end: one connection for all jobs that a process waits for, by defer.await_any()."""
import asyncio
import concurrent.futures
import os
import threading

import psycopg

from .context import running
from .errors import DeferError, JobFailed, connection_lost
from .job import connect

MOST = 10000            # jobs of one call of await_any
CANCELED, NO_JOB = '57014', '42704'
ENDED = ['succeeded', 'failed', 'cancelled', 'discarded']
LOOK = '''SELECT id, state, result, error, sqlstate FROM defer.jobs
    WHERE id OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.int8[]) AND state OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.text[])'''
WAIT = "CALL defer.await_any(%s::pg_catalog.int8[], '30 seconds')"


class Results:
    """Results of jobs. A thread and a connection wait for all of them; a job that comes later has the call begin anew."""

    def __init__(self, dsn=None):
        self.dsn = os.environ.get('DATABASE_URL', '') if dsn is None else dsn
        self._changed = threading.Condition()
        self._waiting = {}      # id -> futures
        self._asked = self._seen = 0    # jobs that were asked for; up to which the call knows them
        self._conn = self._thread = self._nudging = None
        self._calls = self._closed = False

    def result(self, job_id, timeout=None):
        """The result of a job, once it has ended; JobFailed if it did not succeed, TimeoutError after so many seconds."""
        future = self._ask(job_id)
        try:
            with _Waits():
                return future.result(timeout)
        except concurrent.futures.TimeoutError:
            raise TimeoutError(f'job {job_id} has not ended in {timeout} seconds') from None
        finally:
            self._forget(job_id, future)

    async def aresult(self, job_id, timeout=None):
        """The same for a coroutine."""
        future = self._ask(job_id)
        try:
            with _Waits():
                return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(f'job {job_id} has not ended in {timeout} seconds') from None
        finally:
            self._forget(job_id, future)

    def close(self):
        """Wait no more; who waits gets an error."""
        with self._changed:
            self._closed = True
            self._fail(DeferError('the results were closed'))
            self._nudge()
            thread = self._thread
        if thread is not None:
            thread.join()

    # ---- the callers

    def _ask(self, job_id):
        future = concurrent.futures.Future()
        with self._changed:
            if self._closed:
                raise DeferError('the results were closed')
            self._waiting.setdefault(job_id, []).append(future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, daemon=True)
                self._thread.start()
            self._nudge()
        return future

    def _forget(self, job_id, future):
        with self._changed:
            futures = self._waiting.get(job_id, [])
            if future in futures:
                futures.remove(future)
                if not futures:
                    del self._waiting[job_id]
                    self._nudge()

    def _nudge(self):
        self._asked += 1
        self._changed.notify_all()
        if self._nudging is None and self._calls:
            self._nudging = threading.Thread(target=self._interrupt, daemon=True)
            self._nudging.start()

    # A cancel that comes before the call does nothing: it is repeated until that has ended
    def _interrupt(self):
        while True:
            with self._changed:
                if not self._calls or self._seen == self._asked:
                    self._nudging = None
                    return
                conn = self._conn
            try:
                conn.cancel()
            except psycopg.Error:
                pass        # it is made anew
            with self._changed:
                self._changed.wait_for(lambda: not self._calls, 0.05)

    # ---- the thread

    def _loop(self):
        pause = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    break
                self._changed.wait_for(lambda: self._closed, pause)
                self._seen = self._asked
                self._changed.notify_all()
                ids = list(self._waiting)[:MOST]
            pause = self._round(ids)
        self._drop()

    def _round(self, ids):
        """Returns seconds to wait before the next one."""
        if not ids:
            return 0
        try:
            if self._conn is None:
                conn = connect(self.dsn, autocommit=True)
                with self._changed:
                    self._conn = conn
            if not self._look(ids):
                self._call(ids)
            return 0
        except psycopg.Error as error:
            if error.sqlstate == CANCELED:
                return 0
            if error.sqlstate == NO_JOB:        # its transaction has not committed
                return 0.2
            self._drop()
            if not connection_lost(error):
                with self._changed:
                    self._fail(error)
            return 0.5

    def _call(self, ids):
        with self._changed:
            if self._seen != self._asked:
                return
            self._calls = True
        try:
            self._conn.execute(WAIT, [ids])
        finally:
            with self._changed:
                self._calls = False
                self._changed.notify_all()

    def _look(self, ids):
        rows = self._conn.execute(LOOK, [ids, ENDED]).fetchall()
        with self._changed:
            for job_id, state, result, error, sqlstate in rows:
                for future in self._waiting.pop(job_id, []):
                    if state == 'succeeded':
                        _settle(future, result)
                    else:
                        _settle(future, error=JobFailed(error or f'job {job_id} was {state}', job_id, state, sqlstate))
        return rows

    def _fail(self, error):
        for futures in self._waiting.values():
            for future in futures:
                _settle(future, error=error)
        self._waiting.clear()

    def _drop(self):
        with self._changed:
            conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()


def _settle(future, result=None, error=None):
    """Unless its caller has given up."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class _Waits:
    """The running job, if there is one, waits for another: it does not count in the worker's concurrency meanwhile."""

    def __enter__(self):
        self._job = running.get(None)
        if self._job is not None:
            self._job.waits(1)

    def __exit__(self, *_):
        if self._job is not None:
            self._job.waits(-1)
