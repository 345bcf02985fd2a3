# A dump holds settings, rules, visitors and events, but no token.  A restored
# copy is not ready and sends nothing, though its worker runs, until it has a
# token; then it sends the events that waited.  pg_upgrade keeps the token: it
# is the same server.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('dump', $stub,
	conf => "shared_preload_libraries = 'pinterest_capi'");
my $dumps = PostgreSQL::Test::Utils::tempdir();
my $token = PinterestStub::TOKEN;

sub sql { return $node->safe_psql(@_ > 1 ? @_ : ('postgres', @_)) }

# The original has sent, suppressed and cancelled events and, while the API is
# down, waiting and retrying ones.
sql(<<"SQL");
SELECT pinterest_capi.allow_event('Order Placed', 'Checkout', properties => '{content_name}');
SELECT pinterest_capi.configure_destination('1', 'pina_second_destination_token', '2', 'second');
SELECT pinterest_capi.pause_destination('second');
SELECT pinterest_capi.allow_event('Order Placed', 'Checkout', 'second');
SELECT pinterest_capi.configure_destination('1', 'pina_third_destination_token', '2', 'dropped');
SELECT pinterest_capi.allow_event('gone', destination => 'dropped');
SELECT pinterest_capi.track('gone', '{}', '{"em": "d\@example.com"}', event_id => 'of-dropped');
SELECT pinterest_capi.drop_destination('dropped');
UPDATE pinterest_capi.destination SET max_event_age = '3 days', default_checkout_value = 42 WHERE destination = 'default';
INSERT INTO pinterest_capi.consent_rule (name, action, predicate, description)
	VALUES ('minors', 'stop', '\$.user.age < 18', 'nobody under 18');
SELECT pinterest_capi.identify('visitor-1', '{"em": "v1\@example.com"}', '{"ads": true}');
SELECT pinterest_capi.capture_click('visitor-1', 'https://shop.example/?epik=dj0yJnU9click');
SELECT pinterest_capi.identify('visitor-2', '{"em": "v2\@example.com"}');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', visitor_id => 'visitor-1', event_id => 'sent-before');
SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "v2\@example.com"}', 'visitor-2', event_id => 'to-forget');
SELECT pinterest_capi.track('nobody allowed this', event_id => 'stopped');
SQL
ok($stub->wait_count(processed => 2), 'the original sends');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 2 FROM pinterest_capi.dispatch_status WHERE status = 'sent'}
	),
	'and knows');
sql(q{SELECT pinterest_capi.forget('visitor-2')});
$stub->script({ status => 500 });
sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 7, "currency": "USD"}', '{"em": "w@example.com"}', event_id => 'waits-tried')}
);
ok( $node->poll_query_until(
		'postgres',
		q{SELECT attempts >= 1 FROM pinterest_capi.dispatch_status WHERE event_id = 'waits-tried'}
	),
	'one waits after an attempt');
sql(q{SELECT pinterest_capi.pause_destination()});
sql(qq{SELECT pinterest_capi.track('Order Placed', '{"value": 9, "currency": "EUR", "content_name": "a \\\\ \\"chair\\" \xc3\xbc"}', '{"em": "w\@example.com"}', event_id => 'waits-new')}
);
sql(q{SELECT pinterest_capi.cancel('waits-new', 'second')});
sql('CREATE ROLE shop');
sql(q{SELECT pinterest_capi.grant_access('shop', 'track')});
sql(q{CREATE TABLE orders (id int, total numeric, mail text);
	CREATE TRIGGER pinterest AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION pinterest_capi.track_trigger('Checkout', 'email=mail', 'value=total', 'currency:=EUR', 'event_id=id')}
);

