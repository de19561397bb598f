-- The whole of it, on top of the application: two functions, a policy, a schedule.

-- one user: compute, send
CREATE FUNCTION compute_product_recommendation(user_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	who		app_user;
	best	bigint[];
	nth		int;
BEGIN
	SELECT * INTO STRICT who FROM app_user u WHERE u.id = user_id;
	SELECT array_agg(p.id) INTO best
	  FROM (SELECT id FROM product WHERE category = who.favourite
			 ORDER BY sold DESC LIMIT 3) p;

	INSERT INTO recommendation VALUES (who.id, best, coalesce(who.email, ''));

	IF who.email IS NULL THEN
		RAISE EXCEPTION 'user % has no e-mail address', who.id;
	ELSIF who.mailbox_busy THEN
		SELECT attempt INTO nth FROM defer.jobs WHERE id = defer.current_job();
		IF nth = 1 THEN
			RAISE EXCEPTION 'mailbox of % is busy', who.email;
		END IF;
		RAISE NOTICE 'mailbox of % took it at attempt %', who.email, nth;
	END IF;
END $$;

-- each Monday: one job for each user who wants it
CREATE FUNCTION weekly_product_recommendations() RETURNS bigint
LANGUAGE sql AS $$
  SELECT count(defer.enqueue('compute_product_recommendation',
                             jsonb_build_object('user_id', u.id)))
    FROM app_user u WHERE u.weekly_product_recommendations
$$;
