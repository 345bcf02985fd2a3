# Each rule of normalisation returns the same hash, and each call the same
# event, in every encoding and locale.  Event names that differ in case alone
# are the same, also in a Turkish locale.  Bytes that are no text cause a
# warning, not an error.
#
# glibc's locales are made here with localedef, in a folder of the test's own.
use strict;
use warnings;
use utf8;

use FindBin;
use lib $FindBin::RealBin;

use Digest::SHA qw(sha256_hex);
use Encode      qw(encode_utf8);
use IPC::Run    ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# kind, value, what is hashed (undef: nothing); 'utf8': not every encoding has it, 'tr': but LATIN5 does
my @rows = (
	[ 'em', '  Example@Shop.COM ', 'example@shop.com' ],
	[ 'em', 'INFO@SHOP.EXAMPLE', 'info@shop.example' ],
	[ 'em', 'MÜLLER@BÜRO.EXAMPLE', 'müller@büro.example' ],
	[
		'em', "mu\x{308}ller\@bu\x{308}ro.example",
		'müller@büro.example', 'utf8'
	],
	[ 'em', 'İNFO@SHOP.EXAMPLE', 'info@shop.example', 'tr' ],
	[ 'em', 'no address', undef ],
	[ 'em', 'a b@shop.example', undef ],
	[ 'em', '', undef ],
	[ 'em', ' ', undef ],
	[ 'ph', '+1 (234) 567-890', '1234567890' ],
	[ 'ph', '0044 20 7946 0958', '442079460958' ],
	[ 'ph', '+1 212 555 1234 ext. 99', '12125551234' ],
	[ 'ph', '+1 212 555 1234 EXT 99', '12125551234' ],
	[ 'ph', '+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨', '442079460958', 'utf8' ],
	[ 'ph', '123456', undef ],
	[ 'ph', '+1234567890123456', undef ],
	[ 'ge', 'Female', 'f' ],
	[ 'ge', 'MALE', 'm' ],
	[ 'ge', 'NON-BINARY', 'n' ],
	[ 'ge', 'unknown', undef ],
	[ 'db', '1996-02-01', '19960201' ],
	[ 'db', '1996/02/01', '19960201' ],
	[ 'db', '19960201', '19960201' ],
	[ 'db', '1996-02-01T10:00:00Z', '19960201' ],
	[ 'db', '03/04/1990', undef ],
	[ 'db', '1990-02-30', undef ],
	[ 'ln', ' Mary Ann ', 'mary ann' ],
	[ 'ln', "\x{a0}LIND\x{a0}", 'lind' ],
	[ 'ln', 'IŞIK', 'işik', 'tr' ],
	[ 'ln', 'ΣΊΣΥΦΟΣ', 'σίσυφοσ', 'utf8' ],
	[ 'fn', 'JOSÉ', 'josé' ],
	[ 'fn', "Jose\x{301}", 'josé', 'utf8' ],
	[ 'fn', 'ÅSA', 'åsa' ],
	[ 'fn', "\x{212b}SA", 'åsa', 'utf8' ],
	[ 'fn', 'İNCİ', 'inci', 'tr' ],
	[ 'fn', 'GROSS ß', 'gross ß' ],
	[ 'ct', 'St. Louis', 'stlouis' ],
	[ 'ct', 'Saint-Étienne', 'saintétienne' ],
	[ 'ct', "Saint-E\x{301}tienne", 'saintétienne', 'utf8' ],
	[ 'ct', 'ISTANBUL', 'istanbul' ],
	[ 'ct', 'Île «d’Yeu»', 'îledyeu', 'utf8' ],
	[ 'st', 'CA', 'ca' ],
	[ 'st', 'IL', 'il' ],
	[ 'st', 'New York', 'ny' ],
	[ 'st', 'Bayern', 'bayern' ],
	[ 'zp', '10001-1234', '100011234' ],
	[ 'zp', 'SW1A 1AA', 'sw1a1aa' ],
	[ 'zp', 'K1A 0I1', 'k1a0i1' ],
	[ 'country', 'US', 'us' ],
	[ 'country', 'IT', 'it' ],
	[ 'country', 'USA', 'us' ],
	[ 'country', 'XX', undef ],
	[ 'external_id', ' User-ABC 42 ', 'User-ABC 42' ],
	[ 'external_id', 'É', 'É' ],
	[ 'external_id', "E\x{301}", "E\x{301}", 'utf8' ],
	[
		'hashed_maids',
		' 7A3CBEA0-BDF5-4A3E-91C1-2D4F5B6A7C8D ',
		'7a3cbea0-bdf5-4a3e-91c1-2d4f5b6a7c8d'
	],
	[ 'hashed_maids', '00000000-0000-0000-0000-000000000000', undef ]);

