import { currentJob, defer, email } from "defer-postgres";
import type { User } from "../users";

// The recommendation, the e-mail and the end of the job are one transaction: each user gets one mail
const computeProductRecommendation = async (user: User) => {
  const client = await currentJob().client();
  const { rows } = await client.query(
    "SELECT id, name FROM product WHERE category = $1 ORDER BY sold DESC LIMIT 3", [user.favourite]);

  await client.query("INSERT INTO recommendation (user_id, products) VALUES ($1, $2)", [user.id, rows.map(({ id }) => id)]);
  await email(user.email, "Chosen for you this week", `You might like: ${rows.map(({ name }) => name).join(", ")}.`);
};

export default defer(computeProductRecommendation, { retry: { maxAttempts: 3, initialInterval: "1 s" } });
