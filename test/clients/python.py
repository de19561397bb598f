"""defer from Python: what doc/drivers.md says of psycopg2, psycopg, asyncpg, SQLAlchemy and
Django.  usage: python.py DRIVER URL; prints TAP."""
import asyncio
import datetime
import json
import sys

DRIVER, URL = sys.argv[1:3]
HOUR = datetime.timedelta(hours=1)
LATER = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)
count = 0


def ok(good, name, seen=None):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {DRIVER}: {name}")
    if not good:
        print(f"#   {seen!r}")


def is_(seen, expected, name):
    ok(seen == expected, name, seen)


def refused(call, part, name):
    """The call raises an error of the server that has this text in it."""
    try:
        ok(False, name, call())
    except Exception as error:
        ok(part in str(error), name, str(error))


EFFECT, LOST = "INSERT INTO app.fenced VALUES ('lost')", "SELECT defer.complete(0, gen_random_uuid())"
EFFECTS = "SELECT count(*) FROM app.fenced"


def fenced(run, transaction):
    """A transaction that does not hold the job it wants to end cannot commit what it has written, though the driver's
    savepoint has caught the error: transaction() executes EFFECT, and LOST in a savepoint, and commits."""
    refused(transaction, "cannot be committed", "whoever has lost a job cannot commit, whatever a savepoint has caught")
    is_(run(EFFECTS, []), 0, "and nothing of it is left")


def common(run, in_transaction, as_json):
    """What holds for all: run(SQL, values) returns the first value of the first row, and
    commits; in_transaction(SQL, values) rolls back; as_json makes a parameter of a value.
    SQL has %s for parameters."""
    id_ = run("SELECT defer.enqueue(%s, %s)", ["app.send_invoice", as_json({"invoice_id": 42})])
    is_(run("SELECT defer.await(%s, '60 s')", [id_]), "mail 42", "arguments by name, and the result")
    id_ = run("SELECT defer.enqueue(%s, %s, delay => %s, priority => %s, key => %s, metadata => %s, max_attempts => %s)",
              ["app.send_invoice", as_json([7, "fax"]), HOUR, 5, "7", as_json({"order": 7}), 3])
    is_(run("SELECT priority || ' ' || (metadata ->> 'order') || ' ' || (run_at > now() + '59 min')"
            " FROM defer.jobs WHERE id = %s", [id_]), "5 7 true", "options")
    is_(run("SELECT outcome FROM defer.enqueue_one(%s, %s, key => %s)", ["app.send_invoice", as_json([7]), "7"]),
        "kept", "enqueue_one")
    run("SELECT defer.cancel(%s)", [id_])
    id_ = run("SELECT defer.enqueue(%s, %s, run_at => %s, delay => %s)", ["app.send_invoice", as_json([8]), LATER, None])
    is_(run("SELECT (run_at = '2100-01-01 00:00Z')::text FROM defer.jobs WHERE id = %s", [id_]), "true",
        "a time, and None as if not given")
    is_(run("SELECT defer.cancel(%s)::text", [id_]), "true", "an id that came back can be given again")
    is_(run("SELECT max(ord) FROM defer.enqueue_many(%s, %s, metadata => %s)",
            ["app.send_invoice", as_json([{"args": [1]}, {"args": [2], "delay": "1 hour", "priority": 3}]),
             as_json({"tenant": "acme"})]), 2, "many at once")
    before = run("SELECT count(*) FROM defer.jobs", [])
    in_transaction("SELECT defer.enqueue(%s, %s)", ["app.send_invoice", as_json([1])])
    is_(run("SELECT count(*) FROM defer.jobs", []), before, "a rollback takes the job back")
    for body in ("text", as_json({"order": 1})):
        id_ = run("SELECT defer.http(%s, %s, %s, run_at => %s)", ["POST", "https://example.com/", body, LATER])
        ok(id_ > 0, "body of a request", id_)
    id_ = run("SELECT defer.email(%s, %s, %s, endpoint => 'mail', run_at => %s)",
              ["a@example.com", "Subject", "Text", LATER])
    ok(id_ > 0, "one recipient", id_)
    run("SELECT defer.enqueue(%s, %s, run_at => %s, queue => %s, group_key => %s)",
        ["app.send_invoice", as_json([9]), LATER, "tenants", "acme"])
    for limit in (5, "none"):
        run("SELECT defer.set_group(%s, queue => %s, concurrency => %s)", ["acme", "tenants", limit])
        is_(run("SELECT coalesce(concurrency::text, 'none') FROM defer.groups"
                " WHERE kind = 'queue' AND name = %s AND group_key = %s", ["tenants", "acme"]), str(limit),
            f"limit of a group: {limit}")
    refused(lambda: run("SELECT defer.enqueue(%s, %s)", ["app.send_invoice", as_json(["x"])]),
            "cannot be converted to type integer", "an argument that is not right is an error of the call")


