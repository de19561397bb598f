# The jobs of pg_cron become schedules that fire at the minutes at which pg_cron
# would have run them; what it never ran is not active; notes say what differs.
#
# How pg_cron 1.4, 1.5 and 1.6 read a schedule is written down here a second
# time, and an extension of that name and version stands in for each of them.  The
# real one, whichever the machine has, is asked what it takes, and hands over jobs.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @texts = (
	# the same for both
	'0 8 * * 1', '*/5 8-17 * * 1-5', '* * * * *', '0 0 1 1 *', '15,45 */3 * * *', '0 0 13 * 5', '0 0 */2 * 1',
	'0 0 1-31/2 * 1', '30 3 * JAN-mar,Dec Mon-FRI', '0 12 * * 0-7', '0 12 * * 7', '0 0 * * */2', '0 0 * * */7',
	'0 0 * * 5-7', '5-59/7 1-23/5 * * *', '0 0 29 2 *', '007 08 * * *', '0 0 1,15 * sun', '@daily', '@midnight',
	'@weekly', '@monthly', '@hourly', '@yearly', '@annually',
	# what follows
	'0 0 8 * * 1', '*/5 * * * * *', '0 0 1 1 * 2024', '0 30 8 * * *', '@daily 8', '0 8 * * 1 # Monday', '0 0 * * * root work',
	# what follows a value
	'0 9 * * 5#3', '0 9 * * 1;3', '5-10-15 * * * *', '*5 * * * *', '1.5 * * * *', '*/5/2 * * * *', '0 0 1,2;3,4 * *', '0 8 * * mon-fri!',
	# ranges that go down
	'0 8 * * fri-mon', '0 12 * * sat-sun', '0 0 * * 5-1', '0 22-6 * * *', '0 20-10 * * *', '0 6-2 * * *', '0 22-6/2 * * *',
	'0 3,22-6 * * *', '58-2 * * * *', '0 0 1 nov-feb *', '0 0 20-10 * *', '0 0 6-2 * 5', '0 0 6 * 5-1', '17-9,40 * * * *',
	# steps
	'*/90 * * * *', '*/2,5 * */2,7 * 1', '0 0-23/30 * * *', '1/2 * * * *', '*/0 * * * *', '0 */24 * * *',
	# not for pg_cron, or for newer ones
	'0 0 L * *', '0 0 15W * *', '0 0 * * 5L', '0 0 ? * 5', '@Daily', '@reboot', '0 0 * * monday', '0 0 * *', '60 * * * *', '0, * * * *',
	'0 0 $ * *', '0 6 $ 2 1', '0 0 $,5 * *', '30 seconds', '1 second', '60 seconds', '30 second ',
	# never
	'0 0 30 2 *', '0 0 31 4,6 *',
	# lines
	"# each day\n0 0 * * *", "  0 0\t* * *\r\n", "0 0 * * *\n0 8 * * *", "0 0\n* * *", '# nothing', '');

my $large_step = qr{\*/90|0-23/30|\*/24};

# ------------------------------------------------------------------------
# pg_cron's reading
# ------------------------------------------------------------------------

my @fields = (
	[0, 59, {}], [0, 23, {}], [1, 31, {}],
	[1, 12, { map { (qw(jan feb mar apr may jun jul aug sep oct nov dec))[$_ - 1] => $_ } 1 .. 12 }],
	[0, 7, { map { (qw(sun mon tue wed thu fri sat))[$_] => $_ } 0 .. 6 }]);

