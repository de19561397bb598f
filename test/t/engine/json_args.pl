# Arguments as JSON, at random: whatever the document and the signature, a job gets the
# values that jsonb_populate_record() makes of them, or the call is refused with an error
# that says so.  The same seed gives the same documents; SEED=... chooses another.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} // 20261126;
my $documents = 250;    # for each signature
srand($seed);
note("SEED=$seed");

my $node = new_server('main', q{autovacuum = off});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TYPE pair AS (x integer, y text);
	CREATE TYPE nest AS (x integer, y pair, z pair[]);
	CREATE TYPE mood AS ENUM ('sad', 'ok');
	CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
	CREATE DOMAIN needed AS text NOT NULL;
	CREATE DOMAIN short AS varchar(3);
	CREATE DOMAIN shorts AS varchar(3)[];
	CREATE DOMAIN amount AS numeric(6,2);
	CREATE DOMAIN amounts AS amount[] CHECK (cardinality(VALUE) < 3);
	CREATE DOMAIN good_pair AS pair CHECK ((VALUE).x > 0);
	CREATE DOMAIN object AS jsonb CHECK (jsonb_typeof(VALUE) = 'object');
});

# Name, types, and the defaults of the last of them.  A type may be VARIADIC.
my @signatures = (
	[ 'integers', [qw(smallint integer bigint)], [] ],
	[ 'floats', [qw(real), 'double precision', 'numeric'], ["'NaN'"] ],
	[ 'texts', [qw(text varchar name)], [ "'b'", 'NULL' ] ],
	[ 'booleans', [qw(boolean bytea uuid)], [] ],
	[ 'times', [qw(date timestamptz interval)], [] ],
	[ 'documents', [qw(json jsonb object)], [] ],
	[ 'one', ['jsonb'], [] ],
	[ 'domains', [qw(positive short amount)], [ "'x'", '1.5' ] ],
	[ 'never_null', [qw(needed text)], [] ],
	[ 'arrays', [qw(integer[] text[] boolean[])], [] ],
	[ 'more_arrays', [qw(shorts amounts jsonb[])], [] ],
	[ 'composites', [qw(pair nest good_pair)], [] ],
	[ 'composite_arrays', [qw(pair[] good_pair[] mood[])], [] ],
	[ 'ranges', [qw(int4range point inet)], ["'::1'"] ],
	[ 'rest', [ 'integer', 'VARIADIC text[]' ], [] ],
	[ 'defaults', [qw(integer integer[] pair)], [ '1', "'{2}'", 'NULL' ] ],
	[ 'nothing', [], [] ],);

my @names = qw(a b c);

# ------------------------------------------------------------------------
# Documents
# ------------------------------------------------------------------------

sub any { return $_[ int(rand(@_)) ] }

my @scalars = (
	qw(null true false 0 -0 -1 1 2 3 32767 32768 2147483647 2147483648 9223372036854775807
	  9223372036854775808 -9223372036854775809 1.5 -1.25 1e3 1E-3 1e308 1e400 1e-400 123456.789 9999.995
	  1e99999 1e200000), '1' x 400, '0.' . '0' x 300 . '1',
	qw("" "a" "abc" "abcd" "1" " 1 " "1.5" "NaN" "Infinity" "-Infinity" "null" "NULL" "true" "t" "yes"),
	'"{}"', '"{1,2}"', '"{{1},{2}}"', '"{a,NULL}"', '"[0:1]={1,2}"', '"{1,2"', '"(1,a)"', '"(,)"', '"(1"', '"[1,3)"', '"empty"',
	'"(1,2)"', '"{\"x\": 1}"', '"\\\\xdeadbeef"', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"',
	qw("2026-01-01" "2026-02-30" "infinity" "now" "1 day" "10:00" "sad" "ok" "Sad" "::1" "10.0.0.0/8"),
	'"\u0000"', '"a\u0000b"', '"\u0001\t\n"', '"\ud83d\uded2"', '"\ud83d"', '"ä€"', '"' . 'long ' x 15000 . '"');

sub deep
{
	my $depth = any(1 .. 8, 6, 7, 100, 5000, 100000);

	return ('[' x $depth) . any('', '1', 'null', '"a"') . (']' x $depth);
}

sub value
{
	my ($level) = @_;
	my $kind = rand();

	return any(@scalars) if $level > 3 || $kind < 0.62;
	return deep() if $kind < 0.64;
	return '[' . join(', ', map { value($level + 1) } 1 .. int(rand(4))) . ']' if $kind < 0.75;
	if ($kind < 0.83)
	{
		# The arrays in it are of one length more often than by chance
		my $inner = '[' . join(',', map { any(@scalars) } 1 .. int(rand(3))) . ']';
		return "[$inner, $inner]";
	}
	return '{' . join(', ', map { any('"x"', '"y"', '"z"', '"X"', '""') . ': ' . value($level + 1) } 1 .. int(rand(4))) . '}';
}

