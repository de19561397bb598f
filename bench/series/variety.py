"""Jobs a second of many functions, queues and keys, against one function in one queue."""
import pq
import workload

TITLE = "Variety"

SIMPLE = "plain: one function, one queue"
FUNCTIONS, QUEUES = "defer, 10,000 functions", "defer, 100 queues"
ALL = "defer, 10,000 functions, 100 queues, 1,000 keys"
MANY = 10000

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


def run(bench, series):
    for case in (FUNCTIONS, QUEUES, ALL):
        series.compare(case, SIMPLE, ("≥", 0.8))
    bench.server.restart(defer__worker_idle_timeout="1min")
    database = bench.database("variety")
    many = bench.count(MANY)
    with pq.Connection(database) as app:
        app.run(MAKE.replace("{many}", str(many)))
    # Not counted: each worker meets each function for the first time, and PL/pgSQL
    # plans a function's statements anew for its first five calls
    for case, count in ((FUNCTIONS, 1000000), (ALL, 200000)):
        workload.defer_jobs(bench, database, bench.count(count), CASES[case].replace("{many}", str(many)))
    for number in range(bench.rounds):
        for case, sql in CASES.items():
            series.add(case, workload.defer_jobs(bench, database, bench.count(200000),
                                                 sql.replace("{many}", str(many))), "jobs/s", number)
    bench.server.drop(database)
