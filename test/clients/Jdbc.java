// defer from Java: what doc/drivers.md says of JDBC.  usage: java Jdbc.java URL; prints TAP
import java.sql.*;
import java.time.*;
import org.postgresql.util.PGInterval;
import org.postgresql.util.PGobject;

public class Jdbc {
	static int count = 0;

	static void ok(boolean good, String name, Object seen) {
		System.out.println((good ? "ok " : "not ok ") + ++count + " - jdbc: " + name);
		if (!good) System.out.println("#   " + seen);
	}

	static PGobject json(String type, String text) throws SQLException {
		PGobject object = new PGobject();

		object.setType(type);
		object.setValue(text);
		return object;
	}

	static Object run(Connection connection, String sql, Object... values) throws SQLException {
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
			try (ResultSet result = statement.executeQuery()) {
				result.next();
				return result.getObject(1);
			}
		}
	}

	static void refused(Connection connection, String part, String name, String sql, Object... values) {
		try {
			ok(false, name, run(connection, sql, values));
		} catch (SQLException error) {
			ok(error.getMessage().contains(part), name, error.getMessage());
		}
	}

	// A job is taken, and ended with a result that is "value", by SQL that is "parameter"
	static void completes(Connection c, String name, String parameter, Object value) throws SQLException {
		Object id = run(c, "SELECT defer.enqueue(?)", "remote");
		Object token = null;

		while (token == null)
			token = run(c, "SELECT (SELECT token FROM defer.take(?))", c.createArrayOf("text", new String[] {"remote"}));
		if (value instanceof PGobject && !parameter.equals("?"))
			refused(c, "Cast it from json to jsonb", "complete: json needs ::jsonb", "SELECT defer.complete(?, ?, ?)", id, token, json("json", "{}"));
		run(c, "SELECT defer.complete(?, ?, " + parameter + ")", id, token, value);
		Object seen = run(c, "SELECT result ->> 'width' FROM defer.jobs WHERE id = ?", id);
		ok("7".equals(seen), "complete: " + name, seen);
	}

	public static void main(String[] args) throws Exception {
		try (Connection c = DriverManager.getConnection(args[0])) {
			for (String type : new String[] {"jsonb", "json"}) {
				Object id = run(c, "SELECT defer.enqueue(?, ?)", "app.send_invoice", json(type, "{\"invoice_id\": 42}"));
				Object result = run(c, "SELECT defer.await(?, '60 s')", id);
				ok(result.toString().equals("\"mail 42\""), type + " as PGobject, and the result", result);
			}
			completes(c, "jsonb as PGobject", "?", json("jsonb", "{\"width\": 7}"));
			completes(c, "json with ::jsonb", "?::jsonb", json("json", "{\"width\": 7}"));
			completes(c, "a String with ::jsonb", "?::jsonb", "{\"width\": 7}");
			Object id = run(c, "SELECT defer.enqueue(?, ?::jsonb, delay => ?, priority => ?, key => ?, max_attempts => ?)",
				"app.send_invoice", "[7]", new PGInterval("1 hour"), 5L, "7", 3L);
			Object seen = run(c, "SELECT priority || ' ' || (run_at > now() + '59 min') FROM defer.jobs WHERE id = ?", id);
			ok("5 true".equals(seen), "options, and a long for an integer", seen);
			ok(Boolean.TRUE.equals(run(c, "SELECT defer.cancel(?)", id)), "an id that came back can be given again", id);
			id = run(c, "SELECT defer.enqueue(?, ?::jsonb, run_at => ?)", "app.send_invoice", "[8]",
				OffsetDateTime.of(2100, 1, 1, 0, 0, 0, 0, ZoneOffset.UTC));
			ok("scheduled".equals(run(c, "SELECT state FROM defer.jobs WHERE id = ?", id)), "a time", id);
			id = run(c, "SELECT defer.later(?, ?, ?)", "app.send_invoice", 9L, "fax");
			seen = run(c, "SELECT defer.await(?, '60 s')", id);
			ok(seen.toString().equals("\"fax 9\""), "later: a long and a String", seen);
			refused(c, "out of range", "later: the value has to fit", "SELECT defer.later(?, ?)", "app.send_invoice", 1L << 40);
			seen = run(c, "SELECT max(ord) FROM defer.enqueue_many(?, ?::jsonb)", "app.send_invoice", "[{\"args\": [1]}, {\"args\": [2]}]");
			ok(Integer.valueOf(2).equals(seen), "many at once", seen);
			id = run(c, "SELECT defer.http(?, ?, ?, run_at => '2100-01-01')", "POST", "https://example.com/", "text");
			ok((Long) id > 0, "body of a request", id);
			id = run(c, "SELECT defer.http(?, ?, ?, run_at => '2100-01-01')", "POST", "https://example.com/", json("json", "{}"));
			ok((Long) id > 0, "json as body of a request", id);
			id = run(c, "SELECT defer.email(?, ?, ?, endpoint => 'mail', run_at => '2100-01-01')", "a@example.com", "Subject", "Text");
			ok((Long) id > 0, "one recipient", id);
			id = run(c, "SELECT defer.email(?, ?, ?, endpoint => 'mail', run_at => '2100-01-01')",
				c.createArrayOf("text", new String[] {"a@example.com", "b@example.com"}), "Subject", "Text");
			ok((Long) id > 0, "an array of recipients", id);
			for (Object limit : new Object[] {5, 6L, "none"})
				run(c, "SELECT defer.set_group(?, queue => ?, concurrency => ?)", "acme", "tenants", limit);
			refused(c, "does not exist", "a String is no jsonb without ::jsonb", "SELECT defer.enqueue(?, ?)", "app.send_invoice", "[1]");
			c.setAutoCommit(false);
			Object before = run(c, "SELECT count(*) FROM defer.jobs");
			run(c, "SELECT defer.enqueue(?, ?::jsonb)", "app.send_invoice", "[1]");
			c.rollback();
			ok(before.equals(run(c, "SELECT count(*) FROM defer.jobs")), "a rollback takes the job back", before);
			c.rollback();
			c.createStatement().execute("INSERT INTO app.fenced VALUES ('lost')");
			Savepoint savepoint = c.setSavepoint();
			refused(c, "is not held with this token", "a job that is not held", "SELECT defer.complete(0, gen_random_uuid())");
			c.rollback(savepoint);
			try {
				c.commit();
				ok(false, "whoever has lost a job cannot commit, whatever a savepoint has caught", "it has");
			} catch (SQLException error) {
				ok(error.getMessage().contains("cannot be committed"), "whoever has lost a job cannot commit, whatever a savepoint has caught", error);
			}
			c.rollback();
			ok(Long.valueOf(0).equals(run(c, "SELECT count(*) FROM app.fenced")), "and nothing of it is left", c);
		}
		System.out.println("1.." + count);
	}
}
