// Queues whose workers use SQL: defer's tasks, pgmq, Absurd.  One command a line on stdin,
// one answer (JSON) a line on stdout:
//   drain QUEUE LOOPS BATCH   LOOPS loops, each with a connection, take and end BATCH jobs, until
//                             there are none; answers with jobs and seconds
//   one QUEUE LOOPS BATCH     the same, but each job ends in a transaction of its own, which
//                             calls compute_product_recommendation(), by one statement
//   listen                    defer's worker of Node.js runs the task "probe"
//   times                     when its handler was called: {n: seconds since 1970}
//   stop                      ends the worker
// Connections come from PG* in the environment.
import readline from "node:readline";
import pg from "pg";
import { defer } from "defer-postgres";

// take: id, token and args of up to $1 jobs.  end_all: of $1 ids and $2 tokens.  end_one: of the
// id $1 and the token $2, together with the work for user $3
const queues = {
  defer: {
    take: "SELECT id, token, args FROM defer.take('{work}', n => $1::int)",
    end_all: "SELECT defer.complete_many($1::bigint[], $2::uuid[])",
    end_one: "SELECT compute_product_recommendation($3::bigint), defer.complete($1::bigint, $2::uuid)",
  },
  pgmq: {
    take: "SELECT msg_id AS id, msg_id AS token, message AS args FROM pgmq.read('work', 300, $1::int)",
    end_all: "SELECT count(*) FROM pgmq.archive('work', $1::bigint[]) WHERE $2::text[] IS NOT NULL",
    end_one: "SELECT compute_product_recommendation($3::bigint), pgmq.archive('work', $1::bigint), $2::text",
  },
  absurd: {
    take: "SELECT run_id AS id, run_id AS token, params AS args FROM absurd.claim_task('work', 'bench', 300, $1::int)",
    end_all: "SELECT count(absurd.complete_run('work', id)) FROM unnest($1::uuid[]) id WHERE $2::text[] IS NOT NULL",
    end_one: "SELECT compute_product_recommendation($3::bigint), absurd.complete_run('work', $1::uuid), $2::text",
  },
};

async function loop(sql, batch, end) {
  const client = new pg.Client();
  let jobs = 0;

  await client.connect();
  for (;;) {
    const { rows } = await client.query({ name: "take", text: sql.take, values: [batch] });

    if (rows.length === 0) break;
    await end(client, rows);
    jobs += rows.length;
  }
  await client.end();
  return jobs;
}

async function loops(name, count, batch, end) {
  const start = performance.now();
  const jobs = await Promise.all(Array.from({ length: Number(count) }, () => loop(queues[name], Number(batch), end)));

  return { jobs: jobs.reduce((a, b) => a + b), seconds: (performance.now() - start) / 1000 };
}

let times = {};
let worker;
const probe = async (n) => {
  times[n] = (performance.timeOrigin + performance.now()) / 1000;
};

const commands = {
  drain: (name, count, batch) =>
    loops(name, count, batch, (client, rows) =>
      client.query({
        name: "end",
        text: queues[name].end_all,
        values: [rows.map(({ id }) => id), rows.map(({ token }) => token)],
      }),
    ),
  one: (name, count, batch) =>
    loops(name, count, batch, async (client, rows) => {
      for (const { id, token, args } of rows)
        await client.query({ name: "end", text: queues[name].end_one, values: [id, token, args.user_id] });
    }),
  async listen() {
    const { Worker } = await import("./node_modules/defer-postgres/lib/worker.js");
    const { declared } = await import("./node_modules/defer-postgres/lib/functions.js");
    const { logger } = await import("./node_modules/defer-postgres/lib/log.js");

    worker = new Worker({
      declarations: [declared(defer(probe))],
      concurrency: 10,
      lease: 60,
      grace: 5,
      app: "bench",
      version: 0,
      log: logger("error"),
    });
    worker.ended = worker.run();
  },
  times() {
    const now = times;

    times = {};
    return { times: now };
  },
  async stop() {
    worker.stop();
    await worker.ended;
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [command, ...rest] = line.split(" ");
  try {
    console.log(JSON.stringify({ ok: true, ...(await commands[command](...rest)) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack ?? error) }));
  }
}
process.exit(0);
