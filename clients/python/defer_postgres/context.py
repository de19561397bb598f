"""The job that the running code belongs to: one a thread, one an asyncio task."""
import contextvars

from .errors import DeferError

running = contextvars.ContextVar('defer_postgres.job')


def current():
    """The running job; an error outside of one."""
    job = running.get(None)
    if job is None:
        raise DeferError('this code does not run in a job of a worker: give a connection, task.using(conn).enqueue(...)')
    return job
