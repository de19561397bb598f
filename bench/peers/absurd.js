// Absurd: tasks of ten steps, each a row.  One command a line on stdin, one answer (JSON) a
// line on stdout.  Tasks are added by SQL.
//   work LOOPS           run tasks, so many at a time
//   stop                 and wait for those that run
import readline from "node:readline";
import pg from "pg";
import { Absurd } from "absurd-sdk";

const pool = new pg.Pool({ max: 24 });
const silent = { log() {}, info() {}, warn: console.error, error: console.error };
const app = new Absurd({ db: pool, queueName: "steps", log: silent });
let worker;

pool.on("error", () => {});
app.registerTask({ name: "ten_steps" }, async ({ first }, context) => {
  for (let i = 0; i < 10; i++)
    await context.step(`row ${i}`, async () => {
      await pool.query({
        name: "work",
        text: "SELECT compute_product_recommendation($1)",
        values: [first + i],
      });
      return null;
    });
});

const commands = {
  async work(loops) {
    worker = await app.startWorker({ concurrency: Number(loops), claimTimeout: 600, pollInterval: 0.01 });
  },
  async stop() {
    await worker.close();
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
