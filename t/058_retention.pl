# Retention deletes old events and empties old payloads, in small transactions,
# and keeps events that still wait.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT sql track new_worker);
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('retention', $stub);
my $n = 7000;

sql(qq{SELECT count(pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "a\@example.com"}',
	visitor_id => 'v', event_id => 'kept-' || n)) FROM generate_series(1, $n) AS n}
);
is(sql("SELECT pinterest_capi.flush('60 s')"), 't', "$n events are sent");

# By their time of ending a third is old enough to be deleted, a third to be
# emptied; one event still waits.
sql(q{
	UPDATE pinterest_capi._outcome AS o SET finished_at = finished_at - CASE e.id % 3 WHEN 0 THEN interval '31 days' WHEN 1 THEN interval '8 days' ELSE '0' END
	FROM pinterest_capi._event AS e WHERE e.id = o.id AND e.event_id LIKE 'kept-%';
	SELECT pinterest_capi.pause_destination()});
track($node, 'waiting');
sql(q{UPDATE pinterest_capi._event SET created_at = created_at - interval '1 year' WHERE event_id = 'waiting'}
);
my ($deleted) = sql(
	q{SELECT count(*) FROM pinterest_capi._event WHERE event_id LIKE 'kept-%' AND id % 3 = 0}
);
my ($emptied) = sql(
	q{SELECT count(*) FROM pinterest_capi._event WHERE event_id LIKE 'kept-%' AND id % 3 = 1}
);

# a pass is made every minute, and when a worker starts
sql('CREATE TABLE steps (xid xid8, n bigint)');
sql(q{
	CREATE FUNCTION count_step() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO public.steps SELECT pg_current_xact_id(), count(*) FROM gone; RETURN NULL; END$$;
	CREATE TRIGGER step AFTER DELETE ON pinterest_capi._outcome REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_step();
	ALTER TABLE pinterest_capi._outcome ENABLE ALWAYS TRIGGER step});
new_worker($node);
ok( $node->poll_query_until(
		'postgres', qq{
		SELECT count(*) = $n - $deleted AND count(*) FILTER (WHERE payload IS NULL) = $emptied
		FROM pinterest_capi._event WHERE event_id LIKE 'kept-%'}),
	"$deleted old events are deleted, the payload of $emptied is emptied");
is( sql(q{SELECT count(*) FROM pinterest_capi._event AS e WHERE event_id LIKE 'kept-%' AND (payload IS NULL) <> (id % 3 = 1)}
	),
	'0',
	'the right ones');
is( sql(q{SELECT count(*) FROM pinterest_capi._event WHERE event_id LIKE 'kept-%' AND payload IS NULL AND visitor IS NOT NULL}
	),
	'0',
	'the visitor goes with the payload');
is( sql(q{SELECT count(*) FROM pinterest_capi._outcome AS o WHERE NOT EXISTS (SELECT FROM pinterest_capi._event AS e WHERE e.id = o.id)}
	),
	'0',
	'no half of a row remains');
is(sql(q{SELECT sum(n) FROM steps}), $deleted, 'each deletion was counted');
is( sql(q{SELECT max(n) <= 2000 AND count(DISTINCT xid) FILTER (WHERE n > 0) >= 4 FROM steps}
	),
	't',
	'in steps of a transaction each, none of more than 2000');
is(sql_status($node, 'waiting', 'status, payload IS NULL'),
	'queued|f', 'a waiting event is kept, however old');
sql('DROP TRIGGER step ON pinterest_capi._outcome; DROP FUNCTION count_step; DROP TABLE steps'
);
sql('SELECT pinterest_capi.resume_destination()');
becomes($node, 'waiting', 'status', 'sent', 'and sent');

# an event_id is free again with its row; an event without a payload can't be replayed
track($node, 'kept-3');
is( sql(q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id = 'kept-3'}
	),
	'1',
	'an event_id may come again after retention');
my (undef, undef, $err) = $node->psql('postgres',
	q{SELECT pinterest_capi.replay('default', 'sent', since => now() - interval '1 day')}
);
like(
	$err,
	qr/$emptied events have no payload and cannot be replayed/,
	'replay says what it cannot do');
is(sql('SELECT pinterest_capi.flush()'), 't', 'the others are sent again');

$node->stop;
$stub->stop;
done_testing();
