# Logical decoding and publications of the extension's tables show hashes and
# payloads, but no raw identifier and no token, and they block nothing.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub
  qw(:DEFAULT sql track all_sent clean_log crash has_module new_worker);
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('decoding', $stub,
	conf =>
	  "wal_level = logical\nmax_wal_senders = 3\nmax_replication_slots = 3\npinterest_capi.request_timeout = 300s\nrestart_after_crash = on\n"
);
my $configure =
  sprintf q{SELECT pinterest_capi.configure_destination('%s', '%s')},
  PinterestStub::TAG, PinterestStub::TOKEN;

# ---- published: every table must have a replica identity ----

sql('CREATE PUBLICATION everything FOR ALL TABLES');
track($node, 'first');
$stub->arrives('first', 'FOR ALL TABLES: an event is sent');
new_worker($node);
sql(q{SELECT pinterest_capi.allow_event('lead'); SELECT pinterest_capi.allow_event('lead', properties => '{*}'); SELECT pinterest_capi.disallow_event('lead');
	SELECT pinterest_capi.identify('v', '{"em": "p@example.com"}'); SELECT pinterest_capi.identify('v', '{"fn": "P"}');
	INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('r', 'stop', '$.consent.no == true');
	UPDATE pinterest_capi.consent_rule SET description = 'r'; DELETE FROM pinterest_capi.consent_rule}
);
is( sql(q{SELECT count(*) FROM pinterest_capi.allowed_event WHERE event_name = 'lead'}
	  )
	  . sql('SELECT count(*) FROM pinterest_capi.consent_rule')
	  . sql(q{SELECT count(*) FROM pinterest_capi._visitor}),
	'001',
	'events are allowed and disallowed, visitors and consent rules written');
sql($configure);
$stub->reset;
$stub->script({ status => 500 });
track($node, 'published');
$stub->arrives('published', 'the worker claims, retries and settles');
all_sent($node, 'all of it');
sql(q{SELECT pinterest_capi.pause_destination()});
track($node, 'published-cancelled');
is(sql(q{SELECT pinterest_capi.cancel('published-cancelled')}), '1',
	'cancel');
is( sql(q{SELECT pinterest_capi.replay('default', 'sent', event_name => 'Checkout', event_time_now => true)}
	),
	'2', 'replay');
is(sql(q{SELECT pinterest_capi.cancel('published')}),
	'1', 'cancel of what is replayed');
is(sql(q{SELECT pinterest_capi.forget('v')}), '1', 'forget');
is(sql(q{SELECT count(*) FROM pinterest_capi._visitor}),
	'0', 'which deletes the visitor');
is(sql(q{SELECT pinterest_capi.purge('0')}), '2', 'and purge do too');
sql(q{SELECT pinterest_capi.resume_destination()});
all_sent($node, 'the remaining events are sent');
sql('DROP PUBLICATION everything');

# ---- decoded ----

SKIP:
{
	skip 'no test_decoding here', 10 unless has_module('test_decoding');

	sql(q{SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')}
	);
	sql(q{SELECT pinterest_capi.identify('visitor-jabberwock', '{"em": "Quokka.Zelda@vexilloquark.example", "ph": "+49 176 80817263", "fn": "Ysabranthe"}');
		SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD", "page_url": "https://s.example/?m=Quokka.Zelda@vexilloquark.example"}',
			'{"em": "Quokka.Zelda@vexilloquark.example", "zip": "QZ77 4XJ", "external_id": "customer-zyx98417263"}', 'visitor-jabberwock', 'decoded-canary');
		SELECT pinterest_capi.track('Unlisted', '{}', '{"em": "Quokka.Zelda@vexilloquark.example"}');
		SELECT pinterest_capi.forget('visitor-jabberwock', '{"em": "Quokka.Zelda@vexilloquark.example"}')},
		$configure);
	my $changes = sql(
		q{SELECT data FROM pg_logical_slot_get_changes('decoded', NULL, NULL)}
	);
	like($changes, qr/_event.*decoded-canary/,
		'logical decoding shows events');
	is_deeply(
		[
			grep { $changes =~ /$_/i }
			  qw(quokka vexillo 80817263 ysabranthe QZ77 zyx98417263 jabberwock pina_ TESTONLY)
		],
		[],
		'but no raw identifier, and no token');

	# across DROP EXTENSION and a crash
	my $decoded =
	  q{SELECT count(*) FILTER (WHERE data LIKE 'table pinterest_capi.%%') > 0, count(*) FILTER (WHERE data LIKE '%%%s%%') > 0
		FROM pg_logical_slot_get_changes('decoded', NULL, NULL)};
	sql(q{SELECT pinterest_capi.flush()});
	$stub->hang($node, 'decoded-1');
	is(sql(sprintf $decoded, 'decoded-1'),
		't|t', 'decoding shows an event whose request is in flight');
	sql('DROP EXTENSION pinterest_capi',
		q{CREATE TABLE after_drop AS SELECT 'after-drop' AS what});
	$stub->release;
	is(sql(sprintf $decoded, 'after-drop') =~ s/^[tf]//r,
		'|t', 'changes after DROP EXTENSION are decoded');
	configure($node, $stub, 'postgres');
	track($node, 'decoded-2');
	$stub->arrives('decoded-2', 'made again, it sends');
	becomes($node, 'decoded-2', 'status', 'sent', 'and settles');
	$stub->hang($node, 'decoded-3');
	crash($node);
	$stub->release;
	$node->start;
	is(sql(sprintf $decoded, 'decoded-3'),
		't|t', 'after a crash unread changes are decoded');
	track($node, 'decoded-4');
	$stub->arrives($_, "$_: and all is sent") for qw(decoded-3 decoded-4);
	all_sent($node, 'and settled');
	sql(q{SELECT pg_drop_replication_slot('decoded')});
}

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
