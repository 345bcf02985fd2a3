# Credentials can be replaced while a request with the old ones is in flight,
# and a token file may be missing, wrong, present again and replaced.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub
  qw(:DEFAULT sql track all_sent clean_log pauses worker_polls);
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('credentials', $stub,
	conf => 'pinterest_capi.request_timeout = 300s');

# ---- a token ----

my $configure =
	q{SELECT pinterest_capi.configure_destination('}
  . PinterestStub::TAG
  . q{', '%s')};
sql(sprintf $configure, 'pina_old');
$stub->hang($node, 'old-token', status => 401);
sql(sprintf $configure, PinterestStub::TOKEN);
$stub->release;
$stub->arrives('old-token',
	'a refusal of the old token doesn\'t pause the new one: the event is sent with that'
);
is(sql('SELECT status FROM pinterest_capi.destination_status'),
	'ready', 'ready');
is( sql(q{SELECT attempts FROM pinterest_capi.dispatch_status WHERE event_id = 'old-token'}
	),
	'1',
	'the refused one was no attempt');
$stub->hang($node, 'same-token', status => 401);
sql('UPDATE pinterest_capi.destination SET batch_size = 999');
$stub->release;
pauses($node, 'one of a token that is still there does');
sql('SELECT pinterest_capi.resume_destination()');
$stub->arrives('same-token', 'until an operator resumes');
all_sent($node, 'all is settled');

# ---- a file in place of a token: missing, wrong, present, replaced ----

my $token_file = PostgreSQL::Test::Utils::tempdir() . '/token';

sub write_token
{
	my ($text) = @_;

	append_to_file("$token_file.new", $text);
	rename "$token_file.new", $token_file or die $!;
	return;
}

sub waits_for_file
{
	my ($id, $why) = @_;

	ok( $node->poll_query_until(
			'postgres',
			"SELECT message ~ 'access token file cannot be read: $why' FROM pinterest_capi.destination_status"
		),
		"$id: the view says why");
	is(sql_status($node, $id, 'status, attempts'),
		'queued|0', "$id: it waits, without an attempt");
	return;
}

sql(sprintf $configure, "file:$token_file");
$stub->reset;
track($node, 'no-file');
waits_for_file('no-file', 'No such file');
write_token("two words\n");
sql('SELECT pinterest_capi.resume_destination()');
waits_for_file('no-file', 'it must hold the token and nothing else');
worker_polls($node);
is($stub->count->{requests}, 0, 'and nothing is sent meanwhile');
write_token(PinterestStub::TOKEN . "\n");
$stub->arrives('no-file', 'with the right file it is, by itself');
write_token("pina_old\n");
$stub->hang($node, 'old-file', status => 401);
write_token(PinterestStub::TOKEN . "\n");
$stub->release;
$stub->arrives('old-file',
	'a refusal of the file\'s old token doesn\'t pause a destination with the new one'
);
all_sent($node, 'all is settled');

clean_log($node);
$node->stop;
$stub->stop;
done_testing();
