# The examples of README.md and doc/*.md: every ```sql block is run, in the order of the page,
# in one session a page.  Several pages are run at the same time, each on a server of its own,
# because most of their time is waiting.  Errors must be those that the page shows in the block behind it, and
# all that it shows there must come, in this order; numbers and times may differ.
#
# An HTML comment on the lines before a block says what a reader does not see:
#
#	<!-- sql: not run: REASON -->			e.g. it needs another server
#	<!-- sql: output varies: REASON -->		only errors are compared
#	<!-- sql: before: STATEMENTS -->		run first; errors of them are failures
#	<!-- sql: after: STATEMENTS -->			run afterwards
#	<!-- sql: later -->						wait first, as below
#
# "-- some seconds later" or "-- a moment later" in a block waits until all jobs that are due
# have ended and all alerts with a window of seconds are sent.  Addresses of the examples are
# replaced by those of demo/receiver.py.
use strict;
use warnings;

use DeferTest;
use Encode qw(decode_utf8 encode_utf8);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

# Jobs of tasks wait for workers outside of the server, which no page has.  The scheduler ends
# batches some time after their jobs have ended, and may begin what waits for them some time
# after that
my $later = q{
DO $wait$
BEGIN
	FOR i IN 1..1800 LOOP
		IF NOT EXISTS (SELECT FROM defer.jobs j WHERE j.state IN ('queued', 'running', 'retrying')
				AND NOT EXISTS (SELECT FROM defer.tasks t WHERE t.name = j.function))
			AND NOT EXISTS (SELECT FROM defer.batches b JOIN defer.jobs j ON j.id = b.job_id
				WHERE NOT b.done AND j.finished_at IS NOT NULL
				AND NOT EXISTS (SELECT FROM defer.jobs c WHERE c.parent_id = b.job_id AND c.finished_at IS NULL
					AND NOT EXISTS (SELECT FROM defer.dependencies d WHERE d.job_id = c.id AND d.batch AND d.after_id = b.job_id)))
			AND NOT EXISTS (SELECT FROM defer.dependencies d WHERE d.open AND d.state IS NULL AND CASE WHEN d.batch
				THEN EXISTS (SELECT FROM defer.batches b WHERE b.job_id = d.after_id AND b.done)
				ELSE EXISTS (SELECT FROM defer.jobs j WHERE j.id = d.after_id AND j.finished_at IS NOT NULL) END)
			AND NOT EXISTS (SELECT FROM defer.alerts WHERE unsent > 0 AND group_window < '10 s') THEN
			RETURN;
		END IF;
		PERFORM pg_sleep(0.1);
	END LOOP;
	RAISE EXCEPTION 'jobs do not end, or alerts are not sent';
END $wait$;
};

# ------------------------------------------------------------------------
# Reading a page
# ------------------------------------------------------------------------

# Take a page apart: a list of blocks with {line, sql, shown, before, after, not_run, varies}
sub blocks
{
	my ($text) = @_;
	my (@blocks, %marks);
	my @lines = split /\n/, $text;

	for (my $i = 0; $i < @lines; $i++)
	{
		if ($lines[$i] =~ /^\s*<!-- sql: later -->$/)
		{
			$marks{before} = '-- a moment later';
			next;
		}
		if ($lines[$i] =~ /^\s*<!-- sql: (not run|output varies|before|after):\s*(.*)$/s)
		{
			my ($mark, $value) = ($1, $2);

			$value .= "\n" . $lines[++$i] while $value !~ /-->/ && $i < $#lines;
			$value =~ s/\s*-->\s*$//s or die "a comment that does not end: $value";
			$value =~ /\S/ or die "a mark without a text: $mark";
			$marks{$mark} = $value;
			next;
		}
		if ($lines[$i] =~ /^(\s*)```(\w*)\s*$/)
		{
			my ($indent, $kind) = ($1, $2);
			my $line = $i + 1;
			my @content;

			push @content, $lines[$i] while ++$i < @lines && $lines[$i] !~ /^\s*```\s*$/;
			s/^\Q$indent\E// for @content;
			if ($kind eq 'sql')
			{
				push @blocks, { line => $line, sql => join("\n", @content), %marks, end => $i };
				%marks = ();
			}
			elsif ($kind eq '' && @blocks && $blocks[-1]{end} == $line - 2)
			{
				$blocks[-1]{shown} = join("\n", @content);
			}
			next;
		}
	}
	die 'a mark without a block' if %marks;
	return @blocks;
}