# ---- clusters and databases ----

my $locales = PostgreSQL::Test::Utils::tempdir();
my %made;
for my $l (
	[ 'tr_TR', 'UTF-8' ],
	[ 'tr_TR', 'ISO-8859-9' ],
	[ 'de_DE', 'ISO-8859-1' ])
{
	my ($language, $charset) = @$l;

	$made{"$language.$charset"} = 1
	  if IPC::Run::run(
		[
			'localedef', '-i', $language, '-f', $charset,
			"$locales/$language.$charset"
		],
		'>' => \my $out,
		'2>' => \my $err);
}
$ENV{LOCPATH} = $locales;

my $icu = "LOCALE_PROVIDER icu LC_COLLATE 'C' LC_CTYPE 'C' ICU_LOCALE";
my %databases = (
	utf8_c => [ "ENCODING 'UTF8' LOCALE 'C'", 'utf8' ],
	utf8_icu => [ "ENCODING 'UTF8' $icu 'und'", 'utf8' ],
	utf8_icu_tr => [ "ENCODING 'UTF8' $icu 'tr-TR'", 'utf8' ],
	latin1_c => [ "ENCODING 'LATIN1' LOCALE 'C'", '' ],
	latin9_c => [ "ENCODING 'LATIN9' LOCALE 'C'", '' ],
	latin5_c => [ "ENCODING 'LATIN5' LOCALE 'C'", 'tr' ],
	win1252_c => [ "ENCODING 'WIN1252' LOCALE 'C'", '' ],
	sql_ascii => [ "ENCODING 'SQL_ASCII' LOCALE 'C'", 'utf8' ]);
$databases{utf8_tr} = [ "ENCODING 'UTF8' LOCALE 'tr_TR.UTF-8'", 'utf8' ]
  if $made{'tr_TR.UTF-8'};
$databases{latin5_tr} =
  [ "ENCODING 'LATIN5' LOCALE 'tr_TR.ISO-8859-9'", 'tr' ]
  if $made{'tr_TR.ISO-8859-9'};
$databases{latin1_de} = [ "ENCODING 'LATIN1' LOCALE 'de_DE.ISO-8859-1'", '' ]
  if $made{'de_DE.ISO-8859-1'};

my $node = PostgreSQL::Test::Cluster->new('encodings');
$node->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf',
	"max_worker_processes = 32\npinterest_capi.proxy = 'http://127.0.0.1:1'\n"
);
$node->start;
$ENV{PGCLIENTENCODING} = 'UTF8';

sub literal { return "'" . encode_utf8($_[0] =~ s/'/''/gr) . "'" }

# "unicode" exists from 16 on, with ICU or without
if ($node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_collation WHERE collprovider = 'i' AND collname LIKE '%-x-icu'}
	) == 0)
{
	note('result: this server is built without ICU');
	delete @databases{qw(utf8_icu utf8_icu_tr)};
}