# Return everything that the dump must hold, as one text.
my $content = q{
	SELECT to_jsonb(d) FROM pinterest_capi.destination AS d ORDER BY destination;
	SELECT to_jsonb(s) FROM pinterest_capi._destination_state AS s ORDER BY dest;
	SELECT to_jsonb(a) FROM pinterest_capi.allowed_event AS a ORDER BY destination, event_name;
	SELECT to_jsonb(r) FROM pinterest_capi.consent_rule AS r ORDER BY name;
	SELECT to_jsonb(v) FROM pinterest_capi._visitor AS v ORDER BY visitor;
	SELECT to_jsonb(s) - 'created_at' FROM pinterest_capi._suppression AS s ORDER BY hash;
	SELECT to_jsonb(e) FROM pinterest_capi._event AS e ORDER BY id;
	SELECT to_jsonb(q) FROM pinterest_capi._retry AS q ORDER BY dest, id;
	SELECT to_jsonb(o) FROM pinterest_capi._outcome AS o ORDER BY id;
	SELECT last_value, is_called FROM pinterest_capi._event_id_seq;
	SELECT last_value, is_called FROM pinterest_capi._destination_state_dest_seq;
	SELECT count(*) FROM pinterest_capi.standard_event;
	SELECT proname, proacl FROM pg_proc WHERE pronamespace = 'pinterest_capi'::regnamespace ORDER BY proname;
	SELECT relname, relacl FROM pg_class WHERE relnamespace = 'pinterest_capi'::regnamespace ORDER BY relname};
my $original = sql($content);

for my $word (qw(minors Checkout sent-before waits-tried waits-new dropped))
{
	like($original, qr/"$word"/, "what is compared holds $word");
}
unlike($original, qr/visitor-[12]|\@example|pina_/, 'and nothing raw');

# ---- the dump's text ----

my %file = (
	plain => "$dumps/plain.sql",
	custom => "$dumps/custom.dump",
	directory => "$dumps/directory",
	schema => "$dumps/schema.sql",
	data => "$dumps/data.sql",
	all => "$dumps/all.sql");
my @from = ('-d', $node->connstr('postgres'));

command_ok([ 'pg_dump', @from, '-f', $file{plain} ], 'pg_dump, plain');
command_ok([ 'pg_dump', @from, '-Fc', '-Z', '0', '-f', $file{custom} ],
	'custom');
command_ok(
	[ 'pg_dump', @from, '-Fd', '-j', '2', '-Z', '0', '-f', $file{directory} ],
	'directory, in parallel');
command_ok([ 'pg_dump', @from, '-s', '-f', $file{schema} ], 'schema only');
command_ok([ 'pg_dump', @from, '-a', '-f', $file{data} ], 'data only');
command_ok([ 'pg_dumpall', @from, '-f', $file{all} ], 'pg_dumpall');

my @masked = split /\n/,
  sql(
	q{SELECT encode(masked, 'hex') FROM pinterest_capi._secret UNION ALL SELECT encode(pad, 'hex') FROM pinterest_capi._secret}
  );

is(scalar(@masked), 4, 'two tokens, in two halves each');
for my $kind (sort keys %file)
{
	my $text = join '',
	  map { slurp_file($_) }
	  -d $file{$kind} ? glob("$file{$kind}/*") : $file{$kind};
	my @hits = grep { $text =~ /\Q$_\E/i } $token, 'pina_', '_secret',
	  @masked;

	is_deeply(\@hits, [],
		"$kind: no token in it, nor a half of one, nor its table");
	my $has_data = $text =~ /waits-tried/ ? 1 : 0;
	is( $has_data,
		$kind eq 'schema' ? 0 : 1,
		"$kind: " . ($kind eq 'schema' ? 'no events' : 'events are in it'));
}

# ---- copies ----