def completes(run, name, value, needs_cast=False):
    """A job is taken, and ended with a result, which defer.complete() takes as jsonb."""
    id_ = run("SELECT defer.enqueue(%s)", ["remote"])
    token = None
    while token is None:
        token = run("SELECT (SELECT token FROM defer.take(%s))", [["remote"]])
    if needs_cast:
        refused(lambda: run("SELECT defer.complete(%s, %s, %s)", [id_, token, value]), "Cast it from json to jsonb",
                f"complete: {name} needs ::jsonb")
    run(f"SELECT defer.complete(%s, %s, %s{'::jsonb' if needs_cast else ''})", [id_, token, value])
    is_(run("SELECT result FROM defer.jobs WHERE id = %s", [id_]), {"width": 7}, f"complete: {name}")


def dbapi(driver):
    if driver == "psycopg2":
        import psycopg2
        from psycopg2.extras import Json
        connection = psycopg2.connect(URL)
        json_kinds = {"Json": Json}
    else:
        import psycopg
        from psycopg.types.json import Json, Jsonb
        connection = psycopg.connect(URL, prepare_threshold=None)
        json_kinds = {"Jsonb": Jsonb, "Json": Json}

    def run(sql, values):
        with connection.cursor() as cursor:
            try:
                cursor.execute(sql, values)
                value = cursor.fetchone()[0]
                connection.commit()
                return value
            except Exception:
                connection.rollback()
                raise

    def in_transaction(sql, values):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
        connection.rollback()

    def transaction():
        """As psycopg2 has no wrapper, by statements; psycopg's own."""
        if driver == "psycopg":
            with connection.transaction():
                connection.execute(EFFECT)
                try:
                    with connection.transaction():
                        connection.execute(LOST)
                except psycopg.Error:
                    pass
            return
        try:
            with connection.cursor() as cursor:
                cursor.execute(EFFECT)
                cursor.execute("SAVEPOINT s")
                try:
                    cursor.execute(LOST)
                except psycopg2.Error:
                    cursor.execute("ROLLBACK TO s")
            connection.commit()
        finally:
            connection.rollback()

    fenced(run, transaction)
    for name, kind in json_kinds.items():
        common(run, in_transaction, kind)
        completes(run, name, kind({"width": 7}), driver == "psycopg" and name == "Json")
        print(f"# that was {name}")
    completes(run, "a str", json.dumps({"width": 7}))
    id_ = run("SELECT defer.later(%s, %s, %s)", ["app.price", 3, 1.5])
    is_(float(run("SELECT defer.await(%s, '60 s')", [id_])), 4.5, "later: an int and a float for integer and numeric")
    id_ = run("SELECT defer.later(%s, %s, %s)", ["app.send_invoice", "9", "fax"])
    is_(run("SELECT defer.await(%s, '60 s')", [id_]), "fax 9", "later: texts")
    refused(lambda: run("SELECT defer.later(%s, %s)", ["app.send_invoice", 2 ** 40]), "out of range", "later: the value has to fit")
    mixed = ["app.send_invoice", 9, "fax"]
    if driver == "psycopg":
        refused(lambda: run("SELECT defer.later(%s, %s, %s)", mixed), "could not determine data type",
                "later: a str beside a number needs its type")
        id_ = run("SELECT defer.later(%s, %s, %s::text)", mixed)
    else:
        id_ = run("SELECT defer.later(%s, %s, %s)", mixed)
    is_(run("SELECT defer.await(%s, '60 s')", [id_]), "fax 9", "later: a number and a text")
    two = ["a@example.com", "b@example.com"]
    if driver == "psycopg":
        refused(lambda: run("SELECT defer.email(%s, 'Subject', 'Text', endpoint => 'mail')", [two]),
                "the text of an array", "a list of recipients needs its type")
    id_ = run("SELECT defer.email(%s::text[], 'Subject', 'Text', endpoint => 'mail', run_at => %s)", [two, LATER])
    ok(id_ > 0, "a list of recipients", id_)
    id_ = run("SELECT defer.enqueue('app.send_invoice', '[1]', after => %s)", [[id_]])
    is_(run("SELECT state FROM defer.jobs WHERE id = %s", [id_]), "waiting", "a list of ids")
    refused(lambda: run("SELECT defer.enqueue('app.send_invoice', '[1]', delay => %s)", [300]), "does not exist",
            "a number is no length of time")


