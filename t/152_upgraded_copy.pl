# pg_upgrade of a copy, as a rehearsal beside the running server, makes a copy
# that sends nothing; pg_upgrade of the server itself makes the server that
# sends.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track clean_log worker_polls);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('original', $stub,
	conf => "wal_level = replica\nmax_wal_senders = 2\n");
my $bindir = $node->config_data('--bindir');
my $here = PostgreSQL::Test::Utils::tempdir();

plan skip_all => 'no pg_upgrade here' unless -x "$bindir/pg_upgrade";

sub upgraded
{
	my ($old, $name) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name);

	$new->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
	$new->append_conf('postgresql.conf',
		"shared_preload_libraries = 'pinterest_capi'\npinterest_capi.ca_file = '"
		  . $stub->ca_file
		  . "'\n");
	chdir $here or die $!;
	command_ok(
		[
			'pg_upgrade', '--no-sync', '--link', '-d',
			$old->data_dir, '-D', $new->data_dir, '-b',
			$bindir, '-B', $bindir, '-s',
			$new->host, '-p', $old->port, '-P',
			$new->port
		],
		"pg_upgrade: $name");
	$new->start;
	return $new;
}

$node->backup('base');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'base');
$copy->start;
track($copy, 'of-the-rehearsal');
$copy->stop;
my $rehearsal = upgraded($copy, 'rehearsal');
ok( $rehearsal->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE state = 'held'}
	),
	'the original runs on: the copy is held');
like(
	$rehearsal->safe_psql(
		'postgres', q{SELECT message FROM pinterest_capi.destination_status}),
	qr/looks like a copy of the server on host/,
	'it says so');
worker_polls($rehearsal);
is($stub->count->{requests}, 0, 'nothing has been sent');
$rehearsal->stop;

$node->safe_psql('postgres',
	q{SELECT pinterest_capi.pause_destination('default')});
track($node, 'waits');
$node->safe_psql('postgres',
	q{UPDATE pinterest_capi._destination_state SET paused_at = NULL, paused_reason = NULL}
);
$node->stop;
my $new = upgraded($node, 'upgraded');
$stub->arrives('waits',
	'the server itself, upgraded: waiting events are sent without an operator'
);
$new->restart;
track($new, 'restarted');
$stub->arrives('restarted', 'also after a restart');
is(scalar($stub->received('of-the-rehearsal')), 0,
	'nothing of the rehearsal');

clean_log($_) for $rehearsal, $new;
$new->stop;
$stub->stop;
done_testing();
