-- The work, the same for everybody: one PL/pgSQL function that inserts one row.
-- made_at is what rates are taken from: the clock of the server, read by the work itself.
CREATE TABLE recommendation (
	user_id		bigint NOT NULL,
	product_id	bigint NOT NULL,
	made_at		timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION compute_product_recommendation(user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO recommendation (user_id, product_id) VALUES (user_id, user_id % 1000);
END $$;

-- The floor: nothing but the function, each call a transaction of its own
CREATE PROCEDURE bare_floor(first bigint, last bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. last LOOP
		PERFORM compute_product_recommendation(i);
		COMMIT;
	END LOOP;
END $$;

-- The queue that everybody writes first
CREATE TABLE plain_queue (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id		bigint NOT NULL
);
