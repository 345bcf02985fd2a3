# A call of track can make every example of Pinterest's own description of an
# event.  The event arrives as the example shows it, and a validator that
# others maintain accepts it.  The description is in test/data/api, the
# validator (ajv) in test/schema.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use EventSchema;
use JSON::PP ();
use PinterestStub;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $json = JSON::PP->new->canonical->utf8;

plan skip_all => 'ajv is not installed' unless have_validator();

my @examples = examples();
cmp_ok(scalar(@examples), '>=', 25, 'examples are there');

my $stub = PinterestStub->new;
my $node = setup_node('examples', $stub);

$node->safe_psql(
	'postgres', q{
	UPDATE pinterest_capi.destination SET send_client_ip = true, send_user_agent = true;
	SELECT pinterest_capi.allow_event(event_name, properties => '{*}') FROM pinterest_capi.standard_event}
);

# Return the arguments of track for this event: its fields, under track's
# names.
my $n = 0;
my %expected;
my $calls = '';
for my $example (@examples)
{
	my %event = %$example;
	my %properties = %{ $event{custom_data} // {} };
	my $id = sprintf('example-%02d', ++$n);

	# the examples' own times are years ago
	$example->{event_time} = time() - 1800 - $n;
	$example->{event_id} = $id;
	$properties{page_url} = $event{event_source_url}
	  if exists $event{event_source_url};
	$properties{$_} = $event{$_}
	  for grep { !/^(?:event_|action_source$|custom_data$|user_data$)/ }
	  keys %event;

	# track adds the default value to a checkout without custom_data; the
	# example has none.
	$example->{custom_data} = { currency => 'USD', value => '100' }
	  if $event{event_name} eq 'checkout' && !$event{custom_data};
	$expected{$id} = $json->encode($example);

	my ($name, $source) = @event{qw(event_name action_source)};
	my ($props, $user) = map { $json->encode($_) } \%properties,
	  $event{user_data};
	$calls .=
	  "SELECT pinterest_capi.track('$name', \$j\$$props\$j\$, \$j\$$user\$j\$,"
	  . " event_id => '$id', event_time => to_timestamp($example->{event_time}), action_source => '$source');\n";
}
$node->safe_psql('postgres', $calls);
ok($stub->wait_count(processed => $n), "all $n arrive");
is($stub->count->{violations}, 0, 'none is refused');

my @received = $stub->received;
my %wrong;
for my $entry (@received)
{
	my $id = $entry->{event}{event_id};

	$wrong{$id} = [ $json->encode($entry->{event}), $expected{$id} ]
	  unless $json->encode($entry->{event}) eq $expected{$id};
}
is_deeply(\%wrong, {}, 'each as it stands in the description');
is( $node->safe_psql(
		'postgres', q{
		SELECT event_id, warnings FROM pinterest_capi.dispatch_status, unnest(warnings) AS w
		WHERE w NOT LIKE 'value: missing%' AND w NOT LIKE '%_id is missing%'}),
	'',
	'and no field had to be omitted');

my @verdicts =
  verdicts(join('', map { $json->encode($_->{event}) . "\n" } @received));
is(scalar(@verdicts), $n, 'the validator checks each');
is_deeply(
	[
		grep {
			defined $_->{schema} || defined $_->{stub} || @{ $_->{lapses} }
		} @verdicts
	],
	[],
	'and has nothing against any');

# The validator can refuse: each of these events breaks one rule of the
# description, and the stub refuses it too.
my %base = %{ $examples[1] };
my %bad = (
	'an unknown key' => { %base, extra => 1 },
	'a number for a value' => { %base, custom_data => { value => 72.39 } },
	'text for a count' => { %base, custom_data => { num_items => '2' } },
	'an unknown key in a line' =>
	  { %base, custom_data => { contents => [ { sku => '1' } ] } },
	'a hash that is no array' => { %base, user_data => { em => 'x' } },
	'nobody' => { %base, user_data => { external_id => ['x'] } },
	'no event_id' =>
	  { map { $_ => $base{$_} } grep { $_ ne 'event_id' } keys %base },
	'text too long' => { %base, app_info => { app_name => 'n' x 201 } },
	'a number too large' =>
	  { %base, device_info => { battery_level => 101 } },
	'a word that is not listed' =>
	  { %base, device_info => { form_factor => 'toaster' } },
	'too many languages' =>
	  { %base, device_info => { languages => [ ('en') x 101 ] } });
my @names = sort keys %bad;
my @refusals =
  verdicts(join('', map { $json->encode($bad{$_}) . "\n" } @names));
for my $i (0 .. $#names)
{
	ok(defined $refusals[$i]{schema}, "refused: $names[$i]");
	ok(defined $refusals[$i]{stub}, 'by the stub too');
}

$node->stop;
$stub->stop;
done_testing();
