# Rules for SQL that runs with the rights of whoever installs or owns the extension,
# in a database where others may have made functions, operators, types and tables of
# any name.  In the manner of pgspot, without a parser: tokens are enough for what we
# write.
#
#	script_problems($sql)		of an extension script, a list of texts
#	c_sql_problems($c)			of the SQL in a C file's string literals
#
# What these rely on:
# - The script begins by pinning search_path to pg_catalog, pg_temp.  Functions and
#   operators are never looked up in pg_temp, and types and tables in pg_catalog
#   first.  All the same names are qualified, so that a statement may be moved.
# - Views and functions with BEGIN ATOMIC keep what they were parsed to: there
#   operators and types may be bare.
# - SQL in C runs between own_sql_begin() and own_sql_end(), which pin search_path in
#   the same way; security/planted.pl proves it, here it is only a second line.
package ScriptRules;
use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(script_problems c_sql_problems);

# Words that may stand before a parenthesis and are no functions
my %syntax = map { $_ => 1 } qw(
  ALL AND ANY ARRAY AS BY CASE CHECK COALESCE COLUMN CONFLICT CONSTRAINT ELSE EXISTS EXTRACT FILTER FROM GREATEST GROUP HAVING IN
  INCLUDE KEY LATERAL LEAST MATERIALIZED NOT NULLIF ON OPERATOR OR OVER RANGE RETURNING ROW ROWS SELECT SET SOME TABLE THEN
  TO UNION UNIQUE USING VALUES WHEN WHERE WITH DISTINCT);

# Types that are grammar, and so in pg_catalog
my %grammar_type = map { $_ => 1 } qw(
  bigint int integer smallint boolean double real numeric decimal character char varchar bit interval time timestamp);

