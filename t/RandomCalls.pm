# RandomCalls.pm
#	  Make random calls of track, identify and capture_click with any JSON.
#
# The same srand() makes the same calls.  @traces has the identifiers planted in
# them, which must be found nowhere afterwards.
package RandomCalls;

use strict;
use warnings;

use Exporter    qw(import);
use Time::HiRes ();

our @EXPORT =
  qw(one chance characters literal track_arguments identify_arguments capture_click_arguments @traces);

# ---- planted identifiers, and the patterns that find them ----

# Identifiers with a form are recognised in any text; names have none, and
# stand in the keys for names.
my @recognised = (
	sub { 'Quokka.' . int(rand(50)) . '@Qvexil.example' },
	sub { 'quokka+' . int(rand(50)) . '%40qvexil.example' },
	sub {
		one('+49 176 80817263',
			'+4917680817263',
			'+49-176-80817263',
			'(+49) 176/80817263',
			'0049 176 80817263');
	},
	sub { '457-55-5462' },
	sub {
		one('DE89370400440532013000', 'DE89 3704 0044 0532 0130 00',
			'de89-3704-0044-0532-0130-00');
	});
my @cards =
  ('4485275742308327', '4485 2757 4230 8327', '4485-2757-4230-8327');
my @names = ('Ysabranthe', 'OKONKWOLLOW', 'Llanfairpwll-Xyz');
our @traces = (
	'qvexil', '80817263', '176/80817263', '457-55-5462',
	'457555462', 'de893704', 'de89 3704', 'de89-3704',
	'4485275742308327', '4485 2757', '4485-2757', 'ysabranthe',
	'okonkwollow', 'llanfairpwll', 'jabberwock');

# ---- random JSON ----

sub one    { return $_[ rand @_ ] }
sub chance { return rand() < $_[0] }

