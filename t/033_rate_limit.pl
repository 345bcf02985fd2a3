# The worker keeps max_requests_per_minute: it doesn't exceed the limit, and it
# uses all of it.
#
# PINTEREST_CAPI_TEST_MINUTES=2: watches the limit for so many whole minutes
# instead of a third of one.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use List::Util qw(max min);
use PinterestStub;
use PostgreSQL::Test::Utils;
use Test::More;

my $minutes = $ENV{PINTEREST_CAPI_TEST_MINUTES} // 0;
my $seconds = $minutes ? 60 * $minutes : 20;
my $limit = 60;
my $stub = PinterestStub->new;
my $node = setup_node('limits', $stub);

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

# more events than that time allows requests, one a request
sql("UPDATE pinterest_capi.destination SET batch_size = 1, max_requests_per_minute = $limit"
);
my $n = $limit * ($minutes || 1) + 60;
sql(qq{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
	event_id => 'limited-' || n)) FROM generate_series(1, $n) AS n});
ok($stub->wait_count(requests => 1), 'the first request');
my $begin = ($stub->requests)[0]{arrived_ms};
ok( poll(
		sub { ($stub->requests)[-1]{arrived_ms} - $begin >= 1000 * $seconds },
		2 * $seconds + 60),
	"$seconds seconds of the stub's clock");
my @at = map { $_->{arrived_ms} - $begin } $stub->requests;

# The pause between two requests is that of the median: on a busy machine a
# request may be late, which makes one pause longer and the next one shorter.
my @within = grep { $_ < 1000 * $seconds } @at;
my @pauses =
  sort { $a <=> $b } map { $within[$_] - $within[ $_ - 1 ] } 1 .. $#within;
my $rate = 60_000 / $pauses[ @pauses / 2 ];
note(sprintf 'result: a limit of %d a minute: %.2f a minute over %d s',
	$limit, $rate, $seconds);
cmp_ok($rate, '<=', $limit * 1.02, "$limit requests a minute: no more");
cmp_ok($rate, '>=', $limit * 0.98, 'and no less, within 2 %');
if ($minutes)
{
	cmp_ok(
		scalar(@within), '<=',
		1.02 * $limit * $minutes,
		scalar(@within) . " requests in $minutes minutes: not too many");
	cmp_ok(scalar(@within), '>=', 0.98 * $limit * $minutes, 'nor too few');
}

# any span of a minute; the stub's clock differs a little from the worker's
my $most = max map {
	my $from = $_;
	scalar(grep { $_ >= $from && $_ < $from + 59_950 } @at)
} @at;
cmp_ok($most, '<=', $limit, "at most $most in any minute");
is( sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE status NOT IN ('sent', 'queued')}
	),
	'0',
	'the others wait');

# a new limit counts from now on
sql('UPDATE pinterest_capi.destination SET max_requests_per_minute = 120000');
ok($stub->wait_count(processed => $n),
	'with a very high limit the remaining events are sent soon');
is($stub->count->{duplicates}, 0, 'none twice');

$node->stop;
$stub->stop;
done_testing();