my %event;
for my $db (sort keys %databases)
{
	my ($options, $has) = @{ $databases{$db} };
	my @usable = grep { !$_->[3] || $has eq 'utf8' || $has eq $_->[3] } @rows;

	$node->safe_psql('postgres',
		"CREATE DATABASE $db TEMPLATE template0 $options");
	$node->safe_psql(
		$db, q{CREATE EXTENSION pinterest_capi;
		INSERT INTO pinterest_capi.destination (destination) VALUES ('default')});

	my $n = 0;
	my $values = join ",\n", map {
		'(' . ++$n . ', ' . literal($_->[0]) . ', ' . literal($_->[1]) . ')'
	} @usable;
	my @got = split /\n/,
	  $node->safe_psql($db,
		"SELECT coalesce(pinterest_capi.hash_identifier(kind, value), 'nothing') FROM (VALUES $values) AS v (n, kind, value) ORDER BY n"
	  );
	my @wrong = grep {
		$got[$_] ne (
			defined $usable[$_][2]
			? sha256_hex(encode_utf8($usable[$_][2]))
			: 'nothing')
	} 0 .. $#usable;

	is(scalar(@got), scalar(@usable), "$db: each value is checked");
	is_deeply([ map { "$usable[$_][0] $usable[$_][1]" } @wrong ],
		[], "$db: and hashed alike");

	# names of events
	my $names = $node->safe_psql(
		$db,
		encode_utf8(
			q{
		SELECT pinterest_capi.allow_event('SIGNUP ONLINE', 'InitiateCheckout'), pinterest_capi.allow_event('ÉTÉ', 'Lead', properties => '{*}');
		SELECT status, sent_as FROM pinterest_capi.preview('signup online', '{}', '{"em": "a@shop.example"}');
		SELECT status, sent_as FROM pinterest_capi.preview('Été', '{}', '{"em": "a@shop.example"}');
		SELECT pinterest_capi.allow_event('Signup Online', 'AppInstall');
		SELECT DISTINCT event_name, sent_as FROM pinterest_capi.compliance_report WHERE event_name LIKE 'S%';
		SELECT pinterest_capi.disallow_event('SIGNUP ONLINE'), pinterest_capi.allow_event('INITIATECHECKOUT');
		SELECT sent_as FROM pinterest_capi.preview('initiatecheckout', '{}', '{"em": "a@shop.example"}');
		SELECT DISTINCT sent_as FROM pinterest_capi.compliance_report WHERE event_name LIKE 'INIT%'}
		));
	is( $names,
		"|\nqueued|initiate_checkout\nqueued|lead\n\nSignup Online|app_install\nt|\ninitiate_checkout\ninitiate_checkout",
		"$db: names of events differ in more than case");

	# a whole event
	$event{$db} = $node->safe_psql(
		$db,
		encode_utf8(
			q{
		SELECT pinterest_capi.track('été', '{"content_name": "Größe 42", "page_url": "https://shop.example/straße?x=ü", "order_id": "Ä-1",
				"contents": [{"id": "ñ", "item_name": "étui"}], "language": "IT", "currency": "inr", "value": 1}',
			'{"fn": "JOSÉ", "ct": ["Saint-Étienne", "ISTANBUL"], "external_id": "Ü", "epik": "é", "em": "INFO@SHOP.EXAMPLE"}',
			visitor_id => 'é', event_id => 'ü', event_time => now()) IS NULL;
		SELECT regexp_replace(payload, '"event_time":[0-9]+', '') FROM pinterest_capi._event WHERE event_id = 'ü'}
		));

	# Events from before the name's spelling changed are counted with those
	# from after it.
	is( $node->safe_psql(
			$db,
			encode_utf8(
				q{
			SELECT pinterest_capi.track('initiatecheckout', '{"value": 1, "currency": "EUR"}', '{"em": "a@shop.example"}') IS NULL;
			SELECT pinterest_capi.allow_event('InitiateCheckout'), pinterest_capi.allow_event('Été', 'Lead', properties => '{*}');
			SELECT event_name = 'Été', tracked_last_hour FROM pinterest_capi.event_activity WHERE event_name IN ('InitiateCheckout', 'Été') ORDER BY 1}
			)),
		"f\n|\nf|1\nt|1",
		"$db: event_activity counts events whose names differ in case");
}
for my $db (sort keys %databases)
{
	is($event{$db}, $event{utf8_c}, "$db: the same event is sent");
}
like($event{utf8_c}, qr/stra%C3%9Fe/i, 'whose URL is a URL');

SKIP:
{
	skip 'localedef has no locales here', 1 unless keys %made == 3;

	# Without this the Turkish databases would prove nothing.
	is($node->safe_psql('utf8_tr', "SELECT lower('I') = 'i'"),
		'f', 'Turkish has another lower case');
}

# ---- bytes that are no text ----

