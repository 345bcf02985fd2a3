# What is configured costs next to nothing per event: with ten thousand allowed
# events, a hundred consent rules and a million visitors, a call takes at most 1.2
# times what it takes with one of each.  And what is changed in any session counts
# in all others at once.
#
# PINTEREST_CAPI_TEST_VISITORS=N	visitors, a million unless given
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $visitors = $ENV{PINTEREST_CAPI_TEST_VISITORS} || 1_000_000;
my $node = PostgreSQL::Test::Cluster->new('settings');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
# nothing is sent, and nobody else works
$node->append_conf('postgresql.conf', "pinterest_capi.dispatch = off\nmax_wal_size = 4GB\nautovacuum = off\n");
$node->start;

for my $db (qw(few many))
{
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, q{
		CREATE EXTENSION pinterest_capi;
		INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
		SELECT pinterest_capi.allow_event('checkout');
		INSERT INTO pinterest_capi.consent_rule VALUES ('rule 1', NULL, 'stop', '$.properties.value > 100001');
		SELECT pinterest_capi.identify('visitor 1', '{"em": "visitor@shop.example"}');
		ANALYZE});
}
my $begun = time();
$node->safe_psql('many', qq{
	INSERT INTO pinterest_capi.allowed_event (event_name) SELECT 'event ' || n FROM generate_series(2, 10000) AS n;
	INSERT INTO pinterest_capi.consent_rule SELECT 'rule ' || n, NULL, 'stop', ('\$.properties.value > ' || 100000 + n)::jsonpath FROM generate_series(2, 100) AS n;
	INSERT INTO pinterest_capi._visitor (visitor, user_data, updated_at)
		SELECT sha256(('visitor ' || n)::bytea), '{"em": ["86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"]}', now()
		FROM generate_series(2, $visitors) AS n;
	ANALYZE; CHECKPOINT});
note(sprintf 'made in %.1f s', time() - $begun);
is($node->safe_psql('many', 'SELECT (SELECT count(*) FROM pinterest_capi.allowed_event), (SELECT count(*) FROM pinterest_capi.consent_rule), (SELECT count(*) FROM pinterest_capi._visitor)'),
	"10000|100|$visitors", 'ten thousand allowed events, a hundred rules, many visitors');

# ---- sessions that stay ----

my %session;
sub session
{
	my ($name, $db) = @_;
	my $s = { in => '', out => '' };

	$s->{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db) ], '<' => \$s->{in}, '>' => \$s->{out});
	$session{$name} = $s;
	return;
}
sub ask
{
	my ($name, $sql) = @_;
	my $s = $session{$name};

	$s->{out} = '';
	$s->{in} .= "$sql\n\\echo done\n";
	$s->{run}->pump until $s->{out} =~ /done\n\z/ || !$s->{run}->pumpable;
	return $s->{out} =~ s/\n?done\n\z//r;
}
session($_, $_) for qw(few many);

# ---- what a call costs, each a statement and a transaction of its own, as applications make them ----

my $calls = 100;
my $file = PostgreSQL::Test::Utils::tempdir() . '/calls.sql';
append_to_file($file, q{
	PREPARE call(text) AS SELECT pinterest_capi.track('checkout', '{"value": 72.39, "currency": "EUR", "order_id": "1001",
		"contents": [{"id": "sku-1", "item_price": 20.00, "quantity": 2}]}', '{"ph": "+442079460958"}', $1) IS NULL;
	SELECT extract(epoch FROM clock_timestamp());
} . "EXECUTE call('visitor 1') \\g /dev/null\n" x $calls . "SELECT extract(epoch FROM clock_timestamp());\nDEALLOCATE call;\n");

sub spent
{
	my ($name) = @_;
	my ($from, $to) = split /\n/, ask($name, "\\i $file");

	return ($to - $from) / $calls;
}
sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ $#sorted / 2 ] }

spent($_) for qw(few many);    # the settings are read
my (@ratios, %took);
for (1 .. 41)
{
	my %round = map { $_ => spent($_) } $_ % 2 ? qw(few many) : qw(many few);

	push @ratios, $round{many} / $round{few};
	push @{ $took{$_} }, $round{$_} for qw(few many);
}
note(sprintf 'result: a call takes %.1f us with one of each, %.1f us with all that: %.2f times as long',
	1e6 * median(@{ $took{few} }), 1e6 * median(@{ $took{many} }), median(@ratios));
cmp_ok(median(@ratios), '<=', 1.2, 'a call takes at most 1.2 times as long');

done_testing();
