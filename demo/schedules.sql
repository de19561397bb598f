SELECT name, function, schedule, description, next_runs FROM defer.schedules;
