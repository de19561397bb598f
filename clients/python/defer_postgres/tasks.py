"""@task, @cron, and the calls that enqueue."""
import inspect

import psycopg

from . import options
from .context import current
from .errors import DeferError

registry = {}       # name -> Task


class Task:
    """A function whose calls can be enqueued. Called, it runs here and now, as before."""

    def __init__(self, function, name, settings, schedule=None, cron=None, schema=None):
        self.function, self.name, self.settings = function, name, settings
        self.schedule, self.cron, self.schema = schedule, cron or {}, schema
        self.__name__, self.__doc__ = name, function.__doc__

    def __call__(self, *args, **named):
        return self.function(*args, **named)

    def arguments(self, args, named):
        """A list, or a dict by name; an error at once if the function does not take them."""
        signature = inspect.signature(self.function)
        try:
            bound = signature.bind(*args, **named)
        except TypeError as error:
            raise DeferError(f'task "{self.name}": {error}') from None
        if not named:
            return list(args)
        kinds = {parameter.name: parameter.kind for parameter in signature.parameters.values()}
        by_place = [name for name in bound.arguments if name not in named and kinds[name] is not inspect.Parameter.VAR_KEYWORD]
        if any(kinds[name] in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY) for name in by_place):
            raise DeferError(f'task "{self.name}": these arguments cannot all be given by name')
        return {**{name: bound.arguments[name] for name in by_place}, **named}

    def enqueue(self, *args, **named):
        """Enqueue a call in the transaction of the running job; returns the job's id."""
        return self.using().enqueue(*args, **named)

    async def aenqueue(self, *args, **named):
        return await self.using().aenqueue(*args, **named)

    def using(self, conn=None, **given):
        """The task with options of defer.enqueue(), and in the transaction of a connection of yours."""
        options.check(given, options.CALL, 'a call')
        return Call(self, conn, given)


class Call:
    def __init__(self, task, conn, given):
        self.task, self.conn, self.given = task, conn, given

    def _statement(self, args, named):
        if self.task.schedule is not None:
            raise DeferError(f'"{self.task.name}" is run by its schedule: use trigger() to run it now')
        return statement(self.task.name, self.task.arguments(args, named), self.given)

    def enqueue(self, *args, **named):
        sql = self._statement(args, named)
        return (self.conn or current().connection()).execute(*sql).fetchone()[0]

    async def aenqueue(self, *args, **named):
        sql = self._statement(args, named)
        conn = self.conn or await current().aconnection()
        return (await (await conn.execute(*sql)).fetchone())[0]


def statement(name, args, given):
    text, values = options.call('defer.enqueue', [('text', name), ('jsonb', args)], given, options.CALL)
    return f'SELECT {text}', values


def enqueue(conn, name, args=None, **given):
    """Enqueue a job of a function or task by name, with a list or a dict of arguments, in the transaction of the
    connection; returns its id, of an AsyncConnection something to await."""
    options.check(given, options.CALL, 'a call')
    sql = statement(name.name if isinstance(name, Task) else name, args, given)
    if isinstance(conn, psycopg.AsyncConnection):
        async def wait():
            return (await (await conn.execute(*sql)).fetchone())[0]
        return wait()
    return conn.execute(*sql).fetchone()[0]


def trigger(conn, scheduled):
    """Run a scheduled task now, besides its times; returns the job's id."""
    return conn.execute('SELECT defer.trigger(%s::pg_catalog.text)', [scheduled.name]).fetchone()[0]


def _register(function, name, settings, **more):
    options.check(settings, options.SETTINGS, 'a task')
    made = Task(function, name or function.__name__, settings, **more)
    if made.name in registry:
        raise DeferError(f'there are two tasks "{made.name}"')
    registry[made.name] = made
    return made


def task(function=None, *, name=None, schema=None, **settings):
    """A task of the function's name, with settings of defer.configure(): @task or @task(max_attempts=5)."""
    if function is not None:
        return _register(function, name, settings)
    return lambda given: _register(given, name, settings, schema=schema)


def cron(schedule, *, name=None, **given):
    """A task that a schedule runs: @cron("0 8 * * 1", timezone="Europe/Paris")."""
    cron_options = {option: given.pop(option) for option in list(given) if option in options.CRON}

    def register(function):
        if inspect.signature(function).parameters:
            raise DeferError(f'a scheduled function takes no arguments, but "{function.__name__}" does')
        return _register(function, name, given, schedule=schedule, cron=cron_options)
    return register
