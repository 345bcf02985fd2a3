# A source's trigger makes the call that the row says, and nothing about its mapping, its
# table or its rights fails the statement.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SourceServers;
use Test::More;

# ---- mappings with a fault: arguments, reason, DETAIL of the WARNING ----

my %wrong = (
	a => [
		q{'A', 'emial=email', 'event_id=id'},
		'mapping: emial',
		qr/There is no such key/
	],
	b => [
		q{'B', 'value=(1/($1.id - $1.id))', 'event_id=id'},
		'mapping: value',
		qr/raised an error with SQLSTATE 22012/
	],
	c => [
		q{'C', 'value=nope', 'event_id=id'},
		'mapping: value',
		qr/has no column "nope"/
	],
	d => [
		q{'D', 'value=(SELECT sku FROM lines)', 'event_id=id'},
		'mapping: value',
		qr/relation "lines" does not exist/
	],
	e =>
	  [ q{'E', 'value=id', 'value=id'}, 'mapping: value', qr/mapped twice/ ],
	f => [
		q{'F', 'a b c', 'event_id=id'},
		'mapping: argument 2',
		qr/not of the form/
	],
	g => [ q{'', 'event_id=id'}, 'mapping: event_name', qr/has no name/ ],
	h => [
		q{'H', 'action_source:=print', 'event_id=id'},
		'mapping: action_source',
		qr/action source is unknown/
	],
	i =>
	  [ q{'I', 'event_time=(pg_catalog.pg_sleep(0))', 'event_id=id'}, undef ],
	j => [ q{'J', 'consent=email', 'opt_out=email', 'event_id=id'}, undef ],
	k => [
		q{'K', 'value=(1; DROP TABLE lines)', 'event_id=id'},
		'mapping: value',
		qr/can't be evaluated|raised an error/
	]);