sub restored
{
	my ($name, @commands) = @_;
	my $before = $stub->count->{events};

	sql("CREATE DATABASE $name");
	command_ok($_, "$name: @{$_}[0] succeeds") for @commands;
	is( sql($name, $content),
		$original,
		"$name: settings, rules, visitors, events, numbers and rights are as they were"
	);
	is(sql($name, 'SELECT count(*) FROM pinterest_capi._secret'),
		'0', "$name: no token");
	ok( $node->poll_query_until(
			$name, 'SELECT count(*) = 1 FROM pinterest_capi.worker_status'),
		"$name: its worker runs");

	# The copies' destinations are paused; resume them, since that alone must
	# not hold the events.
	sql($name,
		q{SELECT pinterest_capi.resume_destination(destination) FROM pinterest_capi.destination}
	);
	is( sql($name,
			q{SELECT destination, status, split_part(message, ';', 1) FROM pinterest_capi.destination_status ORDER BY 1}
		),
		"default|not ready|destination not ready: no access token\nsecond|not ready|destination not ready: no access token",
		"$name: not ready, and says why");
	is( sql($name,
			q{SELECT status, reason FROM pinterest_capi.dispatch_status WHERE event_id = 'waits-new' AND destination = 'default'}
		),
		'queued|destination not ready: no access token',
		"$name: and so do waiting events");
	is( sql($name,
			q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "n@example.com"}', event_id => 'copy-}
			  . $name . q{')}),
		"copy-$name",
		"$name: tracking goes on");
	looks_again($name);
	is($stub->count->{events}, $before, "$name: nothing was sent");
	return;
}

# Wait until the worker has polled the tables after now: it counts its cycles, and
# the last event's commit woke it.
sub looks_again
{
	my ($database) = @_;

	for my $turn (1, 2)
	{
		my $now = sql($database, 'SELECT clock_timestamp()');

		sql($database,
			'UPDATE pinterest_capi.destination SET batch_size = batch_size');
		$node->poll_query_until($database,
			"SELECT last_cycle_at > '$now' FROM pinterest_capi.worker_status")
		  or die 'the worker does not look';
	}
	return;
}

my @psql = ('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null');

restored('copy_plain',
	[ @psql, '-d', $node->connstr('copy_plain'), '-f', $file{plain} ]);
restored('copy_single',
	[ @psql, '-1', '-d', $node->connstr('copy_single'), '-f', $file{plain} ]);
restored(
	'copy_custom',
	[
		'pg_restore', '-e', '-d', $node->connstr('copy_custom'), $file{custom}
	]);

# pg_restore -j orders an extension's tables without their foreign keys, so
# one process restores these.
my @restore = (
	'pg_restore', '-e', '-d', $node->connstr('copy_parallel'),
	$file{directory});
restored(
	'copy_parallel',
	[ @restore, '--section=pre-data' ],
	[ @restore, '--section=data', '-n', 'pinterest_capi' ],
	[
		@restore, '-j', '2', '--section=data', '--section=post-data', '-N',
		'pinterest_capi'
	]);
restored(
	'copy_parts',
	[ @psql, '-d', $node->connstr('copy_parts'), '-f', $file{schema} ],
	[ @psql, '-d', $node->connstr('copy_parts'), '-f', $file{data} ]);

# ---- while a dump is being restored ----

# A worker that runs meanwhile changes nothing, whichever table comes first.
# Return once it has done all that it does at its start: a click id that is kept too
# long is deleted last.
sub does_housekeeping
{
	my ($name) = @_;

	sql($name,
		q{INSERT INTO pinterest_capi._visitor (visitor, click_id, click_id_at, updated_at)
		VALUES ('\x00', 'dj0yJnU9old', now() - interval '10 years', now())});
	sql($name,
		'SELECT pg_terminate_backend(pid) FROM pinterest_capi.worker_status');
	$node->poll_query_until($name,
		q{SELECT count(*) = 0 FROM pinterest_capi._visitor WHERE visitor = '\x00'}
	) or die 'the worker does not delete a click id';
	return;
}

my @tables =
  qw(destination _destination_state allowed_event consent_rule _visitor _suppression _event _retry _outcome);

