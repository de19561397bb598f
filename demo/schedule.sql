\qecho '-- Each Monday at 08:00 UTC'
SELECT defer.cron('weekly_product_recommendations', '0 8 * * 1') AS schedule_id;
SELECT description, next_run_at FROM defer.schedules;

\qecho '-- Three attempts, a second apart (the default is 13 over about an hour)'
\o /dev/null
SELECT defer.configure('compute_product_recommendation',
         max_attempts => 3, initial_interval => '1 s', multiplier => 1, randomization => 0);
SELECT defer.configure('defer.email',
         max_attempts => 3, initial_interval => '1 s', multiplier => 1, randomization => 0);
\o

\qecho
\qecho '-- If a user cannot be served, Slack is told; what happens within three seconds is one message'
\o /dev/null
SELECT defer.endpoint('team', 'slack', :'slack_url');
SELECT defer.alert('users not served', 'team', group_window => '3 s');
\o
