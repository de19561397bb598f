"""Errors that a caller or a handler can tell apart."""
import psycopg

LOST, CANCELLED, ENDED = 'DF030', 'DF031', 'DF032'      # SQLSTATEs of tokens
CONFLICTS = ('40001', '40P01')      # with other transactions: nothing was done


class DeferError(Exception):
    """An error of the client; the server's are psycopg's own, with their SQLSTATE."""


class Fail(DeferError):
    """Raise it in a task: the attempt has failed; it is repeated in retry_in, or never."""

    def __init__(self, message, retry=True, retry_in=None):
        super().__init__(message)
        self.retry, self.retry_in = retry, retry_in


class Release(DeferError):
    """Raise it in a task: the job is given back, can be taken again after delay, and uses no attempt."""

    def __init__(self, delay='0'):
        super().__init__(f'given back for {delay}')
        self.delay = delay


class JobFailed(DeferError):
    """Of results: the job did not succeed. state and sqlstate say how it has ended."""

    def __init__(self, message, job_id, state, sqlstate):
        super().__init__(message)
        self.id, self.state, self.sqlstate = job_id, state, sqlstate


class Stop(DeferError):
    """Raised by job.check(): the job is cancelled, lost, or given back. Nothing that it writes can be committed."""


def connection_lost(error):
    """Is it worth trying again with another connection?"""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate:
        return error.sqlstate.startswith('08') or error.sqlstate in ('57P01', '57P02', '57P03', '57P05', '53300')
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
