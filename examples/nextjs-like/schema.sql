-- The marketplace, and what its application needs to use defer.  As a superuser, in a new database.
CREATE EXTENSION IF NOT EXISTS defer;
DO $$ BEGIN CREATE ROLE shop_app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON SCHEMA defer TO shop_app;
GRANT EXECUTE ON FUNCTION defer.email TO shop_app;
SELECT defer.grant_tasks('shop_app');

CREATE TABLE app_user (
	id			bigint PRIMARY KEY,
	email		text,			-- one of them has none
	favourite	int NOT NULL,	-- category of products
	weekly_product_recommendations boolean NOT NULL
);
INSERT INTO app_user SELECT u, 'user' || u || '@shop.example', u % 10, true FROM generate_series(1, 1000) u;
UPDATE app_user SET email = NULL WHERE id = 500;

CREATE TABLE product (
	id			bigint PRIMARY KEY,
	category	int NOT NULL,
	name		text NOT NULL,
	sold		int NOT NULL	-- last week
);
INSERT INTO product
	SELECT p, p % 10, ('{Oak,Linen,Copper,Walnut,Felt,Glass,Clay,Wool,Birch}'::text[])[1 + p / 10 % 9] || ' ' ||
		   ('{bowl,lamp,chair,kettle,rug,clock,vase,mirror,shelf,teapot}'::text[])[1 + p % 10], (p * 7919) % 1000
	  FROM generate_series(1, 90) p;

CREATE TABLE recommendation (
	user_id		bigint NOT NULL,
	week		date NOT NULL DEFAULT date_trunc('week', now()),
	products	bigint[] NOT NULL
);
GRANT SELECT ON app_user, product TO shop_app;
GRANT SELECT, INSERT ON recommendation TO shop_app;