for my $order ('outcomes first', 'outcomes last')
{
	my $name = 'copy_' . $order =~ s/ /_/gr;
	my @in_order =
	  $order eq 'outcomes first'
	  ? ('_outcome', grep { $_ ne '_outcome' } @tables)
	  : @tables;

	sql("CREATE DATABASE $name");
	command_ok(
		[
			'pg_restore', '-e',
			'--section=pre-data', '-d',
			$node->connstr($name), $file{custom}
		],
		"$order: the extension");
	for my $table (@in_order)
	{
		my $list = "$dumps/$name.list";

		open my $out, '>', $list or die $!;
		print $out grep {
			/ TABLE DATA pinterest_capi \Q$table\E /
			  || ($table eq '_event'
				&& / SEQUENCE SET pinterest_capi _event_id_seq /)
			  || ($table eq '_destination_state'
				&& / SEQUENCE SET pinterest_capi _destination_state_dest_seq /
			  )
		  } map { "$_\n" } split /\n/,
		  (run_command([ 'pg_restore', '-l', $file{custom} ]))[0];
		close $out;
		command_ok(
			[
				'pg_restore', '-e', '-L', $list, '-d', $node->connstr($name),
				$file{custom}
			],
			"$order: $table");
		sql($name,
			q{UPDATE pinterest_capi._outcome SET finished_at = finished_at - interval '40 days'}
		) if $table eq '_outcome' && $order eq 'outcomes first';

		does_housekeeping($name) if $table =~ /_event$|_outcome/;
	}
	if ($order eq 'outcomes first')
	{
		# once the events are there, what is kept too long goes with its event
		ok( $node->poll_query_until(
				$name, q{SELECT count(*) = 0 FROM pinterest_capi._outcome}),
			"$order: retention goes on");
		is( sql($name,
				q{SELECT count(*) FROM pinterest_capi._event AS e WHERE NOT EXISTS (SELECT FROM pinterest_capi._waiting AS w WHERE w.id = e.id)}
			),
			'0',
			"$order: with the events");
		is( sql($name,
				q{SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM pinterest_capi.dispatch_status}
			),
			'waits-new waits-tried',
			"$order: what waits is left");
	}
	else
	{
		is(sql($name, $content), $original, "$order: all is as it was");
	}
	sql("DROP DATABASE $name (FORCE)");
}

# a second restore over the first is refused by keys, and changes nothing
my $before = sql('copy_custom', $content);
command_fails(
	[
		'pg_restore', '-e', '-a', '-d', $node->connstr('copy_custom'),
		$file{custom}
	],
	'data over data is refused');
is(sql('copy_custom', $content), $before, 'and changes nothing');

# --clean: the extension is dropped and created again, while its worker runs
# or not.
command_ok(
	[
		'pg_restore', '-e',
		'--clean', '-d',
		$node->connstr('copy_custom'), $file{custom}
	],
	'pg_restore --clean');
is(sql('copy_custom', $content), $original, 'is the same again');

# With a token the copy sends the events that waited, under their ids.
$stub->reset;
like(
	sql('copy_plain',
		"SELECT pinterest_capi.configure_destination('@{[PinterestStub::TAG]}', '$token')"
	),
	qr/configured and ready/,
	'a token makes a copy ready: the ad account id came along');
ok($stub->wait_count(processed => 3), 'and it sends the waiting events');
ok( $node->poll_query_until(
		'copy_plain',
		q{SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE destination = 'default' AND status IN ('queued', 'retrying')}
	),
	'all of it');
is_deeply(
	[ sort map { $_->{event}{event_id} } $stub->received ],
	[ 'copy-copy_plain', 'waits-new', 'waits-tried' ],
	'and nothing else');
is( sql('copy_plain',
		q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "v2@example.com"}', 'visitor-2', event_id => 'forgotten-still')}
	),
	'forgotten-still',
	'who was forgotten');
is( sql('copy_plain',
		q{SELECT status, reason FROM pinterest_capi.dispatch_status WHERE event_id = 'forgotten-still'}
	),
	'suppressed|forgotten',
	'still is');
is( sql('copy_plain',
		q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "w@example.com"}', event_id => 'sent-before')}
	),
	'sent-before',
	'an event of the original');
