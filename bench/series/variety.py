"""Jobs a second of many functions, queues and keys, against one function in one queue.
What PL/pgSQL itself loses when it is called for so many functions is measured beside it:
without any queue, a procedure that calls all of them in turn, or as often the first one."""
import pq
import workload

TITLE = "Variety"

SIMPLE = "plain: one function, one queue"
FUNCTIONS, QUEUES = "defer, 10,000 functions", "defer, 100 queues"
ALL = "defer, 10,000 functions, 100 queues, 1,000 keys"
FLOOR, FLOOR_MANY = "no queue at all: one function", "no queue at all: 10,000 functions"
MANY = 10000
FLOOR_LOOPS = 20
FLOOR_SESSIONS = 8

# The key differs for each job of a function: of 20 jobs of one function none has another's key
CASES = {
    SIMPLE: workload.ENQUEUE,
    FUNCTIONS: "SELECT max(defer.enqueue('work_' || g % {many}, jsonb_build_array(g))) FROM generate_series(1, {n}) g",
    QUEUES: "SELECT max(defer.enqueue('compute_product_recommendation', jsonb_build_array(g), queue => 'queue_' || g % 100))"
            " FROM generate_series(1, {n}) g",
    ALL: "SELECT max(defer.enqueue('work_' || g % {many}, jsonb_build_array(g), queue => 'queue_' || g % 100,"
         " key => 'key ' || (g / {many} + g * 7) % 1000)) FROM generate_series(1, {n}) g",
}

MAKE = """
DO $$
BEGIN
	FOR i IN 0 .. {many} - 1 LOOP
		EXECUTE format('CREATE FUNCTION work_%s(user_id bigint) RETURNS void LANGUAGE plpgsql AS '
					   '''BEGIN INSERT INTO recommendation (user_id, product_id) VALUES (user_id, {many}); END''', i);
	END LOOP;
	FOR i IN 0 .. 99 LOOP
		PERFORM defer.create_queue('queue_' || i);
	END LOOP;
END $$"""


def bare_loop(name, functions):
    """A procedure that calls these, each call in a transaction of its own"""
    return (f"CREATE PROCEDURE {name}(first bigint, loops bigint) LANGUAGE plpgsql AS $$ BEGIN\n"
            "FOR i IN first .. first + loops - 1 LOOP\n"
            + "".join(f"PERFORM work_{n}(i); COMMIT;\n" for n in functions) + "END LOOP; END $$")


def floor_rate(bench, database, procedure, many):
    """Calls a second of the second half: in the first, functions are compiled and planned"""
    workload.fresh(bench, database)
    workload.run_together(database, [f"CALL {procedure}(1, {FLOOR_LOOPS})"] * FLOOR_SESSIONS, "off")
    with pq.Connection(database) as app:
        calls, seconds = app.rows(
            "SELECT count(*), extract(epoch FROM max(made_at) - min(made_at)) FROM recommendation"
            f" WHERE user_id > {FLOOR_LOOPS // 2}")[0]
    if int(calls) != FLOOR_SESSIONS * many * (FLOOR_LOOPS - FLOOR_LOOPS // 2):
        raise RuntimeError(f"{calls} calls were made")
    return (int(calls) - 1) / float(seconds)


def run(bench, series):
    for case in (FUNCTIONS, QUEUES, ALL):
        series.compare(case, SIMPLE, ("≥", 0.8))
    series.compare(FLOOR_MANY, FLOOR)
    bench.server.restart(defer__worker_idle_timeout="1min")
    database = bench.database("variety")
    many = bench.count(MANY)
    with pq.Connection(database) as app:
        app.run(MAKE.replace("{many}", str(many)),
                bare_loop("floor_one", [0] * many), bare_loop("floor_many", range(many)))
    # Not counted: each worker meets each function for the first time, and PL/pgSQL
    # plans a function's statements anew for its first five calls
    for case, count in ((FUNCTIONS, 2000000), (ALL, 200000)):
        workload.defer_jobs(bench, database, bench.count(count), CASES[case].replace("{many}", str(many)))
    for number in range(bench.rounds):
        for case, sql in CASES.items():
            series.add(case, workload.defer_jobs(bench, database, bench.count(200000),
                                                 sql.replace("{many}", str(many))), "jobs/s", number)
        series.add(FLOOR, floor_rate(bench, database, "floor_one", many), "calls/s", number)
        series.add(FLOOR_MANY, floor_rate(bench, database, "floor_many", many), "calls/s", number)
    bench.server.drop(database)
