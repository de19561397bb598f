"""Options of tasks, schedules and calls, as arguments of defer's SQL functions."""
import datetime

from psycopg.types.json import Jsonb

from .errors import DeferError

SETTINGS = {
    'queue': 'text', 'priority': 'int4', 'max_attempts': 'int4', 'initial_interval': 'interval', 'multiplier': 'float8',
    'max_interval': 'interval', 'randomization': 'float8', 'concurrency': 'int4', 'at_limit': 'text', 'max_duration': 'interval',
    'discard_after': 'interval', 'group_by': 'text', 'group_concurrency': 'int4', 'rate': 'text', 'rate_burst': 'int4',
    'group_rate': 'text', 'group_rate_burst': 'int4', 'max_queued': 'int4', 'group_max_queued': 'int4',
}
CRON = {
    'timezone': 'text', 'overlap': 'text', 'catch_up': 'text', 'catch_up_window': 'interval', 'jitter': 'interval',
    'pause_after_failures': 'int4', 'max_runs': 'int4',
}
CALL = {
    'run_at': 'timestamptz', 'delay': 'interval', 'queue': 'text', 'priority': 'int8', 'key': 'text', 'on_key': 'text',
    'key_for': 'interval', 'debounce_max': 'interval', 'discard_after': 'interval', 'metadata': 'jsonb', 'max_attempts': 'int8',
    'initial_interval': 'interval', 'multiplier': 'float8', 'max_interval': 'interval', 'randomization': 'float8',
    'max_duration': 'interval', 'group_key': 'text', 'after': 'int8[]', 'after_failure': 'text', 'when_done': 'text',
}


def check(options, known, what):
    for name in options:
        if name not in known:
            raise DeferError(f'{what} has no option "{name}": there are {", ".join(known)}')


def convert(kind, value):
    """A number is seconds where PostgreSQL wants an interval."""
    if kind == 'interval' and isinstance(value, (int, float)):
        return datetime.timedelta(seconds=value)
    return Jsonb(value) if kind == 'jsonb' else value


def call(function, first, named, known):
    """SQL and parameters of a call: (type, value) pairs by place, and arguments by name."""
    given = {name: value for name, value in named.items() if value is not None}
    places = [f'%s::pg_catalog.{kind}' for kind, _ in first] + [f'{name} => %s::pg_catalog.{known[name]}' for name in given]
    values = [convert(kind, value) for kind, value in first] + [convert(known[name], value) for name, value in given.items()]
    return f'{function}({", ".join(places)})', values
