"""Tasks and schedules of the code, in the database.

What was declared last is kept with the task, in $comment of its schema, as JSON {app, version, declared}. It is applied
again if the code says another thing, and not if the one that said it last had a higher version.
"""
import json
import logging

import psycopg

from . import options

log = logging.getLogger('defer_postgres')


def _last(schema):
    try:
        return json.loads(schema['$comment'])
    except (TypeError, KeyError, ValueError):
        return None     # not ours, or none


def _schema(schema, app, version, declared):
    return {**(schema or {}), '$comment': json.dumps({'app': app, 'version': version, 'declared': declared})}


def _call(conn, function, first, named, known):
    text, values = options.call(function, first, named, known)
    conn.execute(f'SELECT {text}', values)


def _declare(conn, task, app, version):
    now = json.loads(json.dumps({'settings': task.settings, 'schedule': task.schedule, 'cron': task.cron, 'schema': task.schema},
                                default=str))
    found = conn.execute("SELECT schema, owner::text, pg_catalog.pg_has_role(owner, 'MEMBER') FROM defer.tasks "
                         'WHERE name OPERATOR(pg_catalog.=) %s::pg_catalog.text', [task.name]).fetchone()
    if found is None:
        _call(conn, 'defer.create_task', [('text', task.name)],
              {**task.settings, 'schema': _schema(task.schema, app, version, now)}, {**options.SETTINGS, 'schema': 'jsonb'})
        log.info('task %s: created', task.name)
    else:
        schema, owner, mine = found
        last = _last(schema)
        if last and last['app'] != app:
            raise psycopg.ProgrammingError(f'task "{task.name}" is declared by the application "{last["app"]}", and this one is "{app}"')
        if last and last['declared'] == now:
            if mine and version > last['version']:
                _call(conn, 'defer.alter_task', [('text', task.name), ('jsonb', _schema(task.schema, app, version, now))], {}, {})
            return
        if not mine:
            log.warning('task %s: its settings differ from those of the code, but it belongs to role %s: left as it is', task.name, owner)
            return
        if last and last['version'] > version:
            log.warning('task %s: declared by version %s, later than this one: left as it is', task.name, last['version'])
            return
        if task.settings or last and last['declared']['settings']:
            _call(conn, 'defer.configure', [('text', task.name)], {**task.settings, 'reset': True},
                  {**options.SETTINGS, 'reset': 'bool'})
        kept = task.schema if task.schema is not None or last else schema
        _call(conn, 'defer.alter_task', [('text', task.name), ('jsonb', _schema(kept, app, version, now))], {}, {})
        log.info('task %s: changed', task.name)
    if task.schedule is not None:
        _call(conn, 'defer.cron', [('text', task.name), ('text', task.schedule), ('text', task.name)], task.cron, options.CRON)
        log.info('schedule %s: %s', task.name, task.schedule)


def _drop_missing(conn, tasks, app, version, prune):
    rows = conn.execute('SELECT s.id, s.name, t.schema FROM defer.schedules s JOIN defer.tasks t '
                        'ON t.name OPERATOR(pg_catalog.=) s.name AND t.name OPERATOR(pg_catalog.=) s.function '
                        "WHERE pg_catalog.pg_has_role(t.owner, 'MEMBER') AND s.owner OPERATOR(pg_catalog.=) t.owner "
                        'ORDER BY s.name').fetchall()
    for schedule, name, schema in rows:
        last = _last(schema)
        if not last or last['app'] != app or last['version'] > version or name in tasks and tasks[name].schedule is not None:
            continue
        if not prune:
            log.warning('schedule %s: the code does not declare it any more; --prune removes it', name)
            continue
        conn.execute('SELECT defer.unschedule(%s::pg_catalog.int8)', [schedule])
        log.info('schedule %s: removed', name)
        if name not in tasks:
            declared = {**last['declared'], 'schedule': None, 'cron': {}}
            _call(conn, 'defer.alter_task', [('text', name), ('jsonb', _schema(schema, app, version, declared))], {}, {})


def declare(conn, tasks, app, version=0, prune=False):
    """Declare the tasks, {name: Task}, each in a transaction of its own. Two workers may do so at the same time."""
    for task in tasks.values():
        for again in range(3, -1, -1):
            try:
                with conn.transaction():
                    _declare(conn, task, app, version)
                break
            except psycopg.Error as error:
                if again == 0 or error.sqlstate not in ('42710', '23505', '40001', '40P01'):
                    raise
    with conn.transaction():
        _drop_missing(conn, tasks, app, version, prune)
