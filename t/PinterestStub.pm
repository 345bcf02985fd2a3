# PinterestStub.pm
#	  Starts the stand-in for Pinterest's API and asks it what came in, and makes
#	  clusters whose destination is that stub.
#
# What the stub can be told to do stands at the top of test/stub/control.js.
# Every wait has a deadline; none waits a fixed time.
package PinterestStub;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Exporter    qw(import);
use File::Spec;
use FindBin;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT =
  qw(poll sha256_hex setup_node configure add_destination sql_status becomes set_conf rss);
our @EXPORT_OK =
  qw(new_node sql as refused track_sql track track_many all_sent sent clean_log settled pauses
  worker_pid new_worker worker_polls workers no_worker processes crash server_copy has_module fake_clock);

use constant {
	TAG => '2617998078212',
	ACCOUNT => '549755885175',
	TOKEN => 'pina_TESTONLY_5c1b7f0e9d3a4286_kept_in_no_log',
};

my $top = "$FindBin::RealBin/..";

# the cluster that sql() queries: the first that new_node made or configure
# got
my $first_node;

# Poll until the condition is true; return false at the timeout.  A condition
# is often a psql, which slows the process that the test waits for, so the
# polls get rarer.
sub poll
{
	my ($condition, $seconds) = @_;
	my $deadline =
	  time() + ($seconds // $PostgreSQL::Test::Utils::timeout_default);
	my $pause = 10_000;

	while (1)
	{
		return 1 if $condition->();
		return 0 if time() > $deadline;
		usleep($pause);
		$pause *= 1.25 if $pause < 100_000;
	}
}

# cert => 'server' | 'other', which certificate it shows; token => the one that it
# takes; accounts => [...], more that it may write to; options => [...], of stub.js
sub new
{
	my ($class, %params) = @_;
	my $self = bless {
		dir => File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir()),
		token => $params{token} // TOKEN,
		account => ACCOUNT,
		http => HTTP::Tiny->new(timeout => 30),
		options => [
			@{ $params{options} // [] },
			map { ('--account' => $_) } @{ $params{accounts} // [] }
		],
	}, $class;

	PostgreSQL::Test::Utils::system_or_bail("$top/test/certs/make",
		$self->{dir});
	$self->start($params{cert} // 'server');
	return $self;
}

sub start
{
	my ($self, $cert) = @_;
	my @port = $self->{port} ? ('--port', $self->{port}) : ();

	@$self{qw(stdin stdout stderr)} = ('', '', '');
	$self->{process} = IPC::Run::start(
		[
			'node', "$top/test/stub/stub.js", '--until-eof', @port,
			'--cert' => "$self->{dir}/$cert.pem",
			'--key' => "$self->{dir}/$cert.key",
			'--token' => $self->{token},
			'--account' => ACCOUNT,
			@{ $self->{options} }
		],
		'<' => \$self->{stdin},
		'>' => \$self->{stdout},
		'2>' => \$self->{stderr},
		IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default));
	$self->{process}->pump
	  until $self->{stdout} =~ /\n/ || !$self->{process}->pumpable;
	BAIL_OUT("the stub doesn't start: $self->{stderr}")
	  unless $self->{stdout} =~ /\n/;

	my $ports = JSON::PP::decode_json($self->{stdout});

	@$self{qw(port control_port)} = @$ports{qw(port control_port)};
	return;
}

# End the process; a later start() has the same port, and another certificate
# if given.
sub stop
{
	my ($self) = @_;

	$self->{process}->kill_kill(grace => 5) if $self->{process};
	delete $self->{process};
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $@);
	eval { $self->stop };
	return;
}

sub url     { return "https://localhost:$_[0]{port}/v5" }
sub ca_file { return "$_[0]{dir}/ca.pem" }

sub _control
{
	my ($self, $method, $path, $content) = @_;
	my $answer = $self->{http}->request(
		$method,
		"http://127.0.0.1:$self->{control_port}/$path",
		{ content => $content // '' });

	die "stub: $method $path: $answer->{status} $answer->{content}"
	  unless $answer->{success};
	return $answer->{content};
}

sub script
{
	my ($self, @rules) = @_;

	$self->_control('POST', 'script', JSON::PP::encode_json(\@rules));
	return;
}
sub release    { $_[0]->_control('POST', 'release');      return }
sub reset      { $_[0]->_control('POST', 'reset');        return }
sub take_token { $_[0]->_control('POST', 'token', $_[1]); return }
sub down       { $_[0]->_control('POST', 'down');         return }
sub up         { $_[0]->_control('POST', 'up');           return }

sub count { return JSON::PP::decode_json($_[0]->_control('GET', 'count')) }

sub _lines
{
	my ($self, $path) = @_;

	return map { JSON::PP::decode_json($_) } split /\n/,
	  $self->_control('GET', $path);
}
sub requests { return $_[0]->_lines('requests') }

# Return the entries of one event, or all; each has: request, index,
# arrived_ms, verdict, seen_before, event
sub received
{
	my ($self, $event_id) = @_;

	return
	  grep { !defined $event_id || $_->{event}{event_id} eq $event_id }
	  $self->_lines('received');
}

# Wait until a figure of count() is at least this large.
sub wait_count
{
	my ($self, $figure, $least, $seconds) = @_;
	my $last;
	my $ok = poll(sub { $last = $self->count; $last->{$figure} >= $least },
		$seconds);

	diag("waited for $figure >= $least; last seen: "
		  . JSON::PP::encode_json($last))
	  unless $ok;
	return $ok;
}

sub arrives
{
	my ($self, $id, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( poll(
			sub {
				grep { $_->{verdict} eq 'processed' } $self->received($id);
			}),
		$name);
	return;
}

# Track an event whose request hangs until release() and is then answered by
# the rule, if any.  track() uses the keys of %rule that it knows.
sub hang
{
	my ($self, $node, $id, %rule) = @_;
	my %event = map { exists $rule{$_} ? ($_ => delete $rule{$_}) : () }
	  qw(database destination email);

	$self->reset;
	$self->script({ hang => 1, %rule });
	track($node, $id, %event);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($self->wait_count(hanging => 1), "$id: a request hangs");
	return;
}

# Run curl with options against the stub, for tests of the stub itself.
sub curl
{
	my ($self, @options) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		[
			'curl', '-sS', '--max-time', '30', '--cacert', $self->ca_file,
			'-w', "\n%{http_code} %{http_version}", @options
		],
		'<' => \undef,
		'>' => \$out,
		'2>' => \$err);

	my ($body, $status, $version) = $out =~ /^(.*)\n(\d+) ([\d.]+)\z/s;

	return ($status, $body, $version, $err);
}

# Copy the installed server, so that a test can put files into its folders:
# the server finds them relative to itself.  Return the copy's root,
# install_path for a cluster, and the folders' own names (under the root stand
# the copies).
sub server_copy
{
	my $probe = PostgreSQL::Test::Cluster->new('probe');
	my %directory = map { $_ => $probe->config_data("--$_") =~ s/\s+\z//r }
	  qw(bindir pkglibdir sharedir);
	my $root = PostgreSQL::Test::Utils::tempdir();

	for my $from (values %directory)
	{
		PostgreSQL::Test::Utils::system_or_bail(
			'sh',
			'-c',
			'mkdir -p "$2" && tar -C "$1" --exclude=./bitcode --exclude=./pgxs -ch . | tar -C "$2" -x',
			'sh',
			$from,
			"$root$from");
	}
	return ($root, $root . ($directory{bindir} =~ s{/[^/]*$}{}r), %directory);
}

# ---- clusters ----

# A running cluster without the extension.  conf => settings; initdb => [...], more
# options of initdb; install_path as PostgreSQL::Test::Cluster has it.
sub new_node
{
	my ($name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name,
		$params{install_path} ? (install_path => $params{install_path}) : ());

	$first_node //= $node;
	$node->init(
		extra => [ '-E', 'UTF8', '--no-locale', @{ $params{initdb} // [] } ]);
	$node->append_conf('postgresql.conf', $params{conf}) if $params{conf};
	$node->start;
	return $node;
}

# A running cluster that trusts the stub's authority; parameters as for new_node,
# and database => where the extension is created and its destination configured.
sub setup_node
{
	my ($name, $stub, %params) = @_;
	my $node =
	  new_node($name, %params, conf => <<"CONF" . ($params{conf} // ''));
log_statement = none
pinterest_capi.ca_file = '@{[$stub->ca_file]}'
pinterest_capi.connect_timeout = 5s
CONF

	configure($node, $stub, $params{database} // 'postgres');
	return $node;
}

# Run statements in the first cluster's database "postgres", in one session,
# and return their result.
sub sql
{
	my (@statements) = @_;

	return $first_node->safe_psql('postgres', join ";\n", @statements);
}

# Run each statement as a role in that database; return output and errors.
sub as
{
	my ($role, $sql) = @_;
	my ($out, $err) = ('', '');

	$first_node->psql(
		'postgres', $sql,
		stdout => \$out,
		stderr => \$err,
		on_error_stop => 0,
		connstr => $first_node->connstr('postgres') . " user=$role");
	return ($out, $err);
}

# Check that the first error names one of the causes.
sub refused
{
	my ($role, $sql, $why, $name) = @_;
	my (undef, $err) = as($role, $sql);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($err, qr/ERROR:.*(?:$why)/, $name // "$role: $sql");
	return;
}

# Create the extension, unless it exists, and configure its destination.
sub configure
{
	my ($node, $stub, $database) = @_;

	$first_node //= $node;
	$node->safe_psql($database,
		'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS pinterest_capi'
	);
	my $answer = $node->safe_psql($database,
		"SELECT pinterest_capi.configure_destination('@{[TAG]}', '@{[TOKEN]}', '@{[ACCOUNT]}')"
	);
	die "configure_destination: $answer"
	  unless $answer eq 'Your destination is configured and ready.';
	$node->safe_psql($database,
		"UPDATE pinterest_capi.destination SET api_url = '@{[$stub->url]}'");
	$node->safe_psql($database,
		"SELECT pinterest_capi.allow_event('checkout')");
	return;
}

# Add a destination at the stub, for an account of its own if given.
sub add_destination
{
	my ($node, $stub, $name, $account, $database) = @_;

	$node->safe_psql(
		$database // 'postgres',
		sprintf(
			q{
		SELECT pinterest_capi.configure_destination('%s', '%s', '%s', '%s');
		UPDATE pinterest_capi.destination SET api_url = '%s' WHERE destination = '%4$s';
		SELECT pinterest_capi.allow_event('checkout', destination => '%4$s')},
			TAG, $stub->{token}, $account // ACCOUNT, $name, $stub->url));
	return;
}

# Return a call whose event is sent.  destination => its name, where there are
# several; email => whose.
sub track_sql
{
	my ($id, %event) = @_;

	return
	  sprintf
	  q{SELECT pinterest_capi.track('Checkout', '{"value": 1, "currency": "USD"}', '{"em": "%s"}', event_id => '%s'%s)},
	  $event{email} // 'a@example.com', $id,
	  $event{destination} ? ", destination => '$event{destination}'" : '';
}

# Track an event, in a transaction of its own; %event as for track_sql, and
# database.  Return the session's notices and warnings.
sub track
{
	my ($node, $id, %event) = @_;
	my $err = '';

	$node->psql(
		$event{database} // 'postgres', track_sql($id, %event),
		stderr => \$err,
		on_error_die => 1);
	return $err;
}

# Track $prefix-1 to $prefix-$n, each in a transaction of its own.
sub track_many
{
	my ($node, $prefix, $n, %event) = @_;

	$node->safe_psql($event{database} // 'postgres',
		join ";\n", map { track_sql("$prefix-$_", %event) } 1 .. $n);
	return;
}

# Wait until all events have this status.
sub all_sent
{
	my ($node, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $node->poll_query_until(
			'postgres',
			q{SELECT count(*) = 0 FROM pinterest_capi.dispatch_status WHERE status <> 'sent'}
		),
		$name);
	return;
}

# Wait until $n events with this prefix have this status.
sub sent
{
	my ($node, $prefix, $n, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $node->poll_query_until(
			'postgres', qq{
			SELECT count(*) = $n FROM pinterest_capi.dispatch_status WHERE event_id LIKE '$prefix-%' AND status = 'sent'}
		),
		$name);
	return;
}

# Wait until the worker has settled every answer that it has got.
sub settled
{
	my ($node, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $node->poll_query_until(
			'postgres',
			'SELECT in_flight_requests = 0 AND NOT EXISTS (SELECT FROM pinterest_capi._lease) FROM pinterest_capi.worker_status'
		),
		$name // 'the answer is settled');
	return;
}

# Wait until a destination is paused.
sub pauses
{
	my ($node, $name, $destination) = @_;

	$destination //= 'default';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $node->poll_query_until(
			'postgres',
			"SELECT status FROM pinterest_capi.destination_status WHERE destination = '$destination'",
			'paused'),
		$name);
	return;
}

# ---- the worker ----

sub worker_pid
{
	my ($node, $database) = @_;

	return $node->safe_psql($database // 'postgres',
		'SELECT pid FROM pinterest_capi.worker_status');
}

# Return how many worker processes the server has, in all databases.
sub workers
{
	my ($node) = @_;

	return $node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pinterest_capi worker'}
	);
}

# End the worker, and wait for the next one.
sub new_worker
{
	my ($node, $name, $database) = @_;
	my $pid = worker_pid($node, $database);

	$node->safe_psql($database // 'postgres',
		"SELECT pg_terminate_backend($pid)");
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $node->poll_query_until(
			$database // 'postgres',
			"SELECT count(*) = 1 FROM pinterest_capi.worker_status WHERE pid <> $pid"
		),
		$name // 'another worker starts');
	return;
}

# Restart a server without a preload: it has no worker until a session commits
# an event.
sub no_worker
{
	my ($node) = @_;

	$node->restart;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(workers($node), '0', 'no worker');
	return;
}

# Wait until the worker has polled its queue, from begin to end, after
# everything that is committed by now.  "Nothing was sent" proves nothing
# before that.
sub worker_polls
{
	my ($node, $database) = @_;

	$database //= 'postgres';
	for (1 .. 2)
	{
		my $at = $node->safe_psql($database, 'SELECT clock_timestamp()');

		$node->poll_query_until($database,
			"SELECT last_cycle_at > '$at' FROM pinterest_capi.worker_status")
		  or die 'the worker does not poll';
	}
	return;
}

sub clean_log
{
	my ($node) = @_;

	unlike(
		slurp_file($node->logfile),
		qr/PANIC|TRAP:|invalid memory|resource .* leak/i,
		$node->name . ': no such word in the log');
	return;
}

# Return the postmaster's children whose title matches.
sub processes
{
	my ($node, $title) = @_;
	my ($postmaster) = split /\n/,
	  slurp_file($node->data_dir . '/postmaster.pid');
	my @found;

	for my $process (grep { m{/\d+$} } glob '/proc/[0-9]*')
	{
		my ($stat, $name) =
		  map { my $in; open($in, '<', "$process/$_") ? join('', <$in>) : '' }
		  qw(stat cmdline);

		push @found, $process =~ s{.*/}{}r
		  if $stat =~ /\) \S (\d+)/ && $1 == $postmaster && $name =~ $title;
	}
	return @found;
}

# Kill the postmaster.  A busy backend or a waiting worker notices it by
# itself; until then the server can't start.
sub crash
{
	my ($node) = @_;
	my ($postmaster) = split /\n/,
	  slurp_file($node->data_dir . '/postmaster.pid');
	my @family = ($postmaster, processes($node, qr/./));

	$node->kill9;
	poll(
		sub {
			!grep { -e "/proc/$_" } @family;
		}) or BAIL_OUT('processes outlive the postmaster');
	return;
}

# Return one event's row: status, attempts, http_status and the other columns
# given.
sub sql_status
{
	my ($node, $event_id, $columns, $database) = @_;

	$columns //= 'status';
	return $node->safe_psql(
		$database // 'postgres',
		"SELECT $columns FROM pinterest_capi.dispatch_status WHERE event_id = '$event_id'"
	);
}

# Wait until the event's row has these values.
sub becomes
{
	my ($node, $event_id, $columns, $expected, $name, $seconds) = @_;
	my $last;
	my $ok = poll(
		sub { ($last = sql_status($node, $event_id, $columns)) eq $expected },
		$seconds);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($ok, $name)
	  or diag("$event_id: $columns: expected $expected, last seen $last");
	return $ok;
}

# Set settings in postgresql.conf, and wait until the worker has read them.
sub set_conf
{
	my ($node, %settings) = @_;

	# the last of several lines counts
	$node->append_conf('postgresql.conf',
		"pinterest_capi.$_ = '$settings{$_}'")
	  for sort keys %settings;
	$node->reload;
	for my $name (sort keys %settings)
	{
		$node->poll_query_until('postgres', "SHOW pinterest_capi.$name",
			$settings{$name})
		  or die "$name is not $settings{$name}";
	}
	$node->poll_query_until('postgres',
		'SELECT count(*) = 0 FROM pinterest_capi.worker_status WHERE last_cycle_at <= pg_conf_load_time()'
	) or die 'the worker has not read its settings';
	return;
}

# Return whether the server has this module.
sub has_module
{
	my ($name) = @_;
	my $folder =
	  PostgreSQL::Test::Cluster->new('probe')->config_data('--pkglibdir') =~
	  s/\s+\z//r;

	return -e "$folder/$name.so";
}

# Make a wall clock for processes that are started with the returned
# environment; also returned is a sub that sets how many seconds the clock is
# ahead.
sub fake_clock
{
	my ($folder) = @_;
	my $clock = "$folder/clock";
	my $set = sub {
		my ($seconds) = @_;

		# the same file, whose pages the server has mapped
		open my $file, (-e $clock ? '+<' : '>'), $clock or die "$clock: $!";
		syswrite $file, pack('q', $seconds);
		close $file;
		return;
	};

	PostgreSQL::Test::Utils::system_or_bail('cc', '-shared', '-fPIC', '-O',
		'-o', "$clock.so", "$top/test/clock.c");
	$set->(0);
	return ($set, LD_PRELOAD => "$clock.so", TEST_CLOCK => $clock);
}

# Return the kB of memory that a process has touched, without shared buffers.
sub rss
{
	my ($pid) = @_;
	my $status = slurp_file("/proc/$pid/status");

	return ($status =~ /^RssAnon:\s+(\d+) kB/m)[0];
}

1;