# One item at the beginning of $$rest; adds to the set.  False: unreadable
sub take_item
{
	my ($rest, $set, $field, $minor) = @_;
	my ($low, $high, $names) = @$field;
	my $number = sub {
		my ($word, $names) = @_;
		return $names->{ lc $word } // ($word =~ /^\d+$/ ? 0 + $word : undef);
	};
	my ($from, $to, $step) = ($low, $high, 1);

	if ($$rest !~ s/^\*//)
	{
		$$rest =~ s/^([A-Za-z0-9]+)// or return 0;
		$from = $number->($1, $names) // return 0;
		if ($$rest !~ s/^-//)
		{
			return 0 if $$rest =~ /^\// or $from < $low or $from > $high;
			$set->{$from} = 1;
			return 1;
		}
		$$rest =~ s/^([A-Za-z0-9]+)// or return 0;
		$to = $number->($1, $names) // return 0;
	}
	if ($$rest =~ s/^\///)
	{
		$$rest =~ s/^([A-Za-z0-9]+)// or return 0;
		$step = $number->($1, {});
		return 0 unless $step;
	}
	return 0 if grep { $_ < $low or $_ > $high } $from, $to;
	if ($from > $to and $step == 1 and $minor >= 6)
	{
		# bytes of the set: the rest of one, the beginning of the other
		my ($first, $last) = ($from - $low, $to - $low);

		return 1 if $first >> 3 == $last >> 3;
		$set->{ $_ + $low } = 1 for $first .. ($first | 7), ($last & ~7) .. $last;
		return 1;
	}
	for (my $value = $from; $value <= $to; $value += $step)
	{
		$set->{$value} = 1;
	}
	return 1;
}

# undef: unreadable; a number: seconds; else five sets and how days are combined
sub pg_cron_reads
{
	my ($text, $minor) = @_;
	my %macros = (
		yearly => $minor >= 6 ? '' : '0 0 1 1 *', monthly => '0 0 1 * *', weekly => '0 0 * * 0',
		daily => '0 0 * * *', hourly => '0 * * * *', reboot => '');
	my $rest = $text;
	my @sets;
	my $both = 0;

	$macros{annually} = $macros{yearly};
	$macros{midnight} = $macros{daily};
	1 while $rest =~ s/^[ \t]*(#[^\n]*)?\n//;
	$rest =~ s/^[ \t]+//;
	if ($rest =~ /^@([^ \t\n]*)/ and exists $macros{$1})
	{
		return { never => 1 } if $macros{$1} eq '';
		$rest = $macros{$1};
	}
	foreach my $field (@fields)
	{
		my %set;
		my $good;

		$both = 1 if (@sets == 2 or @sets == 4) and $rest =~ /^\*/;
		if (@sets == 2 and $minor >= 6 and $rest =~ /^\$/)
		{
			$good = $rest =~ s/^\$[ \t]+//;
			$set{last} = 1;
		}
		else
		{
			do { $good = take_item(\$rest, \%set, $field, $minor) } while $good and $rest =~ s/^,//;
			$rest =~ s/^[^ \t\n]+//;
			$rest =~ s/^[ \t]+//;
		}
		if (!$good)
		{
			return $minor >= 5 && $text =~ /^\s*(\d+)\s*second(s\s*)?\z/i && $1 > 0 && $1 < 60 ? $1 : undef;
		}
		push @sets, \%set;
	}
	$sets[4]{0} = 1 if $sets[4]{7};
	return { sets => \@sets, both => $both };
}

# The first n minutes from 2024 to 2027, in UTC, as seconds since 1970
my $start = 1704067200;
sub pg_cron_runs
{
	my ($schedule, $n) = @_;
	my @runs;
	my ($minutes, $hours, $days, $months, $weekdays) = @{ $schedule->{sets} // return () };

	for (my $day = $start; $day < $start + 1461 * 86400 && @runs < $n; $day += 86400)
	{
		my (undef, undef, undef, $mday, $month, undef, $wday) = gmtime($day);
		my $by_day = $days->{$mday} || ($days->{last} && (gmtime($day + 86400))[3] == 1);
		my $by_weekday = $weekdays->{$wday};

		next if !$months->{ $month + 1 };
		next if $schedule->{both} ? !($by_day && $by_weekday) : !($by_day || $by_weekday);
		for my $hour (grep { $hours->{$_} } 0 .. 23)
		{
			push @runs, map { $day + $hour * 3600 + $_ * 60 } grep { $minutes->{$_} } 0 .. 59;
		}
	}
	splice(@runs, $n) if @runs > $n;
	return @runs;
}

# What was imported, by job
sub imported
{
	my ($node, $database) = @_;
	my %jobs;

	foreach my $line (split /\n/, $node->safe_psql($database, q{
		SELECT c.jobid, s.active, encode(convert_to(s.schedule, 'UTF8'), 'hex')
		  FROM cron.job c JOIN defer.schedules s ON s.name = COALESCE(c.jobname, 'pg_cron ' || c.jobid) AND s.owner = c.username
		 WHERE c.jobname LIKE 'text %' ORDER BY 1}))
	{
		my ($id, $active, $schedule) = split /\|/, $line;

		$jobs{$id} = { active => $active, schedule => pack('H*', $schedule) };
	}
	return \%jobs;
}

sub quote
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

# Job n has the n-th text.  Do schedules fire when pg_cron would?
sub compare_runs
{
	my ($node, $database, $minor) = @_;
	my $jobs = imported($node, $database);
	my $n = 3000;

	for my $i (0 .. $#texts)
	{
		my $theirs = pg_cron_reads($texts[$i], $minor);
		my $ours = $jobs->{ $i + 1 };
		my $what = "1.$minor: $texts[$i]";
		my @runs = ref $theirs ? pg_cron_runs($theirs, $n) : ();

		# 1.6.5 and later have refused it
		next if !$ours && $texts[$i] =~ $large_step;
		if (defined $theirs && !ref $theirs)
		{
			is($ours->{schedule}, "every $theirs second" . ($theirs == 1 ? '' : 's'), $what);
		}
		elsif (@runs == 0)
		{
			isnt($ours->{active}, 't', "$what is never run");
		}
		elsif (ok($ours && $ours->{active} eq 't', "$what is active"))
		{
			my $found = $node->safe_psql($database, 'SELECT extract(epoch FROM t)::bigint FROM defer.cron_next(' .
				quote($ours->{schedule}) . ", 'UTC', to_timestamp($start - 1), $n) t WHERE t < to_timestamp($start + 1461 * 86400)");

			ok($found eq join("\n", @runs), "$what: the same minutes as \"$ours->{schedule}\"");
		}
	}
	return;
}

# ------------------------------------------------------------------------
# An extension of that name
# ------------------------------------------------------------------------

my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
chomp(my $sharedir = `$pg_config --sharedir`);
chomp(my $libdir = `$pg_config --pkglibdir`);
my $folder = "$sharedir/extension";
my @made;
END { unlink @made if @made }

sub make_file
{
	my ($name, $content) = @_;

	open(my $file, '>', "$folder/$name") or die "$folder/$name: $!";
	print $file $content;
	close($file);
	push @made, "$folder/$name";
	return;
}

my $schema = q{
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint PRIMARY KEY, schedule text NOT NULL, command text NOT NULL,
	nodename text NOT NULL DEFAULT 'localhost', nodeport int NOT NULL DEFAULT current_setting('port')::int,
	database text NOT NULL DEFAULT current_database(), username text NOT NULL DEFAULT current_user%s);
GRANT SELECT ON cron.job TO PUBLIC;
ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY;
CREATE POLICY cron_job_policy ON cron.job USING (username = current_user);
};
my $stand_ins = -w $folder;

if ($stand_ins)
{
	make_file('pg_cron.control', "comment = 'stands in'\nrelocatable = false\n") if !-e "$folder/pg_cron.control";
	make_file('pg_cron--1.0-test.sql', sprintf($schema, ''));
	make_file('pg_cron--1.2-test.sql', sprintf($schema, ", active boolean NOT NULL DEFAULT true"));
	make_file("pg_cron--1.$_-test.sql",
		sprintf($schema, ", active boolean NOT NULL DEFAULT true, jobname text")) for 4 .. 6;
	make_file('pg_cron--2.0-test.sql', sprintf($schema, ''));
}

# ------------------------------------------------------------------------
# Versions, without the library
# ------------------------------------------------------------------------

my $node = PostgreSQL::Test::Cluster->new('stand_ins');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'defer'
max_worker_processes = 24
fsync = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; CREATE ROLE alice LOGIN; CREATE ROLE "Bob, ""B""" LOGIN; CREATE ROLE group_of_all NOLOGIN');

sub new_database
{
	my ($name, $sql) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, "CREATE EXTENSION defer; GRANT USAGE ON SCHEMA defer TO PUBLIC; $sql");
	return;
}

my $import = q{SELECT jobid, name, schedule, imported, note FROM defer.import_pg_cron()};

SKIP:
{
	skip "cannot write to $folder, so no extension stands in for pg_cron", 1 if !$stand_ins;

	for my $minor (4 .. 6)
	{
		new_database("v$minor", "CREATE EXTENSION pg_cron VERSION '1.$minor-test'; GRANT USAGE ON SCHEMA cron TO PUBLIC");
		$node->safe_psql("v$minor", join(";\n", map {
			"INSERT INTO cron.job (jobid, schedule, command, jobname) VALUES (" . ($_ + 1) . ', ' . quote($texts[$_]) . ", 'SELECT 1', 'text $_')"
		} 0 .. $#texts));
		my $jobs = $node->safe_psql("v$minor", 'SELECT count(*), count(*) FILTER (WHERE NOT imported AND note IS NULL) FROM defer.import_pg_cron()');

		is($jobs, @texts . '|0', "1.$minor: a row for each job, and a note if it was not imported");
		compare_runs($node, "v$minor", $minor);
		is($node->safe_psql("v$minor", q{SELECT DISTINCT overlap, catch_up, timezone, owner FROM defer.schedules}),
			'queue|none|UTC|postgres', "1.$minor: options");
	}

	# Notes
	my %at = map { $texts[$_] => $_ } 0 .. $#texts;
	my $of = sub { $node->safe_psql('v4', "SELECT note FROM defer.import_pg_cron() WHERE name = 'text $at{$_[0]}'") };

	is($of->('0 8 * * 1'), '', 'nothing to say about what is the same');
	is($of->('0 0 8 * * 1'),
		q{pg_cron runs "0 0 8 * * 1" as "0 0 8 * *" (At 00:00, on day 8 of the month), and so it was imported.} .
		q{ It ignores what follows the fifth field, "1". If "At 08:00, only on Monday" was meant:} .
		qq{ SELECT defer.alter_cron('text $at{'0 0 8 * * 1'}', schedule => '0 0 8 * * 1');}, 'six fields');
	like($of->('0 9 * * 5#3'), qr/It ignores "#3"\. If "At 09:00, on the third Friday of the month" was meant/, '5#3');
	like($of->('0 9 * * 1;3'), qr/and so it was imported\. It ignores ";3"\.$/, 'nobody knows what 1;3 was');
	like($of->('0 8 * * fri-mon'), qr/^pg_cron never runs .*The range "fri-mon" goes down.* as it was presumably meant: .* SELECT defer\.alter_cron\('.*', active => true\);$/, 'fri-mon');
	like($of->('@reboot'), qr/^Not imported: pg_cron runs it when the server starts/, '@reboot');
	like($of->('0 0 30 2 *'), qr/^pg_cron never runs .*Not imported: schedule can never fire/, '30 February');
	like($of->('0 0 L * *'), qr/^pg_cron cannot read .*presumably meant: At 00:00, on the last day/, 'what pg_cron cannot read');
	like($of->('*/90 * * * *'), qr/larger than any value.* If "Every 90 minutes" was meant/, '*/90');
	is($of->("# each day\n0 0 * * *"), 'Written "0 0 * * *" here.', 'another spelling');

	# The calls in the notes can be made
	my $calls = $node->safe_psql('v4', q{
		SELECT count(*) FILTER (WHERE call IS NOT NULL) > 15 FROM (
			SELECT substring(note FROM 'SELECT defer\.alter_cron\(.*\);') AS call FROM defer.import_pg_cron()) c});
	is($calls, 't', 'some notes have calls');
	is($node->safe_psql('v4', q{
		DO $$ DECLARE r record; BEGIN
			FOR r IN SELECT substring(note FROM 'SELECT (defer\.alter_cron\(.*\));') AS call FROM defer.import_pg_cron() LOOP
				CONTINUE WHEN r.call IS NULL;
				EXECUTE 'SELECT ' || r.call;
			END LOOP;
		END $$;
		SELECT schedule FROM defer.schedules WHERE name = 'text } . $at{'0 9 * * 5#3'} . q{'}), '0 9 * * 5#3', 'and they do what they say');

	# Whose they are, and where
	new_database('whose', q{CREATE EXTENSION pg_cron VERSION '1.6-test'; GRANT USAGE ON SCHEMA cron TO PUBLIC;
		INSERT INTO cron.job (jobid, schedule, command, username, jobname, active) VALUES
			(1, '0 1 * * *', 'SELECT 1', 'alice', 'nightly', true), (2, '0 2 * * *', 'SELECT 2', 'postgres', 'nightly', true),
			(3, '0 3 * * *', 'SELECT 3', 'Bob, "B"', NULL, true), (4, '0 4 * * *', 'SELECT 4', 'nobody_there', 'lost', true),
			(5, '0 5 * * *', 'SELECT 5', 'group_of_all', 'group', true), (6, '0 6 * * *', 'SELECT 6; SELECT 7', 'alice', 'two', true),
			(7, '0 7 * * *', 'SELEC 7', 'alice', 'bad', true), (8, '0 8 * * *', 'BEGIN', 'alice', 'begin', true),
			(9, '0 9 * * *', 'SELECT 9', 'alice', E'new\nline', true), (10, '0 10 * * *', 'SELECT 10', 'alice', repeat('x', 201), true),
			(11, '0 11 * * *', 'SELECT 11', 'alice', 'it''s "off"', false), (12, '0 12 * * *', 'SELECT 12', 'alice', NULL, true),
			(13, '0 13 * * *', 'SELECT 13', 'alice', 'pg_cron 12', true);
		INSERT INTO cron.job (jobid, schedule, command, jobname, nodename, nodeport, database) VALUES
			(20, '0 0 * * *', 'SELECT 20', 'other host', 'db.example.com', current_setting('port')::int, 'whose'),
			(21, '0 0 * * *', 'SELECT 21', 'other port', 'localhost', 1, 'whose'),
			(22, '0 0 * * *', 'SELECT 22', 'other database', 'localhost', current_setting('port')::int, 'template1'),
			(23, '0 0 * * *', 'SELECT 23', 'socket', '/tmp', current_setting('port')::int, 'whose'),
			(24, '0 0 * * *', 'SELECT 24', 'mine', 'localhost', current_setting('port')::int, 'whose');
		CREATE FUNCTION own() RETURNS void LANGUAGE sql AS ''; SELECT defer.cron('own', '@daily', name => 'mine')});

	# as alice: hers, and nothing of anybody else's
	is($node->safe_psql('whose', "SET ROLE alice; SELECT string_agg(jobid::text, ' ' ORDER BY jobid) FROM defer.import_pg_cron()"),
		'1 6 7 8 9 10 11 12 13', 'a role sees its own');
	is($node->safe_psql('whose', 'SELECT DISTINCT owner FROM defer.schedules WHERE name <> $$mine$$'), 'alice', 'and imports its own');
	# one who is shown the others' may not import them
	is($node->safe_psql('whose', q{ALTER ROLE mallory BYPASSRLS; SET ROLE mallory;
		SELECT count(*), count(*) FILTER (WHERE imported), count(*) FILTER (WHERE note LIKE '%only superusers%') FROM defer.import_pg_cron();
		RESET ROLE; ALTER ROLE mallory NOBYPASSRLS}), '18|0|17', 'who sees others\' jobs imports none of them');

	is($node->safe_psql('whose', q{SELECT jobid, name, imported, left(note, 60) FROM defer.import_pg_cron()}),
		join("\n",
			'1|nightly|t|', '2|nightly|t|', '3|pg_cron 3|t|', '4|lost|f|Not imported: the role "nobody_there" does not exist.',
			'5|group|t|Its runs wait: its role may not log in.', '6|two|f|Not imported: a command is one statement, and these are 2. F',
			'7|bad|f|Not imported: syntax error at or near "SELEC".', '8|begin|f|Not imported: BEGIN cannot be run as a job. A job is a trans',
			'9|pg_cron 9|t|Renamed: the name of a schedule must not contain control cha', '10|pg_cron 10|t|Renamed: the name of a schedule must have 1 to 200 bytes.',
			qq{11|it's "off"|t|}, '12|pg_cron 12|f|Not imported: job 13 of that role is called "pg_cron 12".', '13|pg_cron 12|t|',
			'20|other host|f|Not imported: it runs on the server at "db.example.com", por', '21|other port|f|Not imported: it runs on the server at "localhost", port 1, ',
			'22|other database|f|Not imported: it runs in the database "template1". Make the ', '23|socket|t|',
			'24|mine|f|Not imported: there is a schedule "mine" of public.own().'), 'a superuser imports all, and a bad job stops no other');
	is($node->safe_psql('whose', q{SELECT owner, name, active FROM defer.schedules WHERE name IN ('nightly', 'pg_cron 3', 'it''s "off"') ORDER BY 1, 2}),
		qq{Bob, "B"|pg_cron 3|t\nalice|it's "off"|f\nalice|nightly|t\npostgres|nightly|t}, 'owners, and whether they are active');
	is($node->safe_psql('whose', q{SELECT function, command FROM defer.schedule WHERE name = 'pg_cron 3'}), 'defer.command|SELECT 3', 'commands');

	# Again: in place
	is($node->safe_psql('whose', q{
		SELECT defer.alter_cron('socket', active => false, overlap => 'skip', priority => 7, jitter => '1 s', group_key => 'g',
			starts_at => '2020-01-01', ends_at => '2100-01-01', max_runs => 9, pause_after_failures => 4);
		UPDATE cron.job SET schedule = '0 9 * * 1', command = 'SELECT 99' WHERE jobname = 'socket';
		CREATE TEMP TABLE before AS SELECT id FROM defer.schedule WHERE name = 'socket';
		SELECT note FROM defer.import_pg_cron() WHERE name = 'socket';
		SELECT s.id = b.id, s.schedule, s.command, s.active, s.overlap, s.priority, s.jitter, s.group_key,
			s.starts_at IS NOT NULL, s.ends_at IS NOT NULL, s.max_runs, s.pause_after_failures FROM defer.schedule s, before b WHERE s.name = 'socket'}),
		"\n\nt|0 9 * * 1|SELECT 99|f|skip|7|00:00:01|g|t|t|9|4", 'what was imported before is changed in place, and keeps what pg_cron does not know');

	# For looking only
	is($node->safe_psql('whose', q{
		SELECT defer.unschedule('socket'); SELECT count(*) FROM defer.import_pg_cron(deactivate => false) WHERE imported;
		SELECT active FROM defer.schedules WHERE name = 'socket'}), "t\n9\nf", 'with deactivate => false new ones are not active');

	# What their owners have written is quoted on one short line, and the calls stay calls
	new_database('written', q{CREATE EXTENSION pg_cron VERSION '1.6-test'; INSERT INTO cron.job (jobid, schedule, command, username, jobname) VALUES
		(1, '@daily', E'\\u001b[2J\n' || repeat('x', 1000), 'mallory', 'long'), (2, E'0 0 * * * \u001b[2J', 'SELECT 1', 'mallory', 'escape'),
		(3, '0 0 8 * * 1', 'SELECT 1', 'mallory', $$x', active => true); ALTER ROLE mallory SUPERUSER; --\$$)});
	is($node->safe_psql('written', q{SELECT count(*) FROM defer.import_pg_cron() WHERE note ~ '[\x01-\x1f]' OR length(note) > 400}), '0', 'notes have one line');
	is($node->safe_psql('written', q{SELECT substring(note FROM 'SELECT defer.*') FROM defer.import_pg_cron() WHERE jobid = 3}),
		q{SELECT defer.alter_cron(E'x'', active => true); ALTER ROLE mallory SUPERUSER; --\\\\', schedule => '0 0 8 * * 1'); as the role mallory}, 'a name is a name');

	# Older tables
	new_database('v0', "CREATE EXTENSION pg_cron VERSION '1.0-test'; INSERT INTO cron.job VALUES (1, '\@daily', 'SELECT 1')");
	is($node->safe_psql('v0', $import), '1|pg_cron 1|@daily|t|', '1.0: without active and jobname');
	new_database('v2', "CREATE EXTENSION pg_cron VERSION '1.2-test'; INSERT INTO cron.job (jobid, schedule, command, active) VALUES (1, '\@daily', 'SELECT 1', false)");
	is($node->safe_psql('v2', $import), '1|pg_cron 1|@daily|t|Not active, as in pg_cron.', '1.2: without jobname');
	new_database('two', "CREATE EXTENSION pg_cron VERSION '2.0-test'");
	my ($status, $stdout, $stderr) = $node->psql('two', $import);
	like($stderr, qr/version "2\.0-test" of pg_cron is not known/, 'a version to come');

	# Settings that anybody can make in the library's absence are not believed
	is($node->safe_psql('v2', qq{SET cron.timezone = 'Asia/Tokyo'; SET cron.database_name = 'x'; SET cron.launch_active_jobs = on; SET cron.use_background_workers = on;
		UPDATE cron.job SET schedule = '0 0 \$ * *', nodeport = 1; $import}), '1|pg_cron 1|0 0 $ * *|f|Not imported: it runs on the server at "localhost", port 1, and this one is at port ' . $node->port . '.',
		'settings of nobody');
	is($node->safe_psql('v2', qq{SET cron.timezone = 'Asia/Tokyo'; SET cron.launch_active_jobs = on;
		UPDATE cron.job SET schedule = '0 22-6 * * *', nodeport = current_setting('port')::int; SELECT imported FROM defer.import_pg_cron(); SELECT timezone, active FROM defer.schedules}),
		"t\nUTC|f", 'nor their zone');

	# The table of the extension, but in other hands
	new_database('hands', "CREATE EXTENSION pg_cron VERSION '1.6-test'; ALTER TABLE cron.job OWNER TO mallory; GRANT ALL ON SCHEMA cron TO mallory");
	($status, $stdout, $stderr) = $node->psql('hands', $import);
	like($stderr, qr/cron\.job belongs to the role "mallory"/, 'a table that has been given away');
}

# ------------------------------------------------------------------------
# Somebody else's schema of that name
# ------------------------------------------------------------------------

new_database('planted', 'GRANT CREATE ON DATABASE planted TO mallory; GRANT CREATE ON SCHEMA public TO mallory');
my ($status, $stdout, $stderr) = $node->psql('planted', $import);
like($stderr, qr/pg_cron is not installed in this database/, 'no pg_cron');
$node->safe_psql('planted', 'SET ROLE mallory; CREATE SCHEMA cron; GRANT ALL ON SCHEMA cron TO PUBLIC');
my $trap = q{CREATE OR REPLACE FUNCTION cron.trap() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN ALTER ROLE mallory SUPERUSER; RETURN NULL; END$$;
	CREATE OR REPLACE FUNCTION cron.alter_job(bigint, text, text, text, text, boolean) RETURNS void LANGUAGE sql AS 'ALTER ROLE mallory SUPERUSER';
	CREATE OR REPLACE FUNCTION cron.take() RETURNS bigint LANGUAGE plpgsql AS $$BEGIN ALTER ROLE mallory SUPERUSER; RETURN 1; END$$;};
my $columns = q{'* * * * *'::text AS schedule, 'ALTER ROLE mallory SUPERUSER'::text AS command, 'localhost'::text AS nodename,
	current_setting('port')::int AS nodeport, 'planted'::text AS database, 'postgres'::text AS username, true AS active, 'x'::text AS jobname};
my %planted = (
	'a table' => qq{CREATE TABLE cron.job AS SELECT 1::bigint AS jobid, $columns;
		CREATE TRIGGER t AFTER UPDATE ON cron.job FOR EACH STATEMENT EXECUTE FUNCTION cron.trap();
		ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON cron.job USING (cron.take() = 1)},
	'a view' => qq{CREATE VIEW cron.job AS SELECT cron.take() AS jobid, $columns},
	'a partitioned table' => q{CREATE TABLE cron.job (jobid bigint) PARTITION BY LIST (jobid)},
	'a sequence' => q{CREATE SEQUENCE cron.job},
	'a type' => q{CREATE TYPE cron.job AS (jobid bigint)},
	'an index' => q{CREATE TABLE cron.other (jobid bigint); CREATE INDEX job ON cron.other (jobid)});

foreach my $what (sort keys %planted)
{
	$node->safe_psql('planted', "SET ROLE mallory; $trap $planted{$what}; GRANT ALL ON ALL TABLES IN SCHEMA cron TO PUBLIC");
	($status, $stdout, $stderr) = $node->psql('planted', $import);
	like($stderr, qr/cron\.job is not the table of the extension pg_cron|pg_cron is not installed|not a table|is an index|is a composite type/, "$what called cron.job is refused");
	$node->safe_psql('planted', 'SET ROLE mallory; DROP SCHEMA cron CASCADE; CREATE SCHEMA cron; GRANT ALL ON SCHEMA cron TO PUBLIC');
}
is($node->safe_psql('planted', q{SELECT rolsuper, (SELECT count(*) FROM defer.schedules) FROM pg_roles WHERE rolname = 'mallory'}), 'f|0', 'and nobody is the worse for it');
$node->stop;

# ------------------------------------------------------------------------
# The real one
# ------------------------------------------------------------------------

SKIP:
{
	skip "pg_cron is not installed ($libdir/pg_cron.so, Debian package postgresql-NN-cron)", 1
		if !-e "$libdir/pg_cron.so" || !-e "$folder/pg_cron--1.0.sql";

	my $real = PostgreSQL::Test::Cluster->new('real');
	my $host = $real->host;

	$real->init;
	$real->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'defer,pg_cron'
cron.host = '$host'
cron.timezone = 'Europe/Berlin'
max_worker_processes = 24
fsync = off
});
	$real->start;
	$real->safe_psql('postgres', q{
		CREATE EXTENSION defer; CREATE EXTENSION pg_cron;
		CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN;
		GRANT USAGE ON SCHEMA defer, cron TO PUBLIC});
	my $settings = $real->safe_psql('postgres', q{
		SELECT count(*) FILTER (WHERE name = 'cron.timezone'), count(*) FILTER (WHERE name = 'cron.launch_active_jobs') FROM pg_settings});
	my $minor = { '0|0' => 4, '1|0' => 5, '1|1' => 6 }->{$settings};
	my $version = $real->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'});

	note("pg_cron $version, the library is 1.$minor");

	# What is unreadable is refused; from 1.6.5 on large steps, too
	$real->safe_psql('postgres', 'CREATE TABLE text (id int, text text, taken boolean);' . join(';', map {
		"INSERT INTO text VALUES ($_, " . quote($texts[$_]) . ')' } 0 .. $#texts));
	$real->safe_psql('postgres', q{
		DO $$ DECLARE t record; BEGIN
			FOR t IN SELECT * FROM text ORDER BY id LOOP
				BEGIN
					PERFORM cron.schedule('text ' || t.id, t.text, 'SELECT 1');
					UPDATE text SET taken = true WHERE id = t.id;
				EXCEPTION WHEN OTHERS THEN
					UPDATE text SET taken = false WHERE id = t.id;
				END;
			END LOOP;
		END $$});
	foreach my $line (split /\n/, $real->safe_psql('postgres', 'SELECT id, taken FROM text ORDER BY id'))
	{
		my ($i, $taken) = split /\|/, $line;

		next if $texts[$i] =~ $large_step;
		is($taken, defined pg_cron_reads($texts[$i], $minor) ? 't' : 'f', "pg_cron takes or refuses: $texts[$i]");
	}
	# ids as compare_runs() wants them
	$real->safe_psql('postgres', q{UPDATE cron.job SET jobid = 1000 + jobid; UPDATE cron.job SET jobid = substr(jobname, 6)::int + 1;
		SELECT setval('cron.jobid_seq', 1000)});
	is($real->safe_psql('postgres', q{SELECT count(*) FROM defer.import_pg_cron(deactivate => false);
		SELECT count(*) FROM cron.job WHERE NOT active; SELECT count(*) FROM defer.schedules WHERE active}),
		$real->safe_psql('postgres', 'SELECT count(*) FROM cron.job') . "\n0\n0", 'with deactivate => false pg_cron goes on');
	is($real->safe_psql('postgres', q{BEGIN; SELECT count(*) > 20 FROM defer.import_pg_cron() WHERE imported; ROLLBACK;
		SELECT count(*) FROM cron.job WHERE NOT active}), "t\n0", 'rolled back: neither');
	$real->safe_psql('postgres', 'SELECT defer.unschedule(name) FROM defer.schedules');
	is($real->safe_psql('postgres', q{
		CREATE TABLE outcome AS SELECT * FROM defer.import_pg_cron();
		SELECT count(*) FROM cron.job c JOIN outcome o USING (jobid) WHERE c.active = o.imported}), '0', 'each imported job, and no other, is switched off');
	compare_runs($real, 'postgres', $minor);
	is($real->safe_psql('postgres', 'SELECT DISTINCT timezone FROM defer.schedules'), $minor >= 5 ? 'Europe/Berlin' : 'UTC', 'the zone that pg_cron has');

	# Roles
	$real->safe_psql('postgres', "SET ROLE $_; SELECT cron.schedule('job of $_', '30 2 * * *', 'SELECT 1')") for qw(alice bob);
	my ($status, $stdout, $stderr) = $real->psql('postgres', "SET ROLE alice; $import");
	like($stderr, qr/permission denied to switch off jobs of pg_cron.*cron\.alter_job\(\).*deactivate => false/s, 'pg_cron lets not everybody switch off jobs');
	is($real->safe_psql('postgres', 'SET ROLE alice; SELECT name, imported FROM defer.import_pg_cron(deactivate => false); SELECT name, active FROM defer.schedules'),
		"job of alice|t\njob of alice|f", 'but they can import their own');
	is($real->safe_psql('postgres', q{
		SELECT defer.unschedule('job of alice');
		GRANT EXECUTE ON FUNCTION cron.alter_job(bigint, text, text, text, text, boolean) TO alice;
		SET ROLE alice; SELECT name, imported FROM defer.import_pg_cron(); SELECT name, active FROM defer.schedules; RESET ROLE;
		SELECT jobname, active FROM cron.job WHERE jobname LIKE 'job of %' ORDER BY 1}),
		"t\njob of alice|t\njob of alice|t\njob of alice|f\njob of bob|t", 'who may, does');

	# What the zone changes
	my $clocks = $real->safe_psql('postgres', q{SELECT note FROM defer.import_pg_cron() WHERE name = 'job of bob'});

	if ($minor >= 5)
	{
		like($clocks, qr/Around the change of clocks at .* pg_cron would run it never, defer runs it once\./, 'a time in the gap');
		like($clocks, qr/Around the change of clocks at .* pg_cron would run it twice, defer runs it once\./, 'a time in the overlap');
	}
	else
	{
		is($clocks, '', 'UTC has no gaps');
	}

	# Runs go from one to the other
	SKIP:
	{
		skip "pg_cron $version has no intervals in seconds", 1 if $minor < 5;

		$real->safe_psql('postgres', q{
			CREATE TABLE ran (by_defer boolean);
			SELECT cron.schedule('beat', '1 second', 'INSERT INTO public.ran SELECT backend_type LIKE ''defer%'' FROM pg_stat_activity WHERE pid = pg_backend_pid()')});
		ok($real->poll_query_until('postgres', 'SELECT EXISTS (SELECT FROM ran)'), 'pg_cron runs it');
		# even where triggers are off, as pg_cron's own is then
		$real->safe_psql('postgres', q{SET session_replication_role = replica; SELECT count(*) FROM defer.import_pg_cron() WHERE name = 'beat'});
		ok($real->poll_query_until('postgres', 'SELECT count(*) > 1 FROM ran WHERE by_defer'), 'defer runs it');
		my $theirs = $real->safe_psql('postgres', 'SELECT count(*) FROM ran WHERE NOT by_defer');

		ok($real->poll_query_until('postgres', 'SELECT count(*) > 4 FROM ran WHERE by_defer'), 'on and on');
		is($real->safe_psql('postgres', 'SELECT count(*) FROM ran WHERE NOT by_defer'), $theirs, 'pg_cron does not any more');
	}
	$real->stop;
}

done_testing();