sub quoted
{
	my ($s) = @_;

	$s =~ s/([\\"])/\\$1/g;
	$s =~ s/([\x01-\x1f])/sprintf '\\u%04x', ord $1/ge;

	# some characters as escapes, those beyond the BMP as surrogate pairs
	$s =~ s/([^\x00-\x7f])/escaped(ord $1)/ge if chance(0.2);
	return qq{"$s"};
}

sub escaped
{
	my ($c) = @_;

	return sprintf '\\u%04X', $c if $c < 0x10000;
	$c -= 0x10000;
	return sprintf '\\u%04x\\u%04x', 0xD800 + ($c >> 10),
	  0xDC00 + ($c & 0x3FF);
}

my @ranges = (
	[ 0x20, 0x7e ],
	[ 0x20, 0x7e ],
	[ 0x01, 0x1f ],
	[ 0x7f, 0x9f ],
	[ 0xa0, 0x24f ],
	[ 0x300, 0x36f ],
	[ 0x370, 0x6ff ],
	[ 0x1e00, 0x206f ],
	[ 0x3000, 0x30ff ],
	[ 0xac00, 0xd7a3 ],
	[ 0xe000, 0xf8ff ],
	[ 0xfdd0, 0xffff ],
	[ 0x1f300, 0x1faff ],
	[ 0x10ff00, 0x10ffff ]);

# characters in runs from one range of Unicode
sub characters
{
	my ($n) = @_;
	my $s = '';

	while ($n > 0)
	{
		my ($first, $last) = @{ $ranges[ rand @ranges ] };
		my $run = 1 + int rand 12;

		$run = $n if $run > $n;
		$n -= $run;
		$s .= chr($first + int rand($last - $first + 1)) while $run-- > 0;
	}
	return $s;
}

sub words
{
	return join ' ',
	  map { one(qw(red blue shoe size 42 the of Order N7 - 3.5 EUR x)) }
	  1 .. 1 + rand 6;
}

sub text
{
	my $kind = rand();

	return '' if $kind < 0.03;
	return ' ' x int(rand 5) . one("\t", "\n", "\x{a0}", "\x{3000}")
	  if $kind < 0.06;
	return words() if $kind < 0.25;
	return characters(1 + int rand 40) if $kind < 0.5;
	return one(
		'0', '-1', '1e5', '1e999', '007', '12.50',
		'12,50', 'NaN', 'Infinity', '0x1F', '+5', '.5',
		'5.', '9' x 60) if $kind < 0.6;
	return one('\u0000', '\\', '"', "\x{fffd}", "\x{feff}", "\x{202e}abc",
		'null', '{}', "'; DROP TABLE x; --",
		'%s%n', '$1')
	  if $kind < 0.65;
	return one(
		qw(en de-DE USD eur LDP true no checkout web cellphone wifi ios))
	  if $kind < 0.72;
	return characters(one(200, 511, 512, 513, 1023, 1024, 1025, 3000))
	  if $kind < 0.723;
	return characters(10) x one(1000, 20000) if $kind < 0.7235;
	return join ' ', chance(0.5) ? words() : (), planted(0.3),
	  chance(0.5)                ? words() : ();
}

# an identifier with a form; a card's number only in free text
sub planted { return chance($_[0]) ? one(@cards) : one(@recognised)->() }

sub url
{
	# 00 begins a telephone number in a text, not in a path
	my $private =
	  one(@recognised)->() =~ s/^00/+/r =~ s/ /%20/gr =~ s/\//-/gr;

	return one(
		'https://', 'HTTPS://', 'http://', 'ftp://',
		'//', '', 'javascript:')
	  . one('', "$private:secret@", 'user@')
	  . one(
		'shop.example', 'SHOP.Example:8443',
		"m\x{fc}ller.example", '[2001:db8::1]',
		'', 'a b')
	  . one(
		'', '/', '/cart/1', "/u/$private",
		'/%zz', '/' . characters(5), '/..//.')
	  . one('', '?', '?epik=dj0yJnU9' . int(rand 1000),
		"?mail=$private&amp;epik=abc", '?epik=%00', "?epik=$private",
		'?epik=' . 'e' x 9000)
	  . one('', '#top', "#$private", '#epik=no');
}

sub number
{
	return one(
		0, 1,
		-1, 3,
		42, 100,
		1000001, '0.1',
		'12.50', '-0.0',
		'1e5', '1E-7',
		'1.5e300', '-1e-300',
		'9' x 40, '0.' . '1' x 60,
		'1e4000', 9007199254740993,
		2147483648, '9223372036854775808');
}

# $plant: what may be planted in strings; nested so deep at most
sub value
{
	my ($depth, $string) = @_;
	my $kind = rand();

	return $string->() if $kind < 0.5;
	return number() if $kind < 0.65;
	return one('null', 'true', 'false') if $kind < 0.75;
	return
	  '['
	  . join(',', map { value($depth - 1, $string) } 1 .. rand(6)) . ']'
	  if $kind < 0.88 && $depth > 0;
	return '{' . join(
		',',
		map {
			quoted(
				  chance(0.5)
				? one(qw(id quantity item_price item_name app_id model))
				: text())
			  . ':'
			  . value($depth - 1, $string)
		} 1 .. rand(4))
	  . '}'
	  if $depth > 0;
	return 'null';
}

sub free_text { return quoted(chance(0.1) ? url() : text()) }

# where a card's number may be an id: everything but free text
sub plain
{
	my $s;

	do { $s = text() } while $s =~ /4485[ -]?2757/;
	return quoted($s);
}

my @free =
  qw(search_string content_name content_category content_brand app_name device_brand device_carrier device_model device_type);
my @structured =
  qw(value currency order_id product_id product_ids quantity num_items content_ids predicted_ltv opt_out opt_out_type
  language np partner_name external_measurement_id external_measurement_vendor_id app_id app_version os_version wifi
  advertiser_tracking_enabled);
my @lines =
  qw(id item_price quantity item_name item_category item_brand item_brand_id);
my @app =
  qw(app_id app_name app_package_name app_store app_version install_time user_agent window_height window_width);
my @device =
  qw(battery_level brand carrier cpu_cores external_storage_free_space external_storage_size form_factor kernel_version
  languages locale model network_type os_family os_name os_release_name os_version screen_density screen_height screen_width
  storage_free_space storage_size timezone timezone_abbr type);
my %is_free = map { $_ => 1 } @free,
  qw(item_name item_category item_brand app_store brand carrier model type);

sub field
{
	return quoted($_[0]) . ':'
	  . value(1, $is_free{ $_[0] } ? \&free_text : \&plain);
}

sub object
{
	my ($likely, @keys) = @_;
	return
	  '{' . join(',', map { field($_) } grep { chance($likely) } @keys) . '}';
}

sub properties
{
	my @pairs;

	return one('[]', '"text"', '7', 'null', '[{"value": 1}]') if chance(0.01);
	push @pairs, map { field($_) } grep { chance(0.12) } @free, @structured;
	push @pairs, '"value":' . one('5', '"12.50"', '0'), '"currency":"EUR"'
	  if chance(0.5);
	push @pairs, '"page_url":' . quoted(url()) if chance(0.3);
	push @pairs,
	  '"event_source_url":'
	  . (chance(0.5) ? quoted(url()) : value(2, \&free_text))
	  if chance(0.05);
	push @pairs,
	  '"referrer":' . (chance(0.8) ? quoted(url()) : value(2, \&free_text))
	  if chance(0.2);
	push @pairs,
	  '"contents":'
	  . (
		chance(0.7)
		? '[' . join(',', map { object(0.6, @lines) } 1 .. rand(5)) . ']'
		: value(3, \&plain)) if chance(0.3);
	push @pairs,
	  '"app_info":' . (chance(0.8) ? object(0.4, @app) : value(3, \&plain))
	  if chance(0.2);
	push @pairs,
	  '"device_info":'
	  . (chance(0.8) ? object(0.3, @device) : value(3, \&plain))
	  if chance(0.2);

	# unknown keys, an e-mail address among them
	push @pairs, quoted(text()) . ':' . value(4, \&free_text)
	  for 1 .. chance(0.2) * 3;
	push @pairs, '"deep":' . '[' x 400 . ']' x 400 if chance(0.01);
	return '{' . join(',', sort { rand() <=> 0.5 } @pairs) . '}';
}

my @hashed =
  qw(email em phone phone_number ph gender ge date_of_birth db last_name ln first_name fn city ct state st
  zip postal_code zp country external_id maid hashed_maids);

sub identifier
{
	return one(
		quoted(one(@names)),
		quoted(one(@recognised)->()),
		quoted(one(@cards)),
		quoted('jabberwock-' . int rand 50),
		quoted('1990-02-' . (1 + int rand 31)),
		quoted(one('f', 'CA', 'US', '10001', 'a' x 64)),
		free_text(),
		number());
}

sub user_data
{
	my @pairs;

	return one('[]', '"text"', '7') if chance(0.01);
	push @pairs, map {
		quoted($_) . ':'
		  . (chance(0.6) ? identifier() : value(2, \&identifier))
	} grep { chance(0.15) } @hashed;
	push @pairs,
	  '"em":' . quoted('quokka.' . int(rand 50) . '@qvexil.example')
	  if chance(0.4);
	push @pairs,
	  quoted(one(qw(ip client_ip_address))) . ':'
	  . one('"203.0.113.9"', '"2001:db8::1"', value(1, \&plain))
	  if chance(0.3);
	push @pairs,
	  quoted(one(qw(user_agent client_user_agent))) . ':'
	  . one('"Mozilla/5.0 (X11)"', value(1, \&plain))
	  if chance(0.3);
	push @pairs,
	  quoted(one(qw(click_id epik))) . ':'
	  . one('"dj0yJnU9"', value(1, \&plain))
	  if chance(0.2);
	push @pairs,
	  '"customer_type":'
	  . one('"new"', '"Returning"', 'null', '["x", "new"]', value(1, \&plain))
	  if chance(0.1);
	push @pairs, '"partner_id":' . value(1, \&plain) if chance(0.1);
	push @pairs, quoted(text()) . ':' . value(3, \&identifier) if chance(0.1);
	return '{' . join(',', sort { rand() <=> 0.5 } @pairs) . '}';
}

# ---- calls ----

sub literal { return defined $_[0] ? "'" . $_[0] =~ s/'/''/gr . "'" : 'NULL' }

my $base = int(Time::HiRes::time());
my @standard =
  qw(checkout AddToCart page_visit SignUp custom search app_open view_content);

# event ids begin with "r" and the number
sub track_arguments
{
	my ($n) = @_;
	my $time =
	  chance(0.9)
	  ? 'to_timestamp('
	  . ($base - int rand 500_000)
	  . ')'
	  : one(
		"'infinity'", "'-infinity'",
		"'4000-01-01 BC'", "'2999-12-31'",
		'to_timestamp(' . ($base - 900_000) . ')');

	return join ', ',
	  literal(
		  chance(0.02) ? one(undef, '')
		: chance(0.05) ? characters(one(5, 300))
		:                one(@standard, 'Quiz')),
	  literal(properties()), literal(user_data()),
	  literal(
		  chance(0.4)  ? 'jabberwock-' . int rand 50
		: chance(0.02) ? 'jabberwock' x 1000
		:                undef),
	  literal(
		"r$n"
		  . (
			  chance(0.05) ? characters(one(3, 150))
			: chance(0.02) ? ' quokka@Qvexil.example'
			:                '')),
	  $time,
	  literal(
		  chance(0.97) ? one(qw(web app_android app_ios offline), undef)
		: one('print', 'WEB', '')),
	  literal(
		chance(0.3) ? one(
			'{"marketing": true}',
			'{"marketing": "jabberwock"}',
			'[]', '{}', '{"a": {"b": [1, "quokka@qvexil.example"]}}') : undef
	  ),
	  literal(
		chance(0.85) ? undef : one('default', 'second', 'third', 'nowhere'));
}

sub identify_arguments
{
	return join ', ',
	  literal(chance(0.97) ? 'jabberwock-' . int rand 50 : one(undef, '')),
	  literal(user_data()),
	  literal(chance(0.3) ? one('{"marketing": true}', '{}', '7') : undef);
}

sub capture_click_arguments
{
	return join ', ', literal('jabberwock-' . int rand 50),
	  literal(chance(0.7) ? url() : undef),
	  literal(
		chance(0.5) ? one(
			'_epik=abc; a=b',
			'Cookie: x=1; _epik="quokka@qvexil.example"',
			'dj0yJnU9',
			characters(30) =~ s/[\x01-\x1f]//gr) : undef);
}

1;