# A value that the type might take
sub fitting
{
	my ($type) = @_;

	return any('null', value(1)) if rand() < 0.3;
	return '[' . join(', ', map { fitting($1) } 1 .. int(rand(3))) . ']'
	  if $type =~ /^(?:VARIADIC )?(.*)\[\]$/;
	return '["a", "bcd"]' if $type eq 'shorts';
	return '[1, 2.345]' if $type eq 'amounts';
	return any('{"x": 1, "y": "a"}', '{"x": "2"}', '"(1,a)"') if $type =~ /pair$/;
	return '{"x": 1, "y": {"x": 2}, "z": [{"y": "b"}, null]}' if $type eq 'nest';
	return '{"x": 1}' if $type eq 'object';
	return any('"2026-01-01"', '"1 day"') if $type =~ /^(date|timestamptz|interval)$/;
	return any('"true"', 'true', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"') if $type =~ /^(boolean|bytea|uuid)$/;
	return any('"[1,3)"', '"(1,2)"', '"::1"') if $type =~ /^(int4range|point|inet)$/;
	return '"ok"' if $type eq 'mood';
	return any('1', '"1"', '2');
}

# The arguments and, for the oracle, the same by name; undef: refused for its shape
sub document
{
	my ($types, $defaults) = @_;
	my $n = @$types;
	my $shape = rand();
	my @values = map { fitting($_) } @$types;
	my (@given, @pairs);

	return (any(@scalars, deep()), undef) if $shape < 0.03;
	return ('{' . join(', ', map({ qq{"$names[$_]": $values[$_]} } 0 .. $n - 1), '"other": 1') . '}', undef) if $shape < 0.06;
	return ('[' . join(', ', @values, value(1)) . ']', undef) if $shape < 0.09;
	if ($shape < 0.5)
	{
		my $count = rand() < 0.2 ? int(rand($n + 1)) : $n;

		return ('[' . join(', ', @values[ 0 .. $count - 1 ]) . ']', undef) if $count < $n - @$defaults;
		return ('[' . join(', ', @values[ 0 .. $count - 1 ]) . ']',
			'{' . join(', ', map { qq{"$names[$_]": $values[$_]} } 0 .. $count - 1) . '}');
	}
	@given = grep { rand() > 0.1 } 0 .. $n - 1;
	# Of two with one name the last counts
	push(@pairs, qq{"$names[$given[0]]": } . any('1', '"x"')) if @given && rand() < 0.1;
	push(@pairs, map { qq{"$names[$_]": $values[$_]} } @given);
	my $text = '{' . join(', ', @pairs) . '}';
	for my $i (0 .. $n - @$defaults - 1)
	{
		return ($text, undef) unless grep { $_ == $i } @given;
	}
	return ($text, $text);
}

# ------------------------------------------------------------------------
# Both ways
# ------------------------------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE TABLE document (n integer PRIMARY KEY, signature text, base text, args text, named text,
						   answer text, job bigint, expected text);
	CREATE FUNCTION try(INOUT signature text, args text, OUT job bigint, OUT answer text) LANGUAGE plpgsql AS $$
	BEGIN
		job := defer.enqueue(signature, args::jsonb, max_attempts => 1);
		answer := 'taken';
	EXCEPTION WHEN OTHERS THEN
		answer := SQLSTATE;
	END $$;
	-- What the server itself makes of it, as text
	CREATE FUNCTION oracle(signature text, base text, named text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		result text;
	BEGIN
		EXECUTE format('SELECT jsonb_populate_record(%s::%I, $1)::text', base, 'as_' || signature)
			INTO result USING named::jsonb;
		RETURN result;
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$;
	-- Text of an array or object: populate makes that out of one where a scalar is wanted; we refuse it
	CREATE FUNCTION stands_for_text(type text, value jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF type IN ('json', 'jsonb', 'object', 'jsonb[]') OR type ~ 'pair' OR type = 'nest' THEN
			RETURN false;
		END IF;
		RETURN CASE WHEN type ~ '\[\]$|^shorts$|^amounts$'
			THEN jsonb_path_exists(value, 'lax $.** ? (@.type() == "object")') OR
				 -- an array that ends at another depth than the first one
				 jsonb_path_exists(value, 'lax $.** ? (@.type() == "array")')
			ELSE jsonb_typeof(value) IN ('array', 'object') END;
	END $$;
});