# A row that a trigger gets has no values of virtual columns.
sub virtual_columns
{
	my ($node) = @_;
	my $seen =
	  q{SELECT string_agg(concat_ws(' ', event_id, call #>> '{marks,reject}', call -> 'properties'), ', ' ORDER BY n) FROM seen};

	source_sql(
		$node, 'shop', 'owner', q{TRUNCATE seen;
	CREATE TABLE priced (id integer, net numeric, "Gross Total" numeric GENERATED ALWAYS AS (net * 1.5), label text GENERATED ALWAYS AS (upper('n' || id)),
		share numeric GENERATED ALWAYS AS (100 / net));
	CREATE TRIGGER t AFTER INSERT OR DELETE ON priced FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('P', 'event_id=id', 'value=Gross Total',
		'content_name=($1.label)');
	INSERT INTO priced VALUES (1, 10), (2, 0);
	DELETE FROM priced WHERE id = 1}
	);
	is( source_sql($node, 'shop', 'owner', $seen),
		'1 {"value": 15.0, "content_name": "N1"}, 2 {"value": 0.0, "content_name": "N2"}, 1 {"value": 15.0, "content_name": "N1"}',
		'virtual columns are computed');
	source_sql(
		$node, 'shop', 'owner', q{TRUNCATE seen; DROP TRIGGER t ON priced;
	CREATE TRIGGER t AFTER INSERT ON priced FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('P', 'value=share');
	INSERT INTO priced VALUES (3, 0)}
	);
	like(
		source_sql($node, 'shop', 'owner', $seen),
		qr/ mapping: row$/,
		'one that raises an error fails no statement');
	return;
}

sub calls
{
	my ($source) = @_;
	my $node =
	  new_source($source, "source_$source->{major}", "autovacuum = off\n");

	$node->safe_psql('postgres',
		'CREATE ROLE owner LOGIN; CREATE ROLE other LOGIN; CREATE DATABASE shop OWNER owner'
	);
	ok((load_script($node, 'shop', 'owner'))[0], 'the script runs');

	# what is written is seen by a trigger
	source_sql(
		$node, 'shop', 'owner', q{
	CREATE TABLE seen (n serial, event_name text, event_id text, call jsonb);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO public.seen (event_name, event_id, call) VALUES (NEW.event_name, NEW.event_id, NEW.call::jsonb); RETURN NULL; END $$;
	CREATE TRIGGER see AFTER INSERT ON pinterest_capi._call FOR EACH ROW EXECUTE FUNCTION see();
	CREATE TYPE state AS ENUM ('open', 'paid');
	CREATE TABLE lines (order_id integer, sku text);
	CREATE TABLE orders (id integer PRIMARY KEY, email text, total money, code char(12), address inet, at timestamptz, state state, tags text[]);
	GRANT INSERT, UPDATE, DELETE, SELECT ON orders TO other;
	INSERT INTO lines VALUES (1, 'a'), (1, 'b');
	CREATE TRIGGER t AFTER INSERT OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('Order Placed', 'email=email', 'value=total',
		'currency:=EUR', 'order_id=code', 'event_id=code', 'visitor_id=email', 'ip=address', 'event_time=at', 'content_category=state', 'product_ids=tags',
		'contents=(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(''id'', l.sku)) FROM public.lines AS l WHERE l.order_id = $1.id)')}
	);
	source_sql($node, 'shop', 'owner',
		q{UPDATE pinterest_capi.source_setting SET send_client_ip = true});
	is( source_sql(
			$node,
			'shop',
			'other',
			q{INSERT INTO orders VALUES (1, ' A@Example.com', 12.50, 'o1', '10.0.0.1/24', '2026-01-01 00:00+00', 'paid', '{x,y}')}
		),
		'',
		'who writes needs no right');
	is( source_sql(
			$node, 'shop',
			'owner', q{SELECT event_id, call - 'version' FROM seen}),
		'o1|{"marks": {"from_data": true}, "visitor": "'
		  . sha256_hex(' A@Example.com')
		  . '", "user_data": {"ip": "10.0.0.1", "email": {"hash": "'
		  . sha256_hex('a@example.com')
		  . '"}}, "properties": {"value": 12.50, "contents": [{"id": "a"}, {"id": "b"}], "currency": "EUR", "order_id": "o1", "product_ids": ["x", "y"], "content_category": "paid"}}',
		'a row becomes a call');
	is( source_sql(
			$node, 'shop',
			'owner', 'SELECT count(*) FROM pinterest_capi._call'),
		'0',
		'that stays nowhere');

	# nothing about a mapping fails the statement
	for my $name (sort keys %wrong)
	{
		my ($arguments, $reason, $why) = @{ $wrong{$name} };

		source_sql(
			$node, 'shop', 'owner',
			qq{TRUNCATE seen; DROP TRIGGER IF EXISTS w ON orders; DROP TRIGGER IF EXISTS t ON orders;
		CREATE TRIGGER w AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger($arguments)}
		);
		my ($ok, $out, $err) = source_psql($node, 'shop', 'other', '-c',
				'INSERT INTO orders (id, email) VALUES ('
			  . (100 + ord $name)
			  . ", 'x'); INSERT INTO orders (id, email) VALUES ("
			  . (300 + ord $name)
			  . ", 'x')");

		ok($ok, "$arguments: no order fails");
		is( source_sql(
				$node,
				'shop',
				'owner',
				q{SELECT count(*) || ' ' || coalesce(min(call #>> '{marks,reject}'), '-') FROM seen}
			),
			'2 ' . ($reason // '-'),
			"$arguments: recorded");
		is( () = $err =~ /WARNING/g,
			$reason ? 1 : 0,
			"$arguments: one WARNING");
		like($err, $why, "$arguments: why") if $why;
	}
	is(source_sql($node, 'shop', 'owner', q{SELECT count(*) FROM lines}),
		'2', 'nothing was dropped');

	virtual_columns($node) if $source->{major} >= 18;

	# triggers that are none
	source_sql(
		$node, 'shop', 'owner', q{TRUNCATE seen; DROP TRIGGER w ON orders;
	CREATE TRIGGER w BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('E');
	CREATE TRIGGER v AFTER INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION pinterest_capi.track_trigger('E')}
	);
	is( source_sql(
			$node, 'shop',
			'other', 'INSERT INTO orders (id) VALUES (500) RETURNING id'),
		'500',
		'a BEFORE trigger lets the row be');
	is( source_sql(
			$node,
			'shop',
			'owner',
			q{SELECT string_agg(DISTINCT call #>> '{marks,reject}', ' ') || count(*) FROM seen}
		),
		'not a row-level AFTER trigger2',
		'and is recorded');

	# of a table of somebody else, who could have written anything into a mapping
	$node->safe_psql(
		'shop', q{
	CREATE SCHEMA theirs AUTHORIZATION other;
	GRANT EXECUTE ON FUNCTION pinterest_capi.track_trigger() TO other});
	source_sql(
		$node, 'shop', 'other', q{
	CREATE TABLE theirs.t (id integer, email text);
	CREATE FUNCTION theirs.who() RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
	CREATE TRIGGER a AFTER INSERT ON theirs.t FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('A', 'email=email', 'event_id=id');
	CREATE TRIGGER b AFTER INSERT ON theirs.t FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('B', 'content_name=(theirs.who())', 'event_id=id')}
	);
	source_sql($node, 'shop', 'owner', 'TRUNCATE seen');
	source_sql($node, 'shop', 'other',
		q{INSERT INTO theirs.t VALUES (1, 'a@example.com')});
	is( source_sql(
			$node,
			'shop',
			'owner',
			q{SELECT string_agg(event_name || ' ' || coalesce(call #>> '{marks,reject}', '-') || ' ' || (call -> 'properties'), ', ' ORDER BY event_name) FROM seen}
		),
		'A - {}, B mapping: content_name {}',
		'columns are read, and no code of theirs runs as the owner');
	source_sql(
		$node, 'shop', 'other', q{
	CREATE TYPE theirs.pair AS (a text);
	CREATE FUNCTION theirs.to_json(theirs.pair) RETURNS json LANGUAGE sql AS 'SELECT to_json(current_user::text)';
	CREATE CAST (theirs.pair AS json) WITH FUNCTION theirs.to_json(theirs.pair);
	ALTER TABLE theirs.t ADD p theirs.pair});
	source_sql($node, 'shop', 'owner', 'TRUNCATE seen');
	is( source_sql(
			$node, 'shop', 'other',
			q{INSERT INTO theirs.t VALUES (2, 'a@example.com', ROW('x'))}),
		'',
		'nor a cast of theirs');
	is( source_sql(
			$node,
			'shop',
			'owner',
			q{SELECT event_name || ' ' || (call #>> '{marks,reject}') FROM seen WHERE event_name = 'A'}
		),
		'A mapping: row',
		'which is recorded');

	# When the script's table was dropped, orders are still written.
	$node->safe_psql('shop', 'DROP TABLE pinterest_capi._call CASCADE');
	is( source_sql(
			$node, 'shop',
			'other', 'INSERT INTO orders (id) VALUES (501) RETURNING id'),
		'501',
		'an order without the table');


	$node->stop;
	return;
}

for my $source (source_servers())
{
	subtest "PostgreSQL $source->{version}" =>
	  sub { calls($source); done_testing() };
}
done_testing();
