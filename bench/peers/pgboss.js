// pg-boss.  One command a line on stdin, one answer (JSON) a line on stdout:
//   open                 install, and make the queue
//   insert N BATCH       jobs 1 to N, so many a call; answers with the seconds
//   work LOOPS BATCH     LOOPS loops fetch and complete BATCH jobs, until there are none
//   drain LOOPS BATCH    the same without the work; answers with jobs and seconds
//   one LOOPS BATCH      the same, but each job ends in a transaction of its own, with the work
//   listen               call probe(n) for each job, as boss.work() does
//   send N               one job
//   empty                remove all jobs
import readline from "node:readline";
import pg from "pg";
import { PgBoss } from "pg-boss";

const queue = "work";
let boss;
let pool;

async function loops(count, batch, end) {
  const start = performance.now();
  const loop = async () => {
    for (let jobs = 0; ; ) {
      const fetched = await boss.fetch(queue, { batchSize: Number(batch) });
      if (fetched.length === 0) return jobs;
      await end(fetched);
      jobs += fetched.length;
    }
  };
  const jobs = await Promise.all(Array.from({ length: Number(count) }, loop));

  return { jobs: jobs.reduce((a, b) => a + b), seconds: (performance.now() - start) / 1000 };
}

async function inTransaction(job) {
  const client = await pool.connect();
  const db = { executeSql: (text, values) => client.query(text, values) };

  await client.query("BEGIN");
  await client.query({
    name: "work",
    text: "SELECT compute_product_recommendation($1)",
    values: [job.data.user_id],
  });
  await boss.complete(queue, job.id, null, { db });
  await client.query("COMMIT");
  client.release();
}

const commands = {
  async open() {
    const where = {
      host: process.env.PGHOST,
      port: Number(process.env.PGPORT),
      database: process.env.PGDATABASE,
      user: process.env.PGUSER,
    };
    boss = new PgBoss({ ...where, max: 10, supervise: false, schedule: false });
    boss.on("error", (error) => console.error(error.message));
    await boss.start();
    await boss.createQueue(queue);
    pool = new pg.Pool({ max: 24 });
    pool.on("error", () => {});
  },
  async insert(count, batch) {
    const start = performance.now();
    for (let first = 1; first <= Number(count); first += Number(batch)) {
      const jobs = [];
      for (let i = first; i <= Math.min(first + Number(batch) - 1, Number(count)); i++)
        jobs.push({ data: { user_id: i } });
      await boss.insert(queue, jobs);
    }
    return { seconds: (performance.now() - start) / 1000 };
  },
  async work(count, batch) {
    const one = (job) =>
      pool.query({
        name: "work",
        text: "SELECT compute_product_recommendation($1)",
        values: [job.data.user_id],
      });
    await loops(count, batch, async (jobs) => {
      await Promise.all(jobs.map(one));
      await boss.complete(queue, jobs.map((job) => job.id));
    });
  },
  drain: (count, batch) => loops(count, batch, (jobs) => boss.complete(queue, jobs.map((job) => job.id))),
  one: (count, batch) =>
    loops(count, batch, async (jobs) => {
      for (const job of jobs) await inTransaction(job);
    }),
  async listen() {
    await boss.work(queue, ([job]) => pool.query("SELECT probe($1)", [job.data.n]));
  },
  async send(n) {
    await boss.send(queue, { n: Number(n) });
  },
  async empty() {
    await pool.query("TRUNCATE pgboss.job");
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