# ------------------------------------------------------------------------
# Tokens: [ kind, text ], kind one of word (upper case in text, as written in [2]),
# name, string, body, number, op, and the punctuation itself
# ------------------------------------------------------------------------
sub tokens
{
	my ($sql) = @_;
	my @tokens;

	pos($sql) = 0;
	while (pos($sql) < length($sql))
	{
		if ($sql =~ m{\G(?:\s+|--[^\n]*|/\*.*?\*/)}gcs) { next; }
		elsif ($sql =~ m{\G(?:[EeBbXxNn]|[Uu]&)?'(?:[^']|'')*'}gc) { push @tokens, [ 'string', $& ]; }
		elsif ($sql =~ m{\G\$(\w*)\$(.*?)\$\1\$}gcs) { push @tokens, [ 'body', $2 ]; }
		elsif ($sql =~ m{\G"((?:[^"]|"")*)"}gc) { push @tokens, [ 'name', $1 ]; }
		elsif ($sql =~ m{\G\$\d+}gc) { push @tokens, [ 'number', $& ]; }
		elsif ($sql =~ m{\G\d[\w.]*}gc) { push @tokens, [ 'number', $& ]; }
		elsif ($sql =~ m{\G[A-Za-z_%][\w%]*}gc) { push @tokens, [ 'word', uc $&, $& ]; }
		elsif ($sql =~ m{\G(?:::|[()\[\],;.])}gc) { push @tokens, [ $&, $& ]; }
		elsif ($sql =~ m{\G[-+*/<>=~!\@#%^&|`?:]+}gc) { push @tokens, [ 'op', $& ]; }
		else { $sql =~ m{\G.}gcs; push @tokens, [ 'other', $& ]; }
	}
	return @tokens;
}

sub is_name
{
	my ($token) = @_;

	return defined $token && ($token->[0] eq 'word' || $token->[0] eq 'name');
}

sub is_word
{
	my ($token, @words) = @_;

	return defined $token && $token->[0] eq 'word' && grep { $token->[1] eq $_ } @words;
}

sub text_of
{
	my ($token) = @_;

	return $token->[0] eq 'word' ? $token->[2] : $token->[1];
}

# Statements, each a list of tokens; those of BEGIN ATOMIC ... END stay together
sub statements
{
	my (@tokens) = @_;
	my @statements = ([]);
	my ($atomic, $cases) = (0, 0);

	for my $token (@tokens)
	{
		if (is_word($token, 'ATOMIC')) { $atomic = 1; }
		elsif (is_word($token, 'CASE')) { $cases++; }
		elsif (is_word($token, 'END')) { $cases > 0 ? $cases-- : ($atomic = 0); }
		if ($token->[0] eq ';' && !$atomic)
		{
			push @statements, [];
			next;
		}
		push @{ $statements[-1] }, $token;
	}
	return grep { @$_ } @statements;
}

# ------------------------------------------------------------------------
# Names, operators and types within a statement
# ------------------------------------------------------------------------
sub expression_problems
{
	my ($tokens, %options) = @_;
	my @t = @$tokens;
	my %schemas = map { $_ => 1 } 'pg_catalog', 'defer', @{ $options{schemas} // [] };
	my %known;				# names of WITH queries
	my @problems;
	my $depth = 0;
	my %in_from;			# by depth: a table may follow the next comma
	my $table_next = 0;

	for my $i (0 .. $#t)
	{
		$known{ text_of($t[$i]) } = 1
		  if is_name($t[$i]) && is_word($t[ $i + 1 ], 'AS') && (($t[ $i + 2 ] // [''])->[0] eq '(' || is_word($t[ $i + 2 ], 'MATERIALIZED'));
	}
	my $i = 0;
	while ($i <= $#t)
	{
		my $token = $t[$i];

		if ($token->[0] eq '(')
		{
			$depth++;
			$in_from{$depth} = $table_next = 0;
		}
		elsif ($token->[0] eq ')') { $in_from{ $depth-- } = 0; }
		elsif ($token->[0] eq ',') { $table_next = $in_from{$depth} // 0; }
		elsif ($token->[0] eq '::' || (is_word($token, 'CAST') && ($t[ $i + 1 ] // [''])->[0] eq '('))
		{
			my $type = $t[ $i + 1 ];

			push @problems, 'unqualified type ' . text_of($type) if is_name($type) && !$options{parsed} &&
			  !(($t[ $i + 2 ] // [''])->[0] eq '.' && $schemas{ text_of($type) }) && !$grammar_type{ lc text_of($type) };
		}
		elsif ($token->[0] eq 'op')
		{
			my $before = $t[ $i - 1 ];
			my $bare = $options{parsed} || ($i > 0 && $before->[0] eq '.')		# OPERATOR(pg_catalog.=)
			  || $token->[1] =~ /^(=>|:=|:)$/
			  || ($token->[1] eq '*' && ($i == 0 || $before->[0] =~ /^[(,]$/ || is_word($before, 'SELECT', 'RETURNING', 'DISTINCT')))
			  || ($token->[1] eq '-' && ($t[ $i + 1 ] // [''])->[0] eq 'number' && ($i == 0 || !is_name($before)))
			  || ($token->[1] eq '=' && $options{assignments}->($i));

			push @problems, "unqualified operator $token->[1]" unless $bare;
		}
		elsif (is_word($token, 'LIKE', 'ILIKE', 'SIMILAR', 'BETWEEN') && !$options{parsed} && !$options{like})
		{
			push @problems, "unqualified operator of $token->[1]";
		}
		elsif (is_word($token, 'IN') && ($t[ $i + 1 ] // [''])->[0] eq '(' && !$options{parsed})
		{
			push @problems, 'unqualified operator of IN';
		}
		elsif (is_word($token, 'FROM', 'JOIN', 'INTO', 'UPDATE') && !$options{no_tables})
		{
			my $before = $t[ $i - 1 ];

			$table_next = !($i > 0 && is_word($before, 'DISTINCT', 'FOR', 'OR', 'VALUES', 'BEFORE', 'DO')) && !is_word($t[ $i + 1 ], 'SET');
			$in_from{$depth} = $table_next && is_word($token, 'FROM');
			$table_next = 'INTO' if $table_next && is_word($token, 'INTO');
		}
		elsif (is_word($token, 'WHERE', 'GROUP', 'ORDER', 'HAVING', 'LIMIT', 'UNION', 'SELECT', 'RETURNING', 'VALUES', 'SET')) { $in_from{$depth} = $table_next = 0; }
		elsif (is_name($token))
		{
			my @chain = (text_of($token));
			my $first = $token;

			while (($t[ $i + 1 ] // [''])->[0] eq '.' && is_name($t[ $i + 2 ]))
			{
				$i += 2;
				push @chain, text_of($t[$i]);
			}
			my $next = $t[ $i + 1 ] // [''];
			my $name = join('.', @chain);

			if ($table_next && !is_word($first, 'ONLY', 'LATERAL', 'SELECT') && !(is_word($first, 'ROWS') && is_word($next, 'FROM')))
			{
				push @problems, "unqualified table $name" if ($next->[0] ne '(' || $table_next eq 'INTO') && (@chain == 1 ? !$known{$name} : !$schemas{ $chain[0] });
				$table_next = 0;
				# INTO defer.x (column, ...)
				$next = [''] if $next->[0] eq '(' && @chain > 1 && $schemas{ $chain[0] };
			}
			if ($next->[0] eq '(' && !($first->[0] eq 'word' && @chain == 1 && $syntax{ $first->[1] }))
			{
				my $before = $i - 2 * $#chain > 0 ? $t[ $i - 2 * $#chain - 1 ] : [''];
				my $alias = @chain == 1 && ($before->[0] eq ')' || is_word($before, 'AS'));

				push @problems, "unqualified function $name" unless $alias || (@chain > 1 && $schemas{ $chain[0] });
			}
		}
		$i++;
	}
	return @problems;
}

# ------------------------------------------------------------------------
# An extension script
# ------------------------------------------------------------------------
my $pin = qr/^SET (?:LOCAL )?search_path (?:TO|=) pg_catalog , pg_temp$/i;

sub flat
{
	my (@tokens) = @_;

	return join(' ', map { $_->[0] eq 'word' ? $_->[2] : $_->[1] } @tokens);
}

sub create_problems
{
	my ($statement) = @_;
	my @t = @$statement;
	my @problems;
	my $i = 1;

	$i++ while is_word($t[$i], 'UNIQUE', 'CONSTRAINT', 'MATERIALIZED', 'UNLOGGED', 'OR', 'REPLACE', 'TEMP', 'TEMPORARY', 'RECURSIVE');
	my $kind = ($t[$i] // [ '', '' ])->[1];
	my $next = $t[ $i + 1 ];
	my $third = $t[ $i + 2 ] // [''];

	if ($kind eq 'SCHEMA')
	{
		push @problems, 'a schema that is not ours' unless text_of($next) eq 'defer' && @t == 3;
	}
	elsif ($kind =~ /^(TABLE|VIEW|SEQUENCE|FUNCTION|PROCEDURE|TYPE|DOMAIN|AGGREGATE|OPERATOR)$/)
	{
		push @problems, lc($kind) . ' made in no schema' unless is_name($next) && text_of($next) eq 'defer' && $third->[0] eq '.';
	}
	elsif ($kind =~ /^(INDEX|TRIGGER)$/)
	{
		my ($on) = grep { is_word($t[$_], 'ON') } 0 .. $#t;

		push @problems, lc($kind) . ' on a table of no schema'
		  unless defined $on && text_of($t[ $on + 1 ] // [ 'x', '' ]) eq 'defer' && ($t[ $on + 2 ] // [''])->[0] eq '.';
	}
	else
	{
		push @problems, "CREATE $kind is not for this script";
	}
	push @problems, function_problems(@t) if $kind =~ /^(FUNCTION|PROCEDURE)$/;
	return @problems;
}

sub function_problems
{
	my (@t) = @_;
	my $text = flat(grep { $_->[0] ne 'body' } @t);
	my ($language) = $text =~ /\bLANGUAGE (\w+)/i;
	my $atomic = $text =~ /\bBEGIN ATOMIC\b/i;
	my $pinned = $text =~ /\bSET search_path (?:TO|=) pg_catalog , pg_temp\b/i;
	my @problems;

	push @problems, 'function in no language' unless defined $language;
	$language = lc($language // '');
	push @problems, "function in language $language" unless $language =~ /^(c|sql|plpgsql)$/;
	push @problems, 'function without a search_path of its own' if $language =~ /^(sql|plpgsql)$/ && !$atomic && !$pinned;
	push @problems, 'SECURITY DEFINER without a search_path of its own' if $text =~ /\bSECURITY DEFINER\b/i && !$pinned;
	push @problems, 'an argument or result of type internal' if $text =~ /\binternal\b/i;
	return @problems;
}

sub grant_problems
{
	my ($statement, $views) = @_;
	my $text = flat(@$statement);
	my @problems;

	return 'a grant that cannot be read' unless $text =~ /^GRANT (.*?) ON (.*) TO (.*)$/is;
	my ($rights, $on, $to) = ($1, $2, $3);

	push @problems, 'WITH GRANT OPTION' if $to =~ /WITH GRANT/i;
	push @problems, "unexpected grant: $rights" unless $rights =~ /^(SELECT|EXECUTE|USAGE)$/i;
	push @problems, 'schema opened to PUBLIC' if $on =~ /^SCHEMA/i && $to =~ /\bPUBLIC\b/i;
	push @problems, 'EXECUTE on some functions: use ALL ROUTINES and then revoke' if $rights =~ /EXECUTE/i && $on !~ /^ALL ROUTINES IN SCHEMA defer$/i;
	if ($rights =~ /SELECT/i)
	{
		push @problems, "SELECT on what is no view: $_" for grep { !$views->{$_} } map { s/^TABLE //ir =~ s/ //gr } split / , /, $on;
	}
	return @problems;
}

sub script_problems
{
	my ($sql) = @_;
	my @statements = statements(tokens($sql));
	my @problems;
	my %views;

	push @problems, 'the first statement does not pin search_path' unless @statements && flat(@{ $statements[0] }) =~ /^SET LOCAL search_path TO pg_catalog , pg_temp$/;
	for my $statement (@statements)
	{
		$views{"defer.$1"} = 1 if flat(@$statement) =~ /^CREATE VIEW defer \. (\w+)/;
	}
	for my $n (0 .. $#statements)
	{
		my $statement = $statements[$n];
		my @t = @$statement;
		my $verb = $t[0][0] eq 'word' ? $t[0][1] : '';
		my $text = flat(grep { $_->[0] !~ /^(body|string)$/ } @t);
		my $is_view = $text =~ /^CREATE (OR REPLACE )?(MATERIALIZED )?VIEW\b/i;
		my $is_atomic = $text =~ /\bBEGIN ATOMIC\b/i;
		my @found;

		push @found, 'OR REPLACE' if $text =~ /\bOR REPLACE\b/i;
		push @found, 'IF NOT EXISTS' if $text =~ /\bIF NOT EXISTS\b/i;
		if ($verb eq 'CREATE') { push @found, create_problems($statement); }
		elsif ($verb eq 'GRANT') { push @found, grant_problems($statement, \%views); }
		elsif ($verb eq 'SET') { push @found, 'another SET' unless $n == 0 || $text =~ /^SET LOCAL (default_table_access_method TO heap|default_tablespace TO)$/; }
		elsif ($verb eq 'ALTER') { push @found, "$verb is not for this script" unless $text =~ /^ALTER TABLE defer \. \w+ REPLICA IDENTITY FULL$/; }
		elsif ($verb !~ /^(COMMENT|REVOKE|SELECT|INSERT|DO)$/) { push @found, "$verb is not for this script"; }
		push @found, 'set_config' if $text =~ /\bset_config\b/i;

		# options such as WITH (fillfactor = 50), those of an aggregate, and defaults of
		# parameters, are no operators
		my $is_aggregate = $text =~ /^CREATE AGGREGATE\b/i ? 1 : 0;
		my $options = $is_aggregate;
		my %option;
		for my $i (0 .. $#t)
		{
			$options = 1 if is_word($t[$i], 'WITH') && ($t[ $i + 1 ] // [''])->[0] eq '(';
			$option{$i} = $options;
			$options = $is_aggregate if $t[$i][0] eq ')';
		}
		push @found, expression_problems($statement, parsed => $is_view || $is_atomic, no_tables => scalar($verb =~ /^(GRANT|REVOKE|COMMENT)$/),
			assignments => sub { $option{ $_[0] } })
		  unless $verb =~ /^(COMMENT|GRANT|REVOKE|SET)$/;
		for my $body (map { $_->[1] } grep { $_->[0] eq 'body' } @t)
		{
			push @found, map { "in a body: $_" } map { expression_problems($_, assignments => sub { 0 }) } statements(tokens($body));
			push @found, 'in a body: SET' if $body =~ /\bSET\s+(?:LOCAL\s+|SESSION\s+)?(?:search_path|role|session)\b/i;
		}
		my $where = substr($text, 0, 60);
		push @problems, map { "$_ ($where)" } @found;
	}
	return @problems;
}

# ------------------------------------------------------------------------
# SQL in C
# ------------------------------------------------------------------------

# The string literals of a C file, neighbours joined, without those that are
# messages; %d and the like are kept as words, and so are macros between them whose text
# is not in the file
sub c_literals
{
	my ($c) = @_;
	my (@literals, %text);
	my $literals = qr{"(?:\\.|[^"\\])*"(?:\s*"(?:\\.|[^"\\])*")*};

	$c =~ s{/\*.*?\*/}{}gs;
	$c =~ s{\\\n}{}g;
	$text{$1} = $2 while $c =~ m{^\#define\s+([A-Z_]+)\s+($literals)\s*$}gm;
	for my $macro (keys %text)
	{
		$c =~ s{"\s*\K\b$macro\b(?=\s*")}{$text{$macro}}g && $c =~ s{^\#define\s+$macro\s.*$}{}m;
	}
	$c =~ s{\b(?:errmsg|errmsg_internal|errmsg_plural|errhint|errdetail|errdetail_internal|elog)\s*\((?:[^()"]|"(?:\\.|[^"\\])*"|\((?:[^()"]|"(?:\\.|[^"\\])*"|\([^()]*\))*\))*\)}{}gs;
	while ($c =~ m{("(?:\\.|[^"\\])*"(?:\s*(?:[A-Z_]+\s*)?"(?:\\.|[^"\\])*")*)}gs)
	{
		my $literal = $1;

		$literal =~ s{"\s*([A-Z_]*)\s*"}{ $1 }gs;
		$literal =~ s{^"|"$}{}g;
		$literal =~ s{\\n}{ }g;
		$literal =~ s{\\"}{"}g;
		push @literals, $literal;
	}
	return @literals;
}

sub c_sql_problems
{
	my ($c, %options) = @_;
	my @problems;

	for my $literal (c_literals($c))
	{
		next unless $literal =~ /(?:^|\s|\()(?:SELECT\b.*(?:\bFROM\b|\()|INSERT INTO|UPDATE \S+|DELETE FROM|WITH \w+ AS|CREATE (?:TABLE|INDEX)|LOCK TABLE|ALTER TABLE|DROP TABLE|WHERE |^\s*(?:AND|OR) |ORDER BY|LEFT JOIN|JOIN )/s;
		my @t = tokens($literal);
		my $first_set;

		# UPDATE ... SET a = b, c = d: up to WHERE or FROM these are no operators
		my %assignment;
		my $set = 0;
		my $depth = 0;
		for my $i (0 .. $#t)
		{
			$set = $depth + 1 if is_word($t[$i], 'SET');
			$depth++ if $t[$i][0] eq '(';
			$depth-- if $t[$i][0] eq ')';
			$set = 0 if is_word($t[$i], 'WHERE', 'FROM', 'RETURNING');
			$assignment{$i} = $set && $set == $depth + 1;
		}
		push @problems, map { "$_ (" . substr($literal, 0, 70) . ')' } expression_problems(\@t, schemas => $options{schemas}, like => scalar($literal =~ /^CREATE TABLE/),
			assignments => sub { $assignment{ $_[0] } });
	}
	return @problems;
}

1;
