-- The whole of it, on top of the application: three functions.

-- one user: compute, keep, send
CREATE FUNCTION compute_product_recommendation(user_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	who		app_user;
	best	bigint[];
	list	text;
BEGIN
	SELECT * INTO STRICT who FROM app_user u WHERE u.id = user_id;
	SELECT array_agg(p.id), string_agg(format('* %s, € %s', p.name, p.price), E'\n')
	  INTO best, list
	  FROM (SELECT * FROM product WHERE category = who.favourite
			 ORDER BY sold DESC LIMIT 3) p;

	INSERT INTO recommendation VALUES (who.id, best);
	IF who.email IS NULL THEN
		RAISE EXCEPTION 'user % has no e-mail address', who.id;
	END IF;
	PERFORM defer.email(who.email, format('%s, chosen for you this week', who.name),
						format(E'Dear %s,\n\nthis week you might like\n\n%s\n', who.name, list));
END $$;

-- when all mails are out: one to the team.  Who was served is two jobs, this one and the mail
CREATE FUNCTION tell_the_team() RETURNS bigint
LANGUAGE sql AS $$
  SELECT defer.email('team@shop.example', 'The weekly recommendations are out',
                     format('%s sent, %s failed',
                            sum(b.jobs) FILTER (WHERE b.state = 'succeeded')::bigint / 2,
                            sum(b.jobs) FILTER (WHERE b.state = 'failed')))
    FROM defer.batch() b
$$;

-- each Monday: one job for each user who wants it
CREATE FUNCTION weekly_product_recommendations() RETURNS bigint
LANGUAGE sql AS $$
  SELECT defer.when_done('tell_the_team', deep => true);
  SELECT count(defer.enqueue('compute_product_recommendation',
                             jsonb_build_object('user_id', u.id)))
    FROM app_user u WHERE u.weekly_product_recommendations
$$;
