import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, allowExitOnIdle: true });

export interface User { id: string; email: string; favourite: number }

export async function optedIn(): Promise<User[]> {
  const { rows } = await pool.query("SELECT id, email, favourite FROM app_user WHERE weekly_product_recommendations ORDER BY id");
  return rows;
}
