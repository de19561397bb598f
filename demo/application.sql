-- What a marketplace already has, before defer: users, products, and a place for the mail that goes out.
-- Run with -v users=10000.

CREATE TABLE product (
	id			bigint PRIMARY KEY,
	category	int NOT NULL,
	sold		int NOT NULL		-- last week
);
INSERT INTO product
	SELECT p, p % 40, (p * 7919) % 1000 FROM generate_series(1, 2000) p;
CREATE INDEX ON product (category, sold DESC);

CREATE TABLE app_user (
	id				bigint PRIMARY KEY,
	email			text,			-- one of them has none
	favourite		int NOT NULL,	-- category
	weekly_product_recommendations boolean NOT NULL,
	mailbox_busy	boolean NOT NULL	-- refuses our first attempt
);
INSERT INTO app_user
	SELECT u, 'user' || u || '@shop.example', u % 40, true, u % 100 = 0
	  FROM generate_series(1, :users) u;
UPDATE app_user SET email = NULL WHERE id = :users / 2 + 1;
INSERT INTO app_user		-- and as many who do not want it
	SELECT u, 'user' || u || '@shop.example', u % 40, false, false
	  FROM generate_series(:users + 1, 2 * :users) u;

CREATE TABLE recommendation (
	user_id		bigint PRIMARY KEY,		-- twice would be an error
	products	bigint[] NOT NULL,
	mailed_to	text NOT NULL
);
ANALYZE;