async def with_asyncpg():
    """It asks the server for the types of parameters, and sends values as these."""
    import asyncpg
    connection = await asyncpg.connect(URL, statement_cache_size=0)
    args = json.dumps([42])
    id_ = await connection.fetchval("SELECT defer.enqueue($1, $2, delay => $3, metadata => $4, priority => $5)",
                                    "app.send_invoice", args, HOUR, json.dumps({"order": 7}), 5)
    is_(await connection.fetchval("SELECT metadata ->> 'order' FROM defer.jobs WHERE id = $1", id_), "7",
        "parameters are jsonb and interval")
    is_(await connection.fetchval("SELECT max(ord) FROM defer.enqueue_many($1, $2)", "app.send_invoice",
                                  json.dumps([{"args": [1]}, {"args": [2]}])), 2, "many at once")
    id_ = await connection.fetchval("SELECT defer.later($1, $2, $3)", "app.send_invoice", "9", "fax")
    is_(await connection.fetchval("SELECT defer.await($1, '60 s')", id_), '"fax 9"', "later takes texts")
    ok(await connection.fetchval("SELECT defer.email($1, $2, $3, endpoint => 'mail', run_at => $4)", "a@example.com",
                                 "Subject", "Text", LATER) > 0, "one recipient")
    ok(await connection.fetchval("SELECT defer.email($1::text[], $2, $3, endpoint => 'mail', run_at => $4)",
                                 ["a@example.com", "b@example.com"], "Subject", "Text", LATER) > 0, "a list of recipients")
    taken = None
    await connection.execute("SELECT defer.enqueue('remote')")
    while taken is None:
        taken = await connection.fetchrow("SELECT id, token FROM defer.take($1)", ["remote"])
    await connection.execute("SELECT defer.complete($1, $2, $3)", taken["id"], taken["token"], '{"width": 7}')
    is_(await connection.fetchval("SELECT result ->> 'width' FROM defer.jobs WHERE id = $1", taken["id"]), "7",
        "complete: the token as a UUID, and jsonb")
    try:
        async with connection.transaction():
            await connection.execute(EFFECT)
            try:
                async with connection.transaction():
                    await connection.execute(LOST)
            except asyncpg.PostgresError:
                pass
        ok(False, "a transaction that has lost its job is refused")
    except asyncpg.PostgresError as error:
        ok("cannot be committed" in str(error), "a transaction that has lost its job is refused", error)
    is_(await connection.fetchval(EFFECTS), 0, "and nothing of it is left")
    await connection.close()


def with_sqlalchemy():
    from sqlalchemy import JSON, cast, create_engine, func, select, text
    from sqlalchemy.dialects.postgresql import JSONB
    from sqlalchemy.exc import DBAPIError
    engine = create_engine(URL)

    def numbered(sql, values):
        names = [f"p{i}" for i in range(len(values))]
        return text(sql.replace("%s", ":{}").format(*names)), dict(zip(names, values))

    def run(sql, values):
        with engine.begin() as connection:
            return connection.execute(*numbered(sql, values)).scalar()

    def in_transaction(sql, values):
        with engine.connect() as connection:
            transaction = connection.begin()
            connection.execute(*numbered(sql, values))
            transaction.rollback()

    def fencing():
        with engine.begin() as connection:
            connection.execute(text(EFFECT))
            try:
                with connection.begin_nested():
                    connection.execute(text(LOST))
            except DBAPIError:
                pass

    fenced(run, fencing)
    common(run, in_transaction, json.dumps)
    with engine.begin() as connection:
        for kind in (JSONB, JSON):
            id_ = connection.execute(select(func.defer.enqueue("app.send_invoice", cast([1], kind)))).scalar()
            ok(id_ > 0, f"func.defer.enqueue with {kind.__name__}", id_)


def with_django():
    import django
    from django.conf import settings
    from urllib.parse import urlparse
    parts = urlparse(URL)
    settings.configure(USE_TZ=True, DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": parts.path[1:], "USER": parts.username,
        "HOST": parts.hostname, "PORT": parts.port, "DISABLE_SERVER_SIDE_CURSORS": True}})
    django.setup()
    from django.db import DatabaseError, connection, models, transaction

    class Job(models.Model):
        id = models.BigIntegerField(primary_key=True)
        state = models.TextField()
        args = models.JSONField()

        class Meta:
            app_label = "app"
            managed = False
            db_table = 'defer"."jobs'

    def run(sql, values):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, values)
            value = cursor.fetchone()[0]
            # Django reads jsonb as text
            return json.loads(value) if isinstance(value, str) and value.startswith('"') else value

    def in_transaction(sql, values):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, values)
            transaction.set_rollback(True)

    def fencing():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(EFFECT)
            try:
                with transaction.atomic():
                    cursor.execute(LOST)
            except DatabaseError:
                pass

    fenced(run, fencing)
    common(run, in_transaction, json.dumps)
    id_ = run("SELECT defer.enqueue('app.send_invoice', %s, run_at => %s)", [json.dumps([5]), LATER])
    is_((Job.objects.get(pk=id_).state, Job.objects.get(pk=id_).args), ("scheduled", [5]), "a model of defer.jobs")


if DRIVER == "asyncpg":
    asyncio.run(with_asyncpg())
elif DRIVER == "sqlalchemy":
    with_sqlalchemy()
elif DRIVER == "django":
    with_django()
else:
    dbapi(DRIVER)
print(f"1..{count}")
