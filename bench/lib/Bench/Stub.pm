# Bench/Stub.pm
#	  Start and query the stub (bench/stub.js), and create databases whose
#	  destination it is.
package Bench::Stub;

use strict;
use warnings;

use Bench;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();

sub new
{
	my ($class, $dir) = @_;
	my $self =
	  bless { dir => "$dir/certs", http => HTTP::Tiny->new(timeout => 60) },
	  $class;
	my $made = '';

	IPC::Run::run([ "$Bench::top/test/certs/make", $self->{dir} ],
		'>&' => \$made)
	  or die "certificates: $made\n";
	@$self{qw(in out)} = ('', '');
	$self->{process} = IPC::Run::start(
		[
			'node', "$Bench::top/bench/stub.js",
			'--cert' => "$self->{dir}/server.pem",
			'--key' => "$self->{dir}/server.key"
		],
		'<' => \$self->{in},
		'>' => \$self->{out},
		IPC::Run::timer(30));
	$self->{process}->pump
	  until $self->{out} =~ /\n/ || !$self->{process}->pumpable;

	my $ports = JSON::PP::decode_json($self->{out});

	@$self{ keys %$ports } = values %$ports;
	return $self;
}

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

sub _control
{
	my ($self, $method, $path) = @_;
	my $answer = $self->{http}
	  ->request($method, "http://127.0.0.1:$self->{control_port}/$path");

	die "stub: $answer->{status} $answer->{content}\n"
	  unless $answer->{success};
	return JSON::PP::decode_json($answer->{content});
}

sub seen { return $_[0]->_control('GET', '') }

# Reset the stub's counts and return the old ones; mark => N, probes => 1: see
# bench/stub.js
sub reset
{
	my ($self, %note) = @_;

	return $self->_control(
		'POST',
		'?' . join '&',
		map { "$_=$note{$_}" } sort keys %note);
}

# Return how many requests of 1000 events the stub accepts in a second.
sub capacity
{
	my ($self) = @_;
	my $out = '';

	IPC::Run::run(
		[
			'node', "$Bench::top/bench/stub.js",
			'--load', scaled(5, 1),
			'--target', "https://127.0.0.1:$self->{port}"
		],
		'<' => \undef,
		'>' => \$out) or die "the stub could not be measured\n";
	$self->reset;
	return JSON::PP::decode_json($out)->{requests_per_second};
}

# Create the extension in a new database, with this stub as its destination,
# and no limit of requests that would be measured instead.
sub database
{
	my ($self, $name, %settings) = @_;

	set_conf('pinterest_capi.ca_file' => "$self->{dir}/ca.pem");
	fresh_database($name);
	psql($name, 'CREATE EXTENSION pinterest_capi');

	my $answer = value($name,
		"SELECT pinterest_capi.configure_destination('2617998078212', 'pina_TESTONLY_bench', '549755885175')"
	);

	die "configure_destination: $answer\n" unless $answer =~ /ready/;

	my %set = (
		api_url => "https://localhost:$self->{port}/v5",
		max_requests_per_minute => 120000,
		%settings);

	psql(
		$name,
		'UPDATE pinterest_capi.destination SET ' . join ', ',
		map { "$_ = '$set{$_}'" } sort keys %set);
	psql($name, q{SELECT pinterest_capi.allow_event('Checkout')});
	return;
}

1;
