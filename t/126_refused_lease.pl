# When a trigger refuses a row of the worker's, the worker logs the error and
# retries; no process ends by it, and no event is sent without a lease.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PinterestStub qw(:DEFAULT clean_log sql track);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $stub = PinterestStub->new;
my $node = setup_node('refused', $stub);

sql('CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$',
	'CREATE TRIGGER refuse BEFORE INSERT ON pinterest_capi._lease FOR EACH ROW EXECUTE FUNCTION refuse()',
	'ALTER TABLE pinterest_capi._lease ENABLE ALWAYS TRIGGER refuse');

track($node, 'one', destination => 'default');
ok( poll(
		sub {
			slurp_file($node->logfile) =~
			  /ERROR:  a statement returned no row/;
		}),
	'the worker says that it has no lease');
is(scalar($stub->received('one')), 0, 'and starts no request');
unlike(
	slurp_file($node->logfile),
	qr/terminated by signal|terminating any other active server processes/,
	'no process of the server died');

sql('DROP TRIGGER refuse ON pinterest_capi._lease', 'DROP FUNCTION refuse()');
becomes($node, 'one', 'status', 'sent',
	'once the trigger is dropped, the event is sent');
clean_log($node);
done_testing();
