-- What a marketplace already has, before defer: users and products.
-- Run with -v users=1000.

CREATE TABLE product (
	id			bigint PRIMARY KEY,
	category	int NOT NULL,
	name		text NOT NULL,
	price		numeric NOT NULL,
	sold		int NOT NULL		-- last week
);
INSERT INTO product
	SELECT p, p % 10,
		   ('{Oak,Linen,Copper,Walnut,Felt,Glass,Clay,Wool,Birch}'::text[])[1 + p / 10 % 9] || ' ' ||
		   ('{bowl,lamp,chair,kettle,rug,clock,vase,mirror,shelf,teapot}'::text[])[1 + p % 10] || ' by ' ||
		   ('{Ada,Björn,Chloé,Dmitri,Eşref,Fernão,Gülcan}'::text[])[1 + p / 90 % 7],
		   10 + p * 31 % 190, (p * 7919) % 1000
	  FROM generate_series(1, 630) p;
CREATE INDEX ON product (category, sold DESC);

CREATE TABLE app_user (
	id			bigint PRIMARY KEY,
	name		text NOT NULL,
	email		text,				-- one of them has none
	favourite	int NOT NULL,		-- category
	weekly_product_recommendations boolean NOT NULL
);
INSERT INTO app_user		-- half of them want it
	SELECT u, ('{Zoë,Agnès,Bora,Çiğdem,Dana,Émile,Fabián}'::text[])[1 + u % 7],
		   'user' || u || '@shop.example', u % 10, u <= :users
	  FROM generate_series(1, 2 * :users) u;
UPDATE app_user SET email = NULL WHERE id = :users / 2 + 1;

CREATE TABLE recommendation (
	user_id		bigint PRIMARY KEY,		-- twice would be an error
	products	bigint[] NOT NULL
);
ANALYZE;
