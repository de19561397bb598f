# The workers of doc/workers.md, as they stand there: in Python with psycopg 3, and with
# DEFER_CHECK_CLIENTS, which tools/check-clients sets, in Ruby and Go.
use strict;
use warnings;

use DeferTest;
use NodeClient;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir();
my $all = q{SELECT NOT EXISTS (SELECT FROM defer.job)};

# For each language: where the page's own program begins to run, what a test has in place of it,
# and the command.  Both tasks write; of the image 0 that is an error.
my %language = (
	python => {
		probe => q{/usr/bin/python3 -c 'import psycopg'},
		page_main => qr/^worker\(/m,
		main => qq{
def broken(conn, stop, args):
    conn.execute("INSERT INTO image VALUES (0)")
    raise ValueError('no such image')

tasks = {'resize image': lambda conn, stop, args: (broken if args['id'] == 0 else resize)(conn, stop, args)}
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    while not conn.execute("$all").fetchone()[0]:
        worker(sys.argv[1], tasks, once=True)
        conn.execute("CALL defer.wait_for_work(%s, '1 s')", (list(tasks),))
},
		command => [ '/usr/bin/python3', "$folder/worker.python" ] },
	ruby => {
		probe => q{ruby -e 'require "pg"'},
		page_main => qr/^worker\(/m,
		main => qq{
broken = lambda do |conn, stop, args|
  conn.exec('INSERT INTO image VALUES (0)')
  raise 'no such image'
end
tasks = { 'resize image' => ->(conn, stop, args) { (args['id'].zero? ? broken : resize).call(conn, stop, args) } }
conn = PG.connect(ARGV[0])
while conn.exec("$all").getvalue(0, 0) == 'f'
  worker(ARGV[0], tasks, once: true)
  conn.exec("CALL defer.wait_for_work('{resize image}', '1 s')")
end
},
		command => [ 'ruby', "$folder/worker.ruby" ] },
	go => {
		probe => q{go version && test -d /usr/share/gocode/src/github.com/lib/pq},
		page_main => qr/^func main\(/m,
		main => qq{
func main() {
	db, err := sql.Open("postgres", os.Args[1])
	task := func(ctx context.Context, tx *sql.Tx, args []byte) (any, error) {
		if string(args) == `{"id": 0}` {
			_, _ = tx.Exec("INSERT INTO image VALUES (0)")
			return nil, errors.New("no such image")
		}
		return resize(ctx, tx, args)
	}
	for done := false; err == nil && !done; {
		if err = worker(db, map[string]Task{"resize image": task}, true); err == nil {
			_, err = db.Exec("CALL defer.wait_for_work('{resize image}', '1 s')")
		}
		if err == nil {
			err = db.QueryRow("$all").Scan(&done)
		}
	}
	if err != nil {
		panic(err)
	}
}
},
		command => [ 'go', 'run', "$folder/worker.go" ] });
my @names = grep { $_ eq 'python' || $ENV{DEFER_CHECK_CLIENTS} } sort keys %language;
my %there = map { $_ => system("( $language{$_}{probe} ) >/dev/null 2>&1") == 0 } @names;

plan skip_all => 'python3 has no psycopg' if !grep { $_ } values %there;

my $node = new_server('main', "defer.max_workers = 2\nmax_connections = 30");

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE image (id int PRIMARY KEY, small boolean NOT NULL DEFAULT false);
	SELECT defer.create_task('resize image', max_attempts => 2, initial_interval => '0')});
local %ENV = (%ENV, GOPATH => '/usr/share/gocode', GO111MODULE => 'off', GOCACHE => "$folder/cache");

sub runs
{
	my ($name) = @_;
	my $program = join "\n", slurp_file('doc/workers.md') =~ /^```$name\n(.*?)^```$/msg;
	my ($out, $err);

	like($program, $language{$name}{page_main}, "$name: the page has a worker");
	$program =~ s/$language{$name}{page_main}.*//s;
	$program =~ s/^\t"errors"$/\t"errors"\n\t"os"/m;		# Go: what the test needs besides
	append_to_file("$folder/worker.$name", $program . $language{$name}{main});
	$node->safe_psql('postgres', q{
		TRUNCATE image;
		INSERT INTO image SELECT i FROM generate_series(1, 10) i;
		SELECT defer.enqueue('resize image', jsonb_build_object('id', i)) FROM generate_series(0, 10) i});
	my $before = $node->safe_psql('postgres', 'SELECT max(id) - 11 FROM defer.jobs');

	IPC::Run::run([ @{ $language{$name}{command} }, NodeClient::url($node) ], '>', \$out, '2>', \$err);
	is($err, '', "$name: it says nothing");
	is($node->safe_psql('postgres', qq{SELECT state, count(*), min(attempt), max(attempt), min(result->>'width')
			FROM defer.jobs WHERE id > $before GROUP BY 1 ORDER BY 1}),
		"failed|1|2|2|\nsucceeded|10|1|1|7", "$name: ten images, and one that is not there");
	is($node->safe_psql('postgres', 'SELECT count(*), count(*) FILTER (WHERE small) FROM image'), '10|10', "$name: what it wrote");
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM defer.attempts
			WHERE job_id > $before AND message = 'no such image' AND outcome = 'failed'}), 2, "$name: its errors");
	return;
}

for my $name (@names)
{
  SKIP:
	{
		skip "$name or its driver is not there", 5 if !$there{$name};
		runs($name);
	}
}
$node->stop;
done_testing();
