"""The little of libpq that the benchmark needs, through ctypes.

No package has to be installed for it, and a call costs a few microseconds, so
that latencies can be measured from here.  Calls release Python's lock: threads
with a connection each really run side by side.
"""
import ctypes
import ctypes.util

_pq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")


def _declare(name, result, *arguments):
    function = getattr(_pq, name)
    function.restype = result
    function.argtypes = arguments
    return function


_P, _S, _I = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_connect = _declare("PQconnectdb", _P, _S)
_status = _declare("PQstatus", _I, _P)
_error = _declare("PQerrorMessage", _S, _P)
_finish = _declare("PQfinish", None, _P)
_exec = _declare("PQexec", _P, _P, _S)
_send = _declare("PQsendQuery", _I, _P, _S)
_get = _declare("PQgetResult", _P, _P)
_result_status = _declare("PQresultStatus", _I, _P)
_result_error = _declare("PQresultErrorMessage", _S, _P)
_ntuples = _declare("PQntuples", _I, _P)
_nfields = _declare("PQnfields", _I, _P)
_value = _declare("PQgetvalue", _S, _P, _I, _I)
_is_null = _declare("PQgetisnull", _I, _P, _I, _I)
_clear = _declare("PQclear", None, _P)
_pid = _declare("PQbackendPID", _I, _P)

_GOOD = (0, 1, 2)               # empty query, command, tuples


class Error(Exception):
    """What the server, or libpq, had to say."""


class Connection:
    """One session; host, port and the like are taken from the environment."""

    def __init__(self, database, user="app", settings=None):
        options = "-c client_min_messages=warning"
        for name, value in (settings or {}).items():
            options += f" -c {name}={value}"
        self.handle = _connect(
            f"dbname={database} user={user} application_name=bench options='{options}'".encode())
        if _status(self.handle) != 0:
            message = _error(self.handle).decode()
            _finish(self.handle)
            raise Error(message)
        self.pid = _pid(self.handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.handle:
            _finish(self.handle)
            self.handle = None

    def _rows(self, result):
        try:
            if _result_status(result) not in _GOOD:
                raise Error((_result_error(result) or _error(self.handle)).decode())
            return [tuple(None if _is_null(result, i, j) else _value(result, i, j).decode()
                          for j in range(_nfields(result)))
                    for i in range(_ntuples(result))]
        finally:
            _clear(result)

    def rows(self, sql):
        """Run statements; the rows of the last one, as tuples of text."""
        return self._rows(_exec(self.handle, sql.encode()))

    def run(self, *statements):
        for sql in statements:
            self.rows(sql)

    def value(self, sql):
        rows = self.rows(sql)
        return rows[0][0] if rows else None

    def integer(self, sql):
        return int(self.value(sql))

    def send(self, sql):
        """Start statements without waiting; finish() must follow."""
        if not _send(self.handle, sql.encode()):
            raise Error(_error(self.handle).decode())

    def finish(self):
        """Wait for what send() has started; the rows of the last statement."""
        rows, failure = [], None
        while True:
            result = _get(self.handle)
            if not result:
                break
            try:
                rows = self._rows(result)
            except Error as error:
                failure = failure or error
        if failure:
            raise failure
        return rows
