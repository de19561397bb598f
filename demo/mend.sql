\qecho '-- The user gets an address; the same job again, as a new one'
UPDATE app_user SET email = 'user' || id || '@shop.example' WHERE email IS NULL;
SELECT defer.rerun(id) FROM defer.jobs WHERE state = 'failed';
