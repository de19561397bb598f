# The worker of doc/workers.md, as it stands there, with psycopg 3.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $python = '/usr/bin/python3';

plan skip_all => "$python has no psycopg" if !-x $python || system("$python -c 'import psycopg' 2>/dev/null") != 0;

my $node = new_server('main', 'defer.max_workers = 2');

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE image (id int PRIMARY KEY, small boolean NOT NULL DEFAULT false);
	INSERT INTO image SELECT generate_series(1, 10);
	SELECT defer.create_task('resize image', max_attempts => 2, initial_interval => '0')});

# The two blocks of the page, but for the last line, which does not end by itself
my $program = join "\n", slurp_file('doc/workers.md') =~ /^```python\n(.*?)^```$/msg;

like($program, qr/^def worker/m, 'the page has a worker');
$program =~ s/^worker\(.*$//m;
$program .= q{
def broken(conn, stop, args):
    conn.execute("INSERT INTO image VALUES (0)")
    raise ValueError('no such image')

tasks = {'resize image': lambda conn, stop, args: (broken if args['id'] == 0 else resize)(conn, stop, args)}
while True:
    worker(sys.argv[1], tasks, once=True)
    with psycopg.connect(sys.argv[1]) as conn:
        if conn.execute("SELECT NOT EXISTS (SELECT FROM defer.job)").fetchone()[0]:
            break
        conn.autocommit = True
        conn.execute('CALL defer.wait_for_work(%s)', (list(tasks),))
};
my $file = PostgreSQL::Test::Utils::tempdir() . '/worker.py';
append_to_file($file, $program);
$node->safe_psql('postgres', q{SELECT defer.enqueue('resize image', jsonb_build_object('id', i)) FROM generate_series(0, 10) i});
my ($out, $err);
IPC::Run::run([ $python, $file, sprintf('host=%s port=%s dbname=postgres user=postgres', $node->host, $node->port) ], '>', \$out, '2>', \$err);
is($err, '', 'it says nothing');
is($node->safe_psql('postgres', q{SELECT state, count(*), min(attempt), max(attempt), min(result->>'width') FROM defer.jobs GROUP BY 1 ORDER BY 1}),
	"failed|1|2|2|\nsucceeded|10|1|1|7", 'ten images, and one that is not there');
is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE small) FROM image}), '10|10', 'what it wrote');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.attempts WHERE message = 'no such image' AND outcome = 'failed'}), 2, 'its errors');
$node->stop;
done_testing();