sub odd
{
	my ($db, $client, $bytes) = @_;

	local $ENV{PGCLIENTENCODING} = $client;
	return $node->psql(
		$db, qq{
		SELECT pinterest_capi.allow_event('Lead', properties => '{*}');
		UPDATE pinterest_capi.destination SET send_client_ip = true, send_user_agent = true;
		INSERT INTO pinterest_capi.consent_rule VALUES ('order', NULL, 'stop', '\$.properties.np < "m" && \$.properties.np > "a"');
		SELECT pinterest_capi.identify(E'$bytes', jsonb_build_object('fn', E'$bytes', 'epik', E'$bytes', 'partner_id', E'$bytes'), jsonb_build_object('x', E'$bytes'));
		SELECT pinterest_capi.capture_click(E'$bytes', E'https://shop.example/?epik=$bytes', E'_epik=$bytes');
		SELECT pinterest_capi.track('lead', jsonb_build_object('content_name', E'a$bytes', 'order_id', E'$bytes', 'page_url', E'https://shop.example/$bytes',
				'contents', jsonb_build_array(jsonb_build_object('id', E'$bytes', 'item_name', E'$bytes')), E'$bytes', 1, 'referrer', E'$bytes',
				'product_ids', jsonb_build_array(E'$bytes'), 'language', E'$bytes', 'currency', E'$bytes', 'value', E'$bytes'),
			jsonb_build_object('em', E'$bytes\@shop.example', 'fn', E'$bytes', 'external_id', '7', 'epik', E'$bytes', 'partner_id', E'$bytes',
				'user_agent', E'Mozilla $bytes', 'ip', E'$bytes', E'$bytes', 1), E'$bytes', event_id => 'odd', consent => jsonb_build_object('x', E'$bytes')) IS NULL;
		SELECT pinterest_capi.track(E'lead$bytes', visitor_id => E'$bytes') IS NULL;
		SELECT pinterest_capi.track('lead', jsonb_build_object('np', E'b$bytes'), '{"external_id": 7}', event_id => 'np') IS NULL;
		SELECT pinterest_capi.hash_identifier('fn', E'$bytes'), pinterest_capi.normalize_identifier('fn', E'$bytes');
		SELECT count(*) > 0 FROM pinterest_capi.event_quality, pinterest_capi.compliance_report}
	);
}

for my $case (
	[ 'sql_ascii', 'SQL_ASCII', '\xff\xc3(' ],
	[ 'win1252_c', 'WIN1252', '\x81\x8d' ])
{
	my ($db, $client, $bytes) = @$case;
	my ($code, $out, $err) = odd($db, $client, $bytes);

	is($code, 0, "$db: bytes that are no text raise no error") or diag($err);
	unlike($err, qr/ERROR/, 'none at all');
	is( $node->safe_psql(
			$db,
			q{SELECT status, reason, payload -> 'custom_data', payload #> '{user_data,external_id}' IS NOT NULL, payload #>> '{user_data,client_user_agent}'
			FROM pinterest_capi.dispatch_status WHERE event_id = 'odd'}),
		'queued|destination not ready: no Tag ID, no access token, no ad account id||t|',
		'the event is sent with the remaining values');
	my $warnings = $node->safe_psql($db,
		q{SELECT array_to_string(warnings, E'\n') FROM pinterest_capi.dispatch_status WHERE event_id = 'odd'}
	);
	like($warnings, qr/^$_: not valid in UTF-8$/m, "a warning for $_")
	  for
	  qw(content_name order_id contents.id item_name product_ids em fn epik partner_id user_agent);
	is( $node->safe_psql(
			$db,
			q{SELECT status, reason FROM pinterest_capi.dispatch_status WHERE event_id = 'np'}
		),
		'suppressed|consent rule order',
		'a rule that compares them raises none either');
}

# every byte is a letter in LATIN1, also those that are no UTF-8
{
	my ($code, undef, $err) = odd('latin1_c', 'LATIN1', '\xc3(');

	is($code, 0, 'latin1_c: bytes that are no UTF-8 are text') or diag($err);
	is( $node->safe_psql(
			'latin1_c',
			q{SELECT payload #>> '{user_data,fn,0}' = encode(sha256('\xc3a328'), 'hex'), payload #>> '{user_data,click_id}' = chr(195) || '('
			FROM pinterest_capi.dispatch_status WHERE event_id = 'odd'}),
		't|t',
		'and are sent with their meaning');
}

$node->stop;
done_testing();
