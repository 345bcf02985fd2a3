# The files in monitoring/ work: both exporters give the same metrics, and the
# right ones, to a role that has only the level monitor; the queries read
# recent rows and no others; Prometheus accepts the rules; Grafana's dashboard
# asks only for metrics that exist.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use HTTP::Tiny;
use IPC::Run      ();
use JSON::PP      ();
use PinterestStub qw(:DEFAULT sql);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = "$FindBin::RealBin/../monitoring";
my $stub = PinterestStub->new;
my $node = setup_node('monitoring', $stub);
my $http = HTTP::Tiny->new(timeout => 10);

sub monitor
{
	return $node->safe_psql('postgres', $_[0],
		extra_params => [ '-U', 'prometheus' ]);
}

sub track
{
	my ($name, $id, $more) = @_;

	sql(qq{SELECT pinterest_capi.track('$name', '{"value": 1, "currency": "EUR"}', '{"em": "a\@example.com"}',
		event_id => '$id' @{[$more // '']})});
	return;
}

sub slurp_yaml_queries
{
	my ($file) = @_;
	my $text = slurp_file("$folder/$file");
	my %queries;

	# name, then its query as a block of lines with a deeper indentation
	while ($text =~
		/^(?:  - name: )?(pinterest_capi_\w+)(?:$|:\n)(.*?)^ +query: \|\n((?: +[^\n]*\n)+?)(?=\n|\z|  metrics:)/msg
	  )
	{
		my ($name, $query) = ($1, $3);

		$query =~ s/^ +//mg;
		$queries{$name} = $query;
	}
	return \%queries;
}

# ---- the state that the queries show ----

sql(q{SELECT pinterest_capi.allow_event('Order Placed', send_as => 'Checkout');
	SELECT pinterest_capi.allow_event('Never Comes');
	SELECT pinterest_capi.configure_destination('2617998078212', 'pina_second', '549755885175', 'second');
	SELECT pinterest_capi.allow_event('Order Placed', send_as => 'Checkout', destination => 'second');
	SELECT pinterest_capi.pause_destination('second');
	CREATE ROLE prometheus LOGIN;
	SELECT pinterest_capi.grant_access('prometheus', 'monitor')});
$stub->script(
	{ times => 0, fail => { bad1 => 'Refused.', bad2 => 'Refused.' } });
track('Order Placed', "good$_", ", destination => 'default'") for 1 .. 5;
track('Order Placed', "bad$_", ", destination => 'default'")  for 1 .. 2;
track('order placed', "waits$_", ", destination => 'second'") for 1 .. 3;
track('Order Placed', 'old',
	", destination => 'default', event_time => now() - interval '8 days'");
track('Order Placed', 'ahead',
	", destination => 'default', event_time => now() + interval '1 day'");
track('nobody allowed this', 'nowhere');
sql(q{SELECT pinterest_capi.track('checkout', '{"value": 1, "currency": "EUR"}', event_id => 'nobody')}
);
is(sql('SELECT pinterest_capi.flush()'),
	't', 'all events that can be sent are sent');

my @columns =
  qw(tracked_last_hour waiting sent failed expired rejected suppressed cancelled);
my $columns = join ', ', @columns;
is( sql("SELECT coalesce(destination, '-'), coalesce(event_name, '-'), $columns FROM pinterest_capi.event_activity ORDER BY 1, 2"
	),
	join("\n",
		'-|-|1|0|0|0|0|0|1|0',
		'default|Never Comes|0|0|0|0|0|0|0|0',
		'default|Order Placed|9|0|5|2|1|1|0|0',
		'default|checkout|1|0|0|0|0|0|1|0',
		'second|Order Placed|3|3|0|0|0|0|0|0'),
	'event_activity: each allowed event, whatever became of it, and one row for what goes nowhere'
);
is( sql(q{SELECT count(*) FROM pinterest_capi.event_activity WHERE last_tracked_at > now() - interval '1 hour'}
	),
	'4',
	'last_tracked_at: where one came');

sub counted
{
	my ($name) = @_;

	ok( poll(
			sub {
				sql(q{SELECT (SELECT max(mark) FROM pinterest_capi._statistics_mark) = (SELECT max(id) FROM pinterest_capi._event)
					AND NOT EXISTS (SELECT FROM pinterest_capi._statistics_change)}
				) eq 't';
			}),
		$name);
	return;
}

counted('all are counted');
is( sql("BEGIN; UPDATE pinterest_capi._statistics SET hour = hour - interval '2 hours'; SELECT $columns FROM pinterest_capi.event_activity WHERE event_name = 'Order Placed' AND destination = 'default'; ROLLBACK"
	),
	'0|0|0|0|0|0|0|0',
	'and not of two hours ago');

my $of_hour =
  q{SELECT destination, sent_last_hour, failed_last_hour FROM pinterest_capi.destination_status ORDER BY 1};
my $minutes =
  q{(SELECT array_agg(v - CASE WHEN n % 3 = 1 THEN 60 ELSE 0 END ORDER BY n) FROM unnest(last_hour) WITH ORDINALITY AS m (v, n))};
is(sql($of_hour), "default|5|2\nsecond|0|0",
	'destination_status: what was sent, and what failed, within an hour');
is( sql("BEGIN; UPDATE pinterest_capi._destination_state SET last_hour = $minutes; $of_hour; ROLLBACK"
	),
	"default|0|0\nsecond|0|0",
	'and not what was an hour ago');

# ---- the queries, by a role with only the level monitor ----

my $queries = slurp_yaml_queries('sql-exporter.yml');
is_deeply(
	[ sort keys %$queries ],
	[
		qw(pinterest_capi_destination pinterest_capi_event pinterest_capi_server)
	],
	'three queries');
is_deeply(slurp_yaml_queries('postgres-exporter.yml'),
	$queries, 'the same for both exporters');
for my $name (sort keys %$queries)
{
	my (undef, $out, $err) = $node->psql('postgres', $queries->{$name},
		extra_params => [ '-U', 'prometheus' ]);

	is($err, '', "$name: the level monitor is enough");
	isnt($out, '', "$name: and there are rows");
}

# ---- cost: a month of events, and the rows that the queries read ----

sql(q{INSERT INTO pinterest_capi._event (created_at, event_time, dest, event_id, event_name, sent_as, payload)
		SELECT t, t, 1, 'past-' || n, 'Order Placed', 'checkout', repeat('x', 300)
		FROM generate_series(1, 60000) AS n, LATERAL (SELECT now() - interval '30 days' + n * interval '42 s') AS past (t);
	INSERT INTO pinterest_capi._outcome (id, finished_at, dest, attempts, http_status, status)
		SELECT id, created_at, dest, 1, 200, 'sent' FROM pinterest_capi._event WHERE event_id LIKE 'past-%';}
);
track('Order Placed', "late$_", ", destination => 'default'") for 1 .. 3;
is(sql('SELECT pinterest_capi.flush()'), 't', 'three more are sent');
counted('and counted');
sql('VACUUM ANALYZE pinterest_capi._event; VACUUM ANALYZE pinterest_capi._outcome'
);
for my $name (sort keys %$queries)
{
	my $plan = JSON::PP::decode_json(
		sql("EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) $queries->{$name}"
		));
	my $read = $plan->[0]{Plan}{'Shared Hit Blocks'} +
	  $plan->[0]{Plan}{'Shared Read Blocks'};
	my $pages = sql(
		q{SELECT (pg_relation_size('pinterest_capi._event') + pg_relation_size('pinterest_capi._outcome')) / 8192}
	);

	cmp_ok($read, '<', $pages / 5, "$name: reads $read blocks of $pages");
}

# ---- the exporters and Prometheus themselves ----

my %missing =
  map  { $_ => 1 }
  grep { !first_in_path($_) }
  qw(promtool prometheus prometheus-sql-exporter prometheus-postgres-exporter);

sub first_in_path
{
	my ($name) = @_;

	return grep { -x "$_/$name" } split /:/, $ENV{PATH};
}

sub start_tool
{
	my ($name, $port, @command) = @_;
	my $log = "$PostgreSQL::Test::Utils::log_path/$name.log";
	my $process =
	  IPC::Run::start(\@command, '<' => \undef, '>' => $log, '2>&1');

	ok( poll(sub { $http->get("http://127.0.0.1:$port/metrics")->{success} }),
		"$name: it answers") or diag(slurp_file($log));
	return $process;
}

sub alert_names { return sort $_[0] =~ /^ *- alert: (\w+)$/mg }

SKIP:
{
	skip 'not installed: ' . join(', ', sort keys %missing), 1 if %missing;

	my $dir = PostgreSQL::Test::Utils::tempdir();
	my ($postgres_port, $sql_port, $prometheus_port) =
	  map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 3;
	my $connection =
		'postgres://prometheus@/postgres?host='
	  . $node->host
	  . '&port='
	  . $node->port
	  . '&sslmode=disable';

	command_ok([ 'promtool', 'check', 'rules', "$folder/alerts.yml" ],
		'promtool check rules');
	my @tests = ("$folder/alerts.test.yml", "$folder/alerts-week.test.yml");
	command_ok([ 'promtool', 'test', 'rules', @tests ],
		'promtool test rules');
	my $rules = slurp_file("$folder/alerts.yml");
	my $tests = join '', map { slurp_file($_) } @tests;
	my %fires =
	  map { $_ => 1 } $tests =~ /alertname: (\w+)\n +exp_alerts:\n/g;
	is_deeply(
		[ sort keys %fires ],
		[ alert_names($rules) ],
		'each alert fires in a test of its own');

	# The files are used unchanged, but for paths and addresses.
	my $sql_config = slurp_file("$folder/sql-exporter.yml");
	$sql_config =~ s{^  - postgres://\S+$}{  - $connection}m or die;
	$sql_config =~ s/interval: 1m/interval: 1s/              or die;
	append_to_file("$dir/sql-exporter.yml", $sql_config);
	my $config = slurp_file("$folder/prometheus.yml");
	$config =~ s/localhost:9187/127.0.0.1:$postgres_port/ or die;
	$config =~ s/localhost:9237/127.0.0.1:$sql_port/      or die;
	append_to_file("$dir/prometheus.yml",
		"global: {scrape_interval: 1s, evaluation_interval: 1s}\n$config");
	append_to_file("$dir/alerts.yml", $rules);

	my @tools;
	{
		local $ENV{DATA_SOURCE_NAME} = $connection;
		push @tools,
		  start_tool(
			'prometheus-postgres-exporter',
			$postgres_port,
			'prometheus-postgres-exporter',
			"--web.listen-address=127.0.0.1:$postgres_port",
			"--extend.query-path=$folder/postgres-exporter.yml",
			'--disable-default-metrics',
			'--disable-settings-metrics');
	}
	push @tools,
	  start_tool(
		'prometheus-sql-exporter', $sql_port,
		'prometheus-sql-exporter', '-config.file',
		"$dir/sql-exporter.yml", '-web.listen-address',
		"127.0.0.1:$sql_port");
	push @tools,
	  start_tool(
		'prometheus',
		$prometheus_port,
		'prometheus',
		"--config.file=$dir/prometheus.yml",
		"--storage.tsdb.path=$dir/data",
		"--web.listen-address=127.0.0.1:$prometheus_port",
		'--log.level=warn');

	# Wait until each server is ready: before that an exporter answers 503 in
	# plain text, or has only its own metrics.
	ok( poll(
			sub {
				$http->get("http://127.0.0.1:$prometheus_port/-/ready")
				  ->{success};
			}),
		'prometheus: it is ready');

	my $api = sub {
		my ($path, %form) = @_;
		my $url = "http://127.0.0.1:$prometheus_port/api/v1/$path";
		my $answer =
		  %form ? $http->post_form($url, \%form) : $http->get($url);

		return JSON::PP::decode_json($answer->{content})->{data};
	};
	my $ask = sub {
		my ($expr) = @_;
		my $data = $api->('query', query => $expr);

		return $data ? $data->{result} : undef;
	};

	for my $job (
		qw(pinterest_capi_postgres_exporter pinterest_capi_sql_exporter))
	{
		ok( poll(
				sub {
					@{
						$ask->(
							"pinterest_capi_event_tracked_last_hour{job=\"$job\"}"
						) // []
					} == 4;
				}),
			"$job: scraped, a metric for each allowed event");

		# Compare with SQL every metric that can't change between the two
		# queries.
		my %seen = map {
			my $labels = $_->{metric};
			"$labels->{__name__} $labels->{datname} "
			  . join(' ',
				grep { defined } @$labels{qw(destination event_name)}) =>
			  $_->{value}[1]
		  } @{
			$ask->(
				"{job=\"$job\", __name__=~\"pinterest_capi_.*\", __name__!~\".*_seconds|.*in_flight_requests\"}"
			)
		  };
		my %expected;
		for my $name (keys %$queries)
		{
			my $rows = JSON::PP::decode_json(
				monitor("SELECT json_agg(q) FROM ($queries->{$name}) AS q"));

			for my $row (@$rows)
			{
				my $labels = join ' ',
				  grep { defined }
				  delete @$row{qw(datname destination event_name)};
				for my $column (grep { !/_seconds|in_flight/ } keys %$row)
				{
					$expected{ "${name}_$column $labels"
						  . ($name =~ /server/ ? ' ' : '') } =
					  $row->{$column} + 0;
				}
			}
		}
		is_deeply(\%seen, \%expected, "$job: the metrics are SQL's");
		is(scalar(grep { / waits|a\@example/ } keys %seen),
			0, "$job: no event's id among the labels");
		for my $metric (
			'pinterest_capi_destination_oldest_queued_seconds{destination="second"}',
			'pinterest_capi_destination_last_sent_seconds{destination="default"}',
			'pinterest_capi_server_last_cycle_seconds')
		{
			my $one = $ask->($metric =~ s/\}|(?<=seconds)$/, job="$job"}/r =~
				  s/(seconds), /$1\{/r);

			my $seconds = @$one ? $one->[0]{value}[1] : -1;

			ok($seconds >= 0 && $seconds < 3600, "$job: $metric")
			  or diag($seconds);
		}
	}
	ok( poll(
			sub {
				(grep { $_->{health} eq 'up' }
					  @{ $api->('targets')->{activeTargets} }) == 2;
			}),
		'both targets are up') or diag(explain($api->('targets')));

	# the dashboard: each panel's query has a result
	my $dashboard =
	  JSON::PP::decode_json(slurp_file("$folder/grafana-dashboard.json"));
	my %id;
	ok( $dashboard->{title}
		  && $dashboard->{uid}
		  && $dashboard->{schemaVersion} >= 36,
		'a dashboard');
	for my $panel (@{ $dashboard->{panels} })
	{
		my $grid = $panel->{gridPos};
		my $whole =
			 $panel->{title}
		  && $panel->{description}
		  && !$id{ $panel->{id} }++
		  && $grid->{x} + $grid->{w} <= 24
		  && $grid->{w} > 0
		  && $grid->{h} > 0;

		ok($whole,
			"panel $panel->{id}: title, description, an id of its own, a place"
		);
		for my $target (@{ $panel->{targets} })
		{
			my $expr = $target->{expr} =~ s/\$(?:database|destination)/.*/gr;
			my $result = $ask->($expr);

			ok($result && @$result, "$panel->{title}: $target->{expr}");
			my @labels = $target->{legendFormat} =~ /\{\{(\w+)\}\}/g;
			ok( !(grep { !exists $result->[0]{metric}{$_} } @labels),
				"$panel->{title}: the legend's labels are there");
		}
	}
	for my $variable (grep { $_->{type} eq 'query' }
		@{ $dashboard->{templating}{list} })
	{
		my ($metric, $label) = $variable->{query} =~
		  /^label_values\((\w+)(?:\{[^}]*\})?, (\w+)\)$/;
		my $result = $ask->($metric);

		ok( $result && @$result && exists $result->[0]{metric}{$label},
			"variable $variable->{name}: $variable->{query}");
	}

	# the rules, run by Prometheus
	my $loaded = $api->('rules')->{groups}[0]{rules};
	is_deeply(
		[ sort map { $_->{name} } @$loaded ],
		[ alert_names($rules) ],
		'Prometheus has the rules');
	ok( poll(
			sub {
				my %state = map { $_->{name} => $_ }
				  @{ $api->('rules')->{groups}[0]{rules} };
				$state{PinterestDestinationPaused}{state} =~ /pending|firing/
				  && $state{PinterestDestinationNotReady}{state} eq
				  'inactive';
			}),
		'a paused destination is on its way to be an alert');
	ok( !(  grep { $_->{health} eq 'err' }
			@{ $api->('rules')->{groups}[0]{rules} }),
		'no rule has an error');

	$_->kill_kill(grace => 5) for @tools;
}

done_testing();
