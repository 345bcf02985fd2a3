# Whatever a server or a database sets as a default, CREATE EXTENSION makes the
# same objects, and an event that is tracked by a call or by a trigger is sent
# with the same payload.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT track_sql clean_log sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node =
  setup_node('defaults', $stub, conf => "allow_in_place_tablespaces = on\n");

sql('DROP EXTENSION pinterest_capi');
sql('CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler',
	q{CREATE TABLESPACE elsewhere LOCATION ''},
	'CREATE SCHEMA strange',
	'CREATE FUNCTION strange.lower(text) RETURNS text LANGUAGE sql AS $$SELECT 1/0; SELECT NULL::text$$',
	q{CREATE TABLE orders (id text, total numeric, at timestamptz, mail text)}
);

my $objects =
  q{SELECT md5(string_agg(concat_ws(' ', c.relname, c.relkind, a.amname, c.reloptions::text, t.columns), ',' ORDER BY c.relname))
	FROM pg_class AS c LEFT JOIN pg_am AS a ON a.oid = c.relam
	LEFT JOIN LATERAL (SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(d.adbin, d.adrelid)), ',' ORDER BY attnum) AS columns
		FROM pg_attribute LEFT JOIN pg_attrdef AS d ON (adrelid, adnum) = (attrelid, attnum) WHERE attrelid = c.oid AND attnum > 0) AS t ON true
	WHERE c.relnamespace = 'pinterest_capi'::regnamespace};
my ($made, %payload);

# name => settings of the database, for sessions and worker alike
sub same_with
{
	my ($name, %settings) = @_;

	$stub->reset;
	sql(map { "ALTER DATABASE postgres SET $_ = $settings{$_}" }
		sort keys %settings);
	configure($node, $stub, 'postgres');
	my $now = sql(
		"SET standard_conforming_strings = on; SET quote_all_identifiers = off; SET IntervalStyle = postgres; SET DateStyle = ISO; SET search_path = pg_catalog; $objects"
	);
	is($now, $made //= $now, "$name: the same objects");
	sql(q{CREATE TRIGGER t AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger('checkout',
			'event_id=id', 'value=total', 'currency:=EUR', 'event_time=at', 'email=(SELECT ($1).mail)')},
		q{INSERT INTO pinterest_capi.consent_rule (name, action, predicate) VALUES ('large', 'stop', '$.properties.value > 1000')},
		track_sql('call'),
		q{INSERT INTO public.orders VALUES ('row', 12.5, pg_catalog.date_trunc('minute', pg_catalog.now()), 'b@example.com')}
	);
	is(sql(q{SELECT pinterest_capi.flush('20 s')}),
		't', "$name: nothing waits");
	for my $id ('call', 'row')
	{
		my ($payload) =
		  map { s/"event_time":\d+,//r }
		  sql(
			"SELECT payload FROM pinterest_capi._event WHERE event_id OPERATOR(pg_catalog.=) '$id'"
		  );

		is( sql("SELECT status FROM pinterest_capi.dispatch_status WHERE event_id OPERATOR(pg_catalog.=) '$id'"
			),
			'sent',
			"$name: $id: sent");
		is( $payload,
			$payload{$id} //= $payload,
			"$name: $id: the same payload");
	}
	is( sql(q{SELECT pinterest_capi.replay('default', 'sent', since => pg_catalog.now() - pg_catalog.make_interval(hours => 1), new_event_id => true, event_time_now => true)}
		),
		'2',
		"$name: replayed");
	is( sql(q{SELECT pinterest_capi.flush('20 s'), pinterest_capi.purge('0')}
		),
		't|4',
		"$name: sent, and purged");
	is( sql(q{SELECT pg_catalog.count(*) FROM pinterest_capi.doctor() WHERE status OPERATOR(pg_catalog.=) 'error'}
		),
		'0',
		"$name: doctor finds nothing");
	is( sql(q{SELECT pg_catalog.length(pinterest_capi.report_html()) OPERATOR(pg_catalog.>) 1000}
		),
		't',
		"$name: there is a report");
	sql('DROP EXTENSION pinterest_capi CASCADE',
		map { "ALTER DATABASE postgres RESET $_" } sort keys %settings);
	return;
}

same_with('as initdb leaves it');
same_with('another table access method',
	default_table_access_method => 'heap2');
same_with(
	'storage',
	default_tablespace => 'elsewhere',
	temp_tablespaces => 'elsewhere',
	default_statistics_target => 1,
	work_mem => 64,
	maintenance_work_mem => 1024,
	temp_buffers => 100);
same_with(
	'how text is read and written',
	standard_conforming_strings => 'off',
	backslash_quote => 'off',
	escape_string_warning => 'on',
	array_nulls => 'off',
	xmloption => 'document',
	transform_null_equals => 'on',
	DateStyle => q{'SQL, DMY'},
	IntervalStyle => 'sql_standard',
	TimeZone => q{'Asia/Kathmandu'},
	bytea_output => 'escape',
	extra_float_digits => '-15',
	quote_all_identifiers => 'on',
	check_function_bodies => 'off',
	search_path => 'strange, pg_catalog');
same_with(
	'transactions',
	default_transaction_isolation => 'serializable',
	default_transaction_deferrable => 'on',
	row_security => 'off',
	synchronous_commit => 'off',
	idle_in_transaction_session_timeout => q{'10s'});
same_with(
	'planner',
	plan_cache_mode => 'force_generic_plan',
	jit_above_cost => 0,
	enable_indexscan => 'off',
	enable_bitmapscan => 'off',
	enable_nestloop => 'off',
	enable_hashjoin => 'off',
	enable_sort => 'off',
	from_collapse_limit => 1,
	join_collapse_limit => 1);
same_with(
	'parallel',
	parallel_setup_cost => 0,
	parallel_tuple_cost => 0,
	min_parallel_table_scan_size => 0,
	plan_cache_mode => 'force_custom_plan');

clean_log($node);
done_testing();
