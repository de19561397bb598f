\qecho '-- Three attempts, a second apart (the default is 13 over about an hour)'
SELECT defer.configure('compute_product_recommendation',
         max_attempts => 3, initial_interval => '1 s', multiplier => 1, randomization => 0);

\qecho '-- Each Monday at 08:00 UTC'
SELECT defer.cron('weekly_product_recommendations', '0 8 * * 1') AS schedule_id;