is( sql('copy_plain',
		q{SELECT count(*) FROM pinterest_capi.dispatch_status WHERE event_id = 'sent-before' AND destination = 'default'}
	),
	'1',
	'is known in the copy');
sql('copy_plain', q{INSERT INTO orders VALUES (77, 12.5, 'o@example.com')});
ok(poll(sub { $stub->received('77') }), 'a trigger came along and works');

# ---- dump and restore without superuser ----

sql('CREATE ROLE clerk LOGIN');
my @as_clerk = ('pg_dump', '-d', $node->connstr('postgres') . ' user=clerk');
command_checks_all(
	[@as_clerk],
	1,
	[qr/^/],
	[qr/permission denied for (?:table|schema|sequence)/],
	'pg_dump by a role without rights fails by the server\'s own error');
sql('CREATE ROLE reader LOGIN IN ROLE pg_read_all_data');
my ($out, $err) = run_command(
	[ 'pg_dump', '-d', $node->connstr('postgres') . ' user=reader' ]);
is($err, '', 'pg_dump by a member of pg_read_all_data succeeds');
like($out, qr/waits-tried/, 'with the events');
unlike($out, qr/pina_|_secret/, 'without tokens');
sql('CREATE TABLE clerks (id int); ALTER TABLE clerks OWNER TO clerk');
($out, $err) = run_command(
	[ @as_clerk, '--exclude-schema=pinterest_capi', '-t', 'clerks' ]);
is($err, '', 'what is the role\'s own can be dumped without rights on ours');
like($out, qr/CREATE TABLE public\.clerks/, 'and is');

# ---- pg_upgrade ----

SKIP:
{
	my $bindir = $node->config_data('--bindir');

	skip 'no pg_upgrade here', 6 unless -x "$bindir/pg_upgrade";

	my $new = PostgreSQL::Test::Cluster->new('upgraded');

	$stub->reset;
	$stub->down;
	sql(q{SELECT pinterest_capi.resume_destination()});
	sql(q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "u@example.com"}', event_id => 'upgrade')}
	);
	sql(qq{DROP DATABASE $_})
	  for qw(copy_plain copy_single copy_custom copy_parallel copy_parts);
	my $state = sql(
		q{SELECT event_id, destination, status, event_name FROM pinterest_capi.dispatch_status ORDER BY id}
	);

	$node->stop;
	$new->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
	$new->append_conf(
		'postgresql.conf', join "\n",
		"shared_preload_libraries = 'pinterest_capi'",
		"pinterest_capi.ca_file = '" . $stub->ca_file . "'", '');
	chdir $dumps or die $!;
	command_ok(
		[
			'pg_upgrade', '--no-sync', '-d', $node->data_dir,
			'-D', $new->data_dir, '-b', $bindir,
			'-B', $bindir, '-s', $new->host,
			'-p', $node->port, '-P', $new->port
		],
		'pg_upgrade, with the library preloaded in both');
	is($stub->count->{requests}, 0, 'sent nothing meanwhile');
	$new->start;
	is( $new->safe_psql(
			'postgres',
			q{SELECT event_id, destination, status, event_name FROM pinterest_capi.dispatch_status ORDER BY id}
		),
		$state,
		'all events are there');
	$stub->up;
	ok( $stub->wait_count(processed => 3, 90),
		'and the waiting events are sent with the old token, without an operator'
	);
	ok( $new->poll_query_until(
			'postgres',
			q{SELECT count(*) = 0 FROM pinterest_capi.dispatch_status
			WHERE destination = 'default' AND status IN ('queued', 'retrying')}),
		'all of it');
	$new->safe_psql('postgres',
		q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "u@example.com"}', event_id => 'after-upgrade')}
	);
	ok(poll(sub { $stub->received('after-upgrade') }), 'so are new ones');
	unlike(
		slurp_file($new->logfile),
		qr/PANIC|TRAP:|pinterest_capi.*ERROR/,
		'no such word in the log');
	$new->stop;
}

$stub->stop;
done_testing();