# ------------------------------------------------------------------------
# Comparing
# ------------------------------------------------------------------------

# Lines as they are compared
sub normal
{
	my ($text) = @_;
	my @lines;

	for my $line (split /\n/, $text)
	{
		$line =~ s/^psql:[^ ]*: //;
		$line =~ s/\d+(?:\.\d+)?/0/g;
		# libcurl's words, which change with its version
		$line =~ s/(?: port |:)0 after 0 ms: Could(?:n't| not) connect/ after 0 ms: Could not connect/g;
		$line =~ s/\s+/ /g;
		$line =~ s/^ | $//g;
		push @lines, $line if $line =~ /[^-+ ]/;
	}
	return @lines;
}

sub is_message { return $_[0] =~ /^(?:ERROR|WARNING|NOTICE|INFO|DETAIL|HINT): /; }

# The lines that are missing in @$actual, which has them in this order; "…" stands for anything
sub missing_lines
{
	my ($expected, $actual) = @_;
	my $at = 0;
	my @missing;

	for my $line (@$expected)
	{
		my $pattern = join('.*', map { quotemeta } split /…/, $line, -1);
		my $found = $at;

		$found++ while $found < @$actual && $actual->[$found] !~ /^$pattern$/;
		if ($found < @$actual) { $at = $found + 1 }
		else { push @missing, $line }
	}
	return @missing;
}

# What is wrong with a block, given what psql wrote for it; empty: nothing
sub faults
{
	my ($block, $out, $err) = @_;
	my @shown = normal($block->{shown} // '');
	my @errors = grep { /^ERROR: / } normal($err);
	my @shown_errors = grep { /^ERROR: / } @shown;
	my @faults;

	push @faults, map { "not shown: $_" } missing_lines(\@errors, \@shown_errors);
	push @faults, map { "no such error: $_" } missing_lines(\@shown_errors, \@errors);
	return @faults if $block->{'output varies'};
	push @faults, map { "no such message: $_" } missing_lines([ grep { is_message($_) } @shown ], [ normal($err) ]);
	push @faults, map { "no such output: $_" } missing_lines([ grep { !is_message($_) } @shown ], [ normal($out) ]);
	return @faults;
}

# ------------------------------------------------------------------------
# Running
# ------------------------------------------------------------------------

my ($receiver, $ports);

sub start_receiver
{
	my $file = PostgreSQL::Test::Utils::tempdir() . '/ports';
	my @command = ('/usr/bin/python3', 'demo/receiver.py', '--ports', $file, '--show', 0);

	$receiver = IPC::Run::start(\@command, '<', \undef, '>', '/dev/null', '2>&1');
	for (my $i = 0; $i < 1800 && !-s $file; $i++)
	{
		usleep(100_000);
		$receiver->pumpable or die 'the receiver did not start';
	}
	$ports = decode_json(slurp_file($file));
	return;
}

# Examples as a reader would fill them in
sub filled_in
{
	my ($sql) = @_;

	$sql =~ s{https://(?:hooks\.slack\.com|api\.example\.com|crm\.example\.com)|http://127\.0\.0\.1:8080}{http://127.0.0.1:$ports->{http}}g;
	$sql =~ s{…}{x}g;
	$sql =~ s{^-- (?:some seconds|a moment) later$}{$later}mg;
	return $sql;
}

# Begin to run the blocks of a page in a session of psql; returns what page_faults() takes
sub run_page
{
	my ($name, $text, $extension) = @_;
	my %run = (name => $name, blocks => [ blocks($text) ], node => page_server($name =~ s/\W/_/gr, $extension));
	my $file = PostgreSQL::Test::Utils::tempdir() . '/page';
	my $script = "\\set QUIET on\n";

	for my $block (grep { !$_->{'not run'} } @{ $run{blocks} })
	{
		for my $part (qw(before sql after))
		{
			next if !defined $block->{$part};
			my $mark = "\@\@\@ $block->{line} $part";
			my $sql = filled_in($block->{$part});

			$sql .= ';' if $part ne 'sql' && $sql !~ /;\s*$/ && $sql !~ /^--/;
			$script .= "\\echo $mark\n\\warn $mark\n$sql\n\n";
		}
	}
	append_to_file("$file.sql", encode_utf8($script));
	$run{written} = [ "$file.out", "$file.err" ];
	$run{psql} = IPC::Run::start([ 'psql', '-X', '-d', $run{node}->connstr('docs'), '-f', '-' ],
		'<', "$file.sql", '>', "$file.out", '2>', "$file.err", IPC::Run::timeout(900));
	return \%run;
}

# What psql wrote for each part of a block: a hash of [stdout, stderr] by line and part
sub written_by_block
{
	my ($run) = @_;
	my %written;

	for my $stream (0, 1)
	{
		my (undef, @parts) = split /^(?:psql:[^ ]*: )?\@\@\@ (\d+ \w+)\n/m, decode_utf8(slurp_file($run->{written}[$stream]));

		while (my ($where, $text) = splice(@parts, 0, 2)) { $written{$where}[$stream] = $text; }
	}
	return %written;
}

# Wait for the end of a page; returns a list of faults, "LINE: what"
sub page_faults
{
	my ($run) = @_;
	my @faults;

	$run->{psql}->finish;
	my %written = written_by_block($run);

	for my $block (@{ $run->{blocks} })
	{
		next if $block->{'not run'};
		for my $part (qw(before after))
		{
			push @faults, map { "$block->{line}, $part: $_" } grep { /^ERROR: / } normal($written{"$block->{line} $part"}[1] // '');
		}
		my ($out, $err) = @{ $written{"$block->{line} sql"} // [ '', 'ERROR: the session has ended before' ] };
		my @found = faults($block, $out // '', $err // '');
		note(encode_utf8("line $block->{line}, what was written:\n$out\n$err")) if @found;
		push @faults, map { "$block->{line}: $_" } @found;
	}
	note("the last jobs:\n" . $run->{node}->safe_psql('docs', 'SELECT id, function, state, attempt, parent_id, error FROM defer.jobs ORDER BY id DESC LIMIT 40'))
	  if @faults && $run->{node}->safe_psql('docs', "SELECT 1 FROM pg_extension WHERE extname = 'defer'") ne '';
	$run->{node}->stop('fast');
	return @faults;
}

sub page_server
{
	my ($name, $extension) = @_;
	my $node = new_server($name, qq{
defer.http_allow = '127.0.0.1'
defer.smtp_url = 'smtp://127.0.0.1:$ports->{smtp}'
defer.smtp_from = 'The Marketplace <hello\@shop.example>'
log_min_messages = warning
TimeZone = 'UTC'
});

	$node->safe_psql('postgres', 'CREATE DATABASE docs');
	$node->safe_psql('docs', 'CREATE ROLE app LOGIN');
	$node->safe_psql('docs', 'CREATE EXTENSION defer') if $extension;
	return $node;
}

plan skip_all => 'python3-aiosmtpd is missing' if system("/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null") != 0;
start_receiver();

# It finds what is broken: an example that raises an error, an error and an output that do not
# come, a mark without a text
my $broken = decode_utf8(<<'PAGE');
```sql
SELECT 6 * 7 AS answer;
```
```
 answer
--------
     42
```

```sql
SELECT defer.enqueue('no_such_function');
```

```sql
SELECT 1 AS one;
```
```
ERROR:  it is not one
```

```sql
SELECT 1 AS one;
```
```
 two
-----
   1
```

<!-- sql: not run: it is no SQL -->
```sql
no SQL
```

- indented:

  <!-- sql: before: SELECT 1/0 -->
  ```sql
  SELECT 2 AS two;
  ```
  ```
   two
  -----
     2
  ```
PAGE
is_deeply([ page_faults(run_page('broken', $broken, 1)) ], [
	'10: not shown: ERROR: function "no_such_function" does not exist',
	'14: no such error: ERROR: it is not one',
	'14: no such message: ERROR: it is not one',
	'21: no such output: two',
	'38, before: ERROR: division by zero' ], 'broken examples are found');
eval { blocks("<!-- sql: not run: -->\n```sql\n```") };
like($@, qr/a mark without a text: not run/, 'a mark needs a reason');

# ------------------------------------------------------------------------
# The reference has each function: its parameters, its errors, an example
# ------------------------------------------------------------------------

# Functions that are there for views, triggers, the program and jobs of defer's own
my %internal = map { $_ => 1 } qw(batch_here cap_state duration_class durations endpoint_address endpoint_places event_key group_share
  has_ended job_statistics live_logs live_rows may_configure may_see merge_durations next_token note_restore other_node other_nodes outside_workers
  owner_only processes reserved_workers run_bulk run_here run_step running_jobs schedule_description schedule_next_runs server_state
  task_failures waiting_for);

# Functions that have the parameters of another one, which is described elsewhere
my %like = (create_task => 'configure');

# Return what a page lacks about the functions "name parameter,parameter..."
sub reference_faults
{
	my ($page, $examples, @functions) = @_;
	my ($contents, @chapters) = split /^## /m, $page;
	my %listed = map { $_ => 1 } $contents =~ /`(\w+)`/g;
	my @faults;

	for my $function (@functions)
	{
		my ($name, $parameters) = split / /, $function;
		my @about = grep { /`(?:defer\.)?$name\b|\bdefer\.$name\(/ || ($like{$name} && /^### `defer\.$like{$name}`/m) } @chapters;

		next if $internal{$name};
		push @faults, "$name is not in the list on top" unless $listed{$name};
		push @faults, "$name: no signature" unless $page =~ /\bdefer\.$name\([^']/;
		push @faults, "$name: nothing about errors" unless grep { /\b[Ee]rrors?\b/ } @about;
		push @faults, "$name: no example" unless $examples =~ /\bdefer\.$name\b/;
		for my $parameter (split /,/, $parameters // '')
		{
			push @faults, "$name: nothing about its parameter $parameter" unless grep { /\b$parameter\b/ } @about;
		}
	}
	return @faults;
}

is_deeply([ reference_faults("`one`\n## A\n`defer.one(what text)`\n## B\n`defer.two()` Errors", 'SELECT defer.two()', 'one what,more', 'two', 'may_see role') ],
	[ 'one: nothing about errors', 'one: no example', 'one: nothing about its parameter more', 'two is not in the list on top' ],
	'what the reference lacks is found');

# The pages, the longest first, so that none of them is left alone at the end
my $at_a_time = 6;
my %text = map { $_ => decode_utf8(slurp_file($_)) } 'README.md', glob('doc/*.md');
my @pages = sort { length $text{$b} <=> length $text{$a} } grep { blocks($text{$_}) } keys %text;
my @running;
my $examples = join("\n", map { map { $_->{sql} } blocks($_) } values %text);

while (@pages || @running)
{
	if (@pages && @running < $at_a_time)
	{
		my $page = shift @pages;

		push @running, run_page($page, $text{$page}, $page ne 'README.md');
		next if $page ne 'doc/reference.md';

		my @functions = split /\n/, $running[-1]{node}->safe_psql('postgres', q{BEGIN; CREATE EXTENSION defer;
			SELECT p.proname || ' ' || COALESCE(string_agg(DISTINCT a.name, ','), '') FROM pg_proc p
			LEFT JOIN LATERAL unnest(p.proargnames) WITH ORDINALITY a (name, place)
				ON a.name <> '' AND p.proargmodes[a.place] IS DISTINCT FROM 't'
			WHERE p.pronamespace = 'defer'::regnamespace GROUP BY p.proname; ROLLBACK});
		my @lacking = reference_faults($text{$page}, $examples, @functions);

		cmp_ok(scalar @functions, '>', 100, 'the functions of the extension');
		is_deeply(\@lacking, [], 'the reference has each of them') or diag(encode_utf8(join("\n", @lacking)));
		next;
	}
	# Those that have ended leave first
	my ($first) = grep { !$_->{psql}->pumpable } @running;

	if (!$first)
	{
		usleep(50_000);
		next;
	}
	@running = grep { $_ != $first } @running;
	my @faults = page_faults($first);

	is_deeply(\@faults, [], "$first->{name}: all examples run as shown") or diag(encode_utf8(join("\n", @faults)));
	note("$first->{name}:$_->{line} is not run: $_->{'not run'}") for grep { $_->{'not run'} } @{ $first->{blocks} };
}

$receiver->signal('TERM');
$receiver->finish;
done_testing();