my $number = 0;
my $file = $node->basedir . '/documents';
open(my $out, '>:raw', $file) or die "cannot write $file: $!";
for my $signature (@signatures)
{
	my ($name, $types, $defaults) = @$signature;
	my $n = @$types;
	my @default = map { my $i = $_ - ($n - @$defaults); $i >= 0 ? $defaults->[$i] : undef } 0 .. $n - 1;
	my $parameters = join(', ', map {
		my $mode = $types->[$_] =~ /^VARIADIC (.*)/ ? 'VARIADIC ' : '';
		my $type = $1 // $types->[$_];
		"$mode$names[$_] " . ($mode ? $types->[$_] =~ s/^VARIADIC //r : $types->[$_]) .
		  (defined $default[$_] ? " DEFAULT $default[$_]" : '') } 0 .. $n - 1);
	my $row = join(', ', @names[ 0 .. $n - 1 ]);

	$node->safe_psql('postgres',
		'CREATE TYPE as_' . $name . ' AS (' . join(', ', map { "$names[$_] " . $types->[$_] =~ s/^VARIADIC //r } 0 .. $n - 1) . ");
		CREATE FUNCTION $name($parameters) RETURNS text LANGUAGE sql AS \$\$ SELECT ROW($row)::as_$name\::text \$\$");
	for (1 .. $documents)
	{
		my ($args, $named) = document($types, $defaults);
		# NULL has no fields that could be NULL where a domain forbids it
		my $base = @$defaults ? 'ROW(' . join(', ', map { $_ // 'NULL' } @default) . ')' : 'NULL';
		my @fields = ($number++, $name, $base, $args, $named);

		for (@fields)
		{
			$_ = defined $_ ? s/([\\\t\n])/{"\\" => '\\\\', "\t" => '\\t', "\n" => '\\n'}->{$1}/ger : '\\N';
		}
		print $out join("\t", @fields), "\n";
	}
}
close($out) or die "cannot write $file: $!";

$node->safe_psql('postgres', qq{
	COPY document (n, signature, base, args, named) FROM '$file';
	UPDATE document d SET (answer, job) = (SELECT t.answer, t.job FROM try(d.signature, d.args) t);
	UPDATE document d SET expected = oracle(d.signature, d.base, d.named) WHERE d.named IS NOT NULL;
	-- An array in one of jsonb is a value; for populate it is a dimension
	DELETE FROM document WHERE signature = 'more_arrays' AND answer = 'taken' AND
		jsonb_path_exists(args::jsonb, 'strict \$.* ? (@.type() == "array")[*] ? (@.type() == "array")', '{}', true);
	DELETE FROM document WHERE signature = 'more_arrays' AND answer = 'taken' AND
		jsonb_path_exists(args::jsonb, 'strict \$[2][*] ? (@.type() == "array")', '{}', true)});
settled($node, 'all jobs end');

sub none
{
	my ($query, $what) = @_;

	is($node->safe_psql('postgres', "SELECT n, signature, left(args, 100), answer, job, expected FROM document d WHERE $query ORDER BY n LIMIT 10"),
		'', $what);
	return;
}

none(q{answer <> 'taken' AND answer !~ '^(22|42|54)...$'}, 'what is refused is refused for the arguments');
none(q{named IS NULL AND answer = 'taken'}, 'what has not the shape of the parameters is refused');
none(q{answer = 'taken' AND expected ~ '^[0-9A-Z]{5}$'}, 'what no value can be made of is refused');
none(q{answer = 'taken' AND NOT EXISTS (SELECT FROM defer.jobs j WHERE j.id = d.job AND j.state = 'succeeded')},
	'what was taken at enqueue can be converted when the job runs');
none(q{answer = 'taken' AND (SELECT j.result #>> '{}' FROM defer.jobs j WHERE j.id = d.job) IS DISTINCT FROM expected},
	'a job gets the values that the server makes of the JSON');
none(q{answer = '22023' AND expected !~ '^[0-9A-Z]{5}$' AND NOT EXISTS (
		SELECT FROM jsonb_each(named::jsonb) v, pg_attribute a
		 WHERE a.attrelid = ('as_' || signature)::regclass AND a.attname = v.key AND
			   stands_for_text(format_type(a.atttypid, NULL), v.value))},
	'and nothing is refused that the server can convert, but arrays and objects for text');
none(q{answer NOT IN ('taken', '22023') AND answer IS DISTINCT FROM expected AND named IS NOT NULL},
	'other errors are those of reading JSON');
is($node->safe_psql('postgres', q{SELECT signature FROM document GROUP BY signature
	HAVING count(*) FILTER (WHERE answer = 'taken') < 5 OR count(*) FILTER (WHERE answer <> 'taken') < 5}),
	'', 'of each signature some were taken and some refused');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|XX000|terminated by signal/, 'the server is well');
$node->stop;
done_testing();
