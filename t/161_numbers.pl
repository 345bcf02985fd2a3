# Every number in the README and in docs/ is the code's or the bench's.
#
# A fact is a place in the code (a macro, a default, a range, a row of
# bench/results.md) and the phrases of the documents that state it; # is the
# number.  A number that belongs to no fact must be of a kind that says nothing
# about this code: a version, a standard, a date.  Blocks and text between
# backquotes are examples and names, which t/076_documents.pl and
# t/079_reference.pl check.
#
# A figure of the bench is rounded to as many digits as the document shows;
# zeros at the end of a whole number are no digits.
use strict;
use warnings;

use FindBin;
use POSIX qw(floor);
use Test::More;

my $top = "$FindBin::RealBin/..";

sub slurp
{
	my ($file) = @_;

	open my $in, '<:utf8', "$top/$file" or die "$file: $!\n";
	local $/;
	return scalar <$in>;
}

my %text = map { s{^\Q$top\E/}{}r => undef } "$top/README.md",
  glob "$top/docs/*.md";

# a log of runs, with tables of versions and results
delete $text{'docs/versions.md'};

# ---- quantities, in seconds, bytes or as a count ----

my %unit = (
	"\x{b5}s" => 1e-6,
	ms => 1e-3,
	s => 1,
	second => 1,
	minute => 60,
	min => 60,
	hour => 3600,
	day => 86400,
	week => 7 * 86400,
	month => 30 * 86400,
	year => 365 * 86400,
	byte => 1,
	kB => 1024,
	MB => 1024**2,
	GB => 1024**3);
my %word = (
	a => 1,
	one => 1,
	two => 2,
	three => 3,
	four => 4,
	five => 5,
	six => 6,
	seven => 7,
	eight => 8,
	nine => 9,
	ten => 10,
	twenty => 20,
	thirty => 30,
	fifty => 50,
	hundred => 100,
	thousand => 1000,
	half => 0.5,
	tenth => 0.1,
	twentieth => 0.05,
	hundredth => 0.01);
my $units = join '|',
  sort { length $b <=> length $a } map { $_, "${_}s" } keys %unit;
my $long = join '|', map { ($_, "${_}s") } grep { length > 2 } keys %unit;
my $words = join '|', sort { length $b <=> length $a } keys %word;
my $digits = qr/\d(?:[\d,]*\d)?(?:\.\d+)*/;

# 2,000; 4 MB; half a second; a tenth
my $quantity =
  qr/(?<![\w.])(?:(?:an?|one)\s+)?($digits|$words)(?:\s+an?(?=\s))?(?:[\s-]+($units)(?!\w))?(?!\w)/;

# the same, without captures
my $any = $quantity =~ s/\((?!\?)/(?:/gr;

sub value
{
	my ($number, $unit) = @_;

	$number = $word{$number} // $number =~ tr/,//dr;
	$unit =~ s/s$// if defined $unit && !exists $unit{$unit};
	return $number * ($unit{ $unit // '' } // 1);
}

sub read_quantity
{
	my ($text) = @_;

	$text =~ /^\s*(?:interval\s+)?['"]?\s*(\d[\d.]*)\s*($units)?['"]?\s*$/
	  or die "no quantity: $text\n";
	return value($1, $2);
}

# ---- the sources of facts ----

my %source = map { s{^\Q$top\E/}{}r => slurp(s{^\Q$top\E/}{}r) }
  glob "$top/*.c $top/src/*.h $top/src/*/*.[ch]";

# A macro of src/, in the unit that it is counted in: ms, s or none.  Where files
# have macros of one name it is FILE:NAME.
sub macro
{
	my ($name, $unit) = @_;
	my ($file) = $name =~ s/^(.*):// ? $1 : '';
	my @values =
	  map { $source{$_} =~ /^#define[ \t]+\Q$name\E[ \t]+(.*)$/m ? $1 : () }
	  grep { m{(?:^|/)\Q$file\E[^/]*$} } keys %source;
	my $c = $values[0];

	die "$name is defined " . @values . " times\n" if @values != 1;

	$c                             =~ s{/\*.*}{};
	return read_quantity($1) if $c =~ /^\s*"(.*)"\s*$/;
	$c                             =~ s/INT64CONST//g;
	$c                             =~ s/\bUSECS_PER_SEC\b/1/g and $unit = 's';
	$c                             =~ s/\bSECS_PER_MINUTE\b/60/g;
	$c                             =~ s/(\d)L\b/$1/g;
	$c =~ m{^[\s\d()*/+-]+$} or die "$name is no number: $c\n";
	return eval($c) * ($unit{ $unit // '' } // 1);
}

# Return what a pattern finds in a file; several matches must be equal.
sub found
{
	my ($file, $pattern, $unit) = @_;
	my %values = map { tr/_//dr => 1 } slurp($file) =~ /$pattern/g;
	my @values = keys %values;

	die "$file: $pattern finds " . @values . " values\n" if @values != 1;
	return ($values[0] =~ /^[\d.]+$/ ? $values[0] : read_quantity($values[0]))
	  * ($unit{ $unit // '' } // 1);
}

# A column's default, and how a table's CHECK limits it.
sub default_of
{
	return found('src/sql/tables.sql',
		qr/^\t$_[0] \w+ (?:NOT NULL )?DEFAULT '?([\w ]+?)'?$/m);
}

sub limits_of
{
	return found('src/sql/tables.sql',
		qr/CHECK \($_[0] BETWEEN @{[$_[1] eq 'least' ? '(\d+) AND \d+' : '\d+ AND (\d+)']}\)/
	);
}

# Return a setting's default, least or most.
sub setting
{
	my ($name, $what) = @_;
	my ($arguments) =
	  slurp('src/common/guc.c') =~
	  /"pinterest_capi\.$name",.*?&pcapi_$name, (.*?), PGC_/s
	  or die "no setting $name\n";
	my @values = $arguments =~ /"([^"]*)"|([\w.]+)/g;

	@values = grep { defined } @values;
	return read_quantity(
		$values[ { default => 0, least => 1, most => 2 }->{$what} ]);
}

# Return the median or another column of a row of the bench; the caller knows
# its unit.
sub bench
{
	my ($figure, $column) = @_;
	my ($row) = slurp('bench/results.md') =~ /^\| \Q$figure\E \| (.*) \|$/m
	  or die "bench/results.md has no $figure\n";
	my @cells = split / \| /, $row;
	my $cell = $cells[ { median => 0, reference => 3, ratio => 4 }
	  ->{ $column // 'median' } ];

	$cell =~ /([\d.]+)$/
	  or die "bench/results.md: $figure: no number in $cell\n";
	return $1;
}

# Return the number, rounded as the document shows it.
sub rounded
{
	my ($truth, $shown) = @_;
	my $step =
		$shown =~ /\.(\d+)/ ? 10**-length($1)
	  : $shown =~ tr/,//dr =~ /(0*)$/ ? 10**length($1)
	  :                                 1;

	return floor($truth / $step + 0.5 + 1e-9) * $step;
}

# ---- facts ----

my ($readme, $dba, $design, $marketing,
	$operations, $recipes, $reference, $scale,
	$security, $tutorial, $install)
  = (
	'README.md',
	map { "docs/$_.md" }
	  qw(dba design marketing operations recipes reference scale security tutorial install)
  );
my @facts;

sub fact
{
	my ($truth, @phrases) = @_;
	push @facts, { truth => $truth, phrases => [@phrases] };
	return;
}

sub figure
{
	my ($truth, @phrases) = @_;
	push @facts, { truth => $truth, phrases => [@phrases], rounded => 1 };
	return;
}

# The tables of facts and of kinds stay as they are written: one row a line.
#<<<
# settings of the server
my %kept = map { $_ => setting($_, 'default') } qw(retention payload_retention click_id_retention statistics_retention);
fact($kept{retention}, $dba, '`pinterest_capi.retention` (#)', $operations, '`pinterest_capi.retention` (#)',
	$reference, '`pinterest_capi.retention` | interval text, # |');
fact($kept{payload_retention}, $dba, 'payload is emptied (#)', $operations, '`pinterest_capi.payload_retention` (#)',
	$reference, '`pinterest_capi.payload_retention` | interval text, # |');
fact($kept{click_id_retention}, $operations, '`pinterest_capi.click_id_retention` (#)',
	$reference, '`pinterest_capi.click_id_retention` | interval text, # |');
fact($kept{statistics_retention}, $operations, '`pinterest_capi.statistics_retention` (#)',
	$reference, '`pinterest_capi.statistics_retention` | interval text, # |');
for my $setting ([ max_concurrent_requests => 'integer' ], map { [ $_ => 'seconds' ] } qw(request_timeout connect_timeout))
{
	my ($name, $type) = @$setting;
	my $row = "`pinterest_capi.$name` | $type,";

	fact(setting($name, 'default'), $reference, "$row #,");
	fact(setting($name, 'least'), $reference, "$row ~, # to");
	fact(setting($name, 'most'), $reference, "$row ~, ~ to #");
}

# settings of a destination, and what a CHECK or a function allows
fact(default_of('max_event_age'), $dba, '`max_event_age` (#)', $dba, 'nothing is lost for #', $reference, '`max_event_age` | interval, # |',
	$recipes, 'Backfill of the last #', $recipes, 'events that are up to # old', $recipes, '\'completed\')`, at most #.', $tutorial, 'not older than #');
fact(default_of('retry_for'), $reference, '`retry_for` | interval, # |', $design, 'with backoff up to #, others');
fact(default_of('max_requests_per_minute'), $reference, '`max_requests_per_minute` | integer, # |', $scale, "Pinterest's API: # requests a minute");
fact(limits_of('max_requests_per_minute', 'least'), $reference, '`max_requests_per_minute` | integer, ~ | # to');
fact(limits_of('max_requests_per_minute', 'most'), $reference, '`max_requests_per_minute` | integer, ~ | ~ to #');
fact(default_of('batch_size'), $reference, '`batch_size` | integer, # |', $scale, 'for an ad account, # events each');
fact(limits_of('batch_size', 'least'), $reference, 'most events in a request, # to');
fact(limits_of('batch_size', 'most'), $reference, 'most events in a request, ~ to #', $recipes, 'the worker sends # events');
figure(default_of('max_requests_per_minute') * default_of('batch_size') / 60, $scale, 'events each | # |');
fact(default_of('default_checkout_value'), $reference, '`default_checkout_value` | numeric, # |', $marketing, '**# USD that nobody entered?**',
	$marketing, 'stand-in value of # USD', $operations, 'a value of # USD', 'docs/developers.md', 'stand-in of # USD', $design, 'a value is # USD', $design, 'since # of another currency');
fact(found('src/sql/tables.sql', qr/tag_id ~ '\^\[0-9\]\{\d+,(\d+)\}/), $reference, '`ad_account_id`: ~ to # digits');
fact(macro('ID_DIGITS_MAX'), $reference, '`ad_account_id`: ~ to # digits');
fact(1, $reference, '`ad_account_id`: # to', $reference, '`access_token`: # to', $reference, '`destination`: # to', $reference, 'PRIMARY KEY` (# to');
fact(macro('TOKEN_MAX'), $reference, '`access_token`: ~ to # visible');
fact(found('src/sql/tables.sql', qr/octet_length\(destination\) <= (\d+)/), $reference, '`destination`: ~ to # bytes');
fact(found('src/sql/tables.sql', qr/octet_length\(name\) <= (\d+)/), $reference, 'PRIMARY KEY` (~ to # bytes)');
fact(macro('subscribe.c:NAME_MAX_BYTES'), $reference, '`name`, of up to # lower-case');
fact(scalar(() = slurp('src/sql/tables.sql') =~ /^\t\t\('\w+', '\w+', '\{/mg), $reference, 'A view of the # names');
fact((() = slurp('src/sql/tables.sql') =~ /^\t\t\('\w+', '\w+', '\{/mg) - 4, $marketing, '`page_visit` and # others');

# what a call and a row may hold
fact(macro('PCAPI_EVENT_ID_MAX'), $reference, 'One of more than #', $design, 'One longer than #');
fact(macro('EVENT_NAME_MAX'), $design, 'is clipped at #');
fact(macro('AHEAD_MAX'), $reference, 'Up to # ahead', $design, 'up to # ahead');
fact(macro('WARNINGS_MAX'), $reference, 'At most # for an event', $design, 'no value, # at most');
fact(macro('property.c:ID_MAX'), $reference, '`order_id` | `custom_data` | yes | up to #');
fact(macro('LINES_MAX'), $reference, 'item_brand, item_brand_id}`, up to #;');
fact(macro('property.c:TEXT_MAX'), $reference, 'free text, up to # characters');
fact(macro('URL_MAX'), $reference, 'or the URL is longer than #, only');
fact(macro('CLICK_ID_MAX'), $reference, '`click_id` | as it is, up to #;');
fact(macro('PCAPI_HEX_LEN'), $reference, 'Values that are # hex digits', $reference, 'the hash as # lower-case', $security, 'A value that is # hex digits');
fact(macro('normalize_phone.c:MIN_DIGITS'), $reference, 'without leading zeros, # to');
fact(macro('normalize_phone.c:MAX_DIGITS'), $reference, 'without leading zeros, ~ to #;');
fact(macro('CARD_MIN'), $security, 'payment card number | # to', $design, 'variants of # digits');
fact(macro('CARD_MAX'), $security, 'payment card number | ~ to # digits');
fact(macro('column_json.c:TEXT_MAX'), $reference, 'Texts are read up to #, arrays');
fact(macro('ELEMENTS_MAX'), $reference, 'arrays up to # elements');
fact(macro('TREE_MAX'), $reference, 'JSON of more than #');
fact(macro('OUTPUT_MAX'), $reference, 'and that have more than #;');
fact(macro('OBJECT_MAX'), $reference, 'values beyond # of');
fact(macro('PCAPI_JSON_DEPTH'), $reference, 'nested deeper than # levels');
fact(1024**3 / found('src/track/row_argument.c', qr/size > MaxAllocSize \/ (\d)/), $reference, 'If these have more than # as');

# the worker: requests and answers
fact(macro('PCAPI_MAX_BODY'), $reference, 'a request has at most #', $design, '~ in test mode, #.');
fact(macro('TEST_MODE_BATCH'), $reference, '`?test=true`, # events', $design, '`batch_size` events, # in test mode');
fact(macro('MAX_ANSWER'), $security, 'more than #, unpacked', $design, 'unpacked, into # at most', $design, 'An answer holds #');
fact(macro('MAX_HEADERS'), $security, 'more than # of headers', $design, 'and # of headers');
fact(macro('MAX_MESSAGE'), $security, 'one line of #', $reference, 'one line of up to #', $design, 'one line of at most #');
fact(macro('PCAPI_MAX_BLOCKED'), $operations, 'with 400, 413 or 422 # in a row', $operations, 'pauses after # in a row | | 408', $design, 'paused after # in a row | | 401');
fact(macro('PCAPI_MAX_UNREAD'), $operations, 'and # answers in a row', $operations, 'pauses after # in a row | | 429', $design, 'paused after # in a row | `verdicts`');
fact(macro('SECOND_REQUEST_DELAY'), $design, 'else after #. While a destination');
fact(macro('MAX_UNSETTLED_EVENTS'), $design, 'does not, up to # events');
fact(macro('MAX_IDLE', 's'), $design, 'Connections close after # without use');
fact(found('src/core/rate_limiter.c', qr/per_minute < (\d+) \?/), $design, 'Below # a minute');
fact(1 / found('src/core/rate_limiter.c', qr/whole = per_minute \/ (\d+);/), $operations, 'a burst of #', $design, "a burst of # of a minute's");
fact(macro('PCAPI_BACKOFF_MIN_MS', 'ms') / found('src/core/backoff.c', qr/floor_ms = PCAPI_BACKOFF_MIN_MS \/ (\d);/),
	$operations, 'random between # and', $design, 'jitter from # to');
fact(macro('PCAPI_BACKOFF_MIN_MS', 'ms'), $operations, 'doubles from # to', $design, 'ceiling of # doubling');
fact(macro('PCAPI_BACKOFF_MAX_MS', 'ms'), $operations, 'doubles from ~ to #', $design, 'doubling to #;', $operations, 'by itself, at most # after it is back');
fact(macro('PUT_OFF_MAX_MS', 'ms'), $operations, 'tried again up to every #');
fact(macro('RETRY_AFTER_MAX', 's'), $design, 'HTTP date, # at most', $operations, '`Retry-After` (at most #)');
fact(macro('RESET_MAX', 's'), $design, 'as seconds or Unix time, # at most', $operations, '`X-RateLimit-Reset` (at most #)');

# the worker: when it wakes, what it waits for, when it ends
fact(macro('SAFETY_POLL'), $operations, 'polls the queue every # for', $operations, 'are sent within # of COMMIT PREPARED', $design, 'safety poll, every #,');
fact(macro('HOUSEKEEPING_INTERVAL_MS', 'ms'), $operations, 'wakes once # and checks', $design, 'Once # it asks for a lock');
fact(found('src/queue/worker_start.c', qr/bgw_restart_time = (\d+);/), $operations, 'postmaster restarts it # later');
fact(macro('LOCK_TIMEOUT'), $operations, "worker's waits end after #", $design, 'longer than #, and an answer', $design, 'lock longer than #. Before');
fact(1 / found('src/worker/rescan.c', qr/no_rescan_before = now \+ (\d+) \*/), $design, 'for at most # of the time');
# PostgreSQL's own is 1 s
fact(found('src/worker/main.c', qr/"deadlock_timeout", ("\w+")/) / 1, $design, "its deadlock_timeout is # of everybody's");
fact(found('src/worker/main.c', qr/"deadlock_timeout", ("\w+")/), $operations, 'its own wait after #.');
fact(macro('XACT_RETRY_MAX_MS', 'ms'), $operations, 'by itself, within # | 052');
fact(macro('PCAPI_BACKOFF_MIN_MS', 'ms') / 2, $operations, 'tries again, from # to');
fact(macro('SETTLE_RETRY_MAX_MS', 'ms'), $operations, 'tries again, from ~ to # later');
fact(macro('DATABASE_POLL_MS', 'ms'), $operations, 'preloaded within #, else', $design, 'new databases every #');
fact(found('pinterest_capi.c', qr/launcher\.bgw_restart_time = (\d+);/), $operations, 'launcher restarts after #');
fact(macro('SLOT_MIN_IDLE', 'ms'), $scale, 'does so after # without work');
fact(macro('SLOT_MAX_BUSY', 'ms'), $scale, 'A busy worker does so after #, once');
fact(macro('SLOT_RETURN_AFTER'), $scale, 'and after # in any case', $design, 'return within # is for');
fact(macro('dispatch.c:POLL_GAP') && macro('WAKEUP_COALESCE_MS', 'ms'), $design, "listen for # but to sockets");

# the walk over the log
fact(macro('RANGES_MAX'), $design, 'as ranges, # at most');

# handing over; events of dropped destinations; events that have no outcome
fact(macro('WRITE_INTERVAL'), $design, 'of all destinations once #, or');
fact(macro('WRITE_AFTER'), $design, 'or after # ids');
fact(macro('PASS_INTERVAL_MS', 'ms'), $design, 'cancels such events once #;');
fact(1 + found('src/sql/views.sql', qr/newest AS .* LIMIT 1\), 0\) - (\d+)/), $design, 'among the newest # ids');
fact(1 + found('src/sql/views.sql', qr/>= \(SELECT coalesce.* LIMIT 1\), 0\) - (\d+)/), $design, 'the latter among the newest #.');

# retention
fact(found('src/queue/retention.c', qr/ORDER BY o\.id LIMIT (\d+)/), $operations, '# rows to a transaction', $design, '# rows to a transaction');
fact(macro('PASS_INTERVAL_MS', 'ms'), $operations, 'It does so once #,', $design, 'Once #, and after a reload');
fact(macro('FULL_PASS_INTERVAL_MS', 'ms'), $design, 'so once #, at its start');
fact(1 / (1 + macro('REST_AFTER_WORK')), $operations, 'for at most # of its time', $design, 'at most # of its time, or');
fact(1 / (1 + macro('REST_AFTER_SCAN')), $design, 'for # of its time where it only looks');
fact(macro('spi.c:ROWS_PER_STEP'), $design, 'in steps of #:');

# what operators look at
fact(60 * found('src/sql/activity.sql', qr/\/ 60\) - (\d+)/), $reference, 'became so within the last #');
fact(found('src/sql/activity.sql', qr/ORDER BY i\.id DESC LIMIT (\d+)/), $reference, 'exact for the newest # events');
fact(found('src/sql/report_data.sql', qr/FROM pinterest_capi\._event AS i ORDER BY i\.id DESC LIMIT (\d+)/), $reference, 'read of the newest # events');
fact(found('src/sql/report_data.sql', qr/f\.status = 'failed' AND f\.status <> 'sent' ORDER BY f\.id DESC LIMIT (\d+)/), $reference, 'of the newest # failures');
fact(found('src/sql/report_data.sql', qr/w\.due_at DESC LIMIT (\d+)/), $reference, 'and the # retries of each destination');
fact(found('src/sql/report_data.sql', qr/f\.status = w\.status AND f\.status <> 'sent' ORDER BY f\.id DESC LIMIT (\d+)/), $reference, 'the names are those of the newest #.');

# doctor() and the report
my $doctor = 'src/sql/doctor.sql';
fact(found($doctor, qr/last_error_at > \S+ - interval '([^']+)'/), $reference, 'failed within the last #');
fact(found($doctor, qr/clock_ahead\)\) >= (\d+) OR/), $reference, "from the API's by #");
fact(found($doctor, qr/clock_ahead\)\) >= (\d+) THEN 'error'/), $reference, 'by ~ (warning) or #;');
fact(found($doctor, qr/oldest_at < clock_timestamp\(\) - interval '([^']+)'/), $reference, 'it waits for # (warning)', $operations, '`oldest_queued_at` older than #');
fact(found($doctor, qr/failed \* (\d+) > f\.sent/), $reference, 'more than one in # sent');
fact(found('src/sql/report.sql', qr/since > interval '([^']+)'/), $reference, '`since` up to #.', $reference, 'not positive or beyond #.');
fact(found('src/sql/report_data.sql', qr/<= interval '([^']+)' THEN '$_->[0]'/), $reference, $_->[1])
  for [ hour => 'of the hour (up to #)' ], [ day => 'day (#)' ], [ week => 'week (#)' ], [ month => 'month (#)' ];

# Pinterest's documentation: for how long it merges what has one event_id
fact(48 * 3600, $readme, 'merges those within #', $marketing, 'merges those within #', $operations, 'remembers the first event (# by',
	$operations, 'Events older than # might', $scale, 'merges the others for #', $security, 'events; after # |', $design, 'merged within #, whatever');

# the bench
my $of_payload = 'WAL, whole life';
figure(bench('disk, when settled'), $dba, 'emptied (~) | # |');
figure(bench('disk, when settled') * 1e6 / 1e9, $dba, 'emptied (~) | ~ | # GB');
figure(bench($of_payload), $dba, 'over its life | # bytes');
figure(bench($of_payload) * 1e6 / 1e9, $dba, 'over its life | ~ bytes | # GB');
figure(bench('disk, when settled', 'reference'), $dba, "payload of # bytes on disk");
figure(bench('trigger, track'), $recipes, "a trigger costs about # \x{b5}s a row");
figure(bench('drain'), $scale, '(`bench/run drain`) | #');
my @parts = ([ session => 'the session' ], [ walsender => 'the walsender' ], [ handover => 'handing over' ], [ apply => 'the apply worker' ], [ send => 'sending' ]);
my %cost;
my @servers = slurp('bench/results.md') =~ /^\| fan-in of (\d+), enqueued \|/mg;
for my $part (@parts)
{
	my ($name, $figure) = @$part;
	my $cells = '';

	for my $servers (@servers)
	{
		$cost{$name}{$servers} = bench("fan-in of $servers, CPU of $figure");
		figure($cost{$name}{$servers}, $scale, "| $_ |$cells # |") for slurp($scale) =~ /^\| (`$name`: [^|]* \| [^|]*) \|/m;
		$cells .= ' ~ |';
	}
}
figure(1e6 / $cost{session}{1}, $scale, '| about # | So sending');
figure($cost{walsender}{1} + $cost{handover}{1}, $scale, "being replicated from costs it about # \x{b5}s");
figure($cost{send}{1}, $scale, 'sending it itself # (below)');
figure($cost{apply}{1} + $cost{send}{1}, $scale, "and the dispatcher # \x{b5}s");
figure(2e6 / ($cost{apply}{1} + $cost{send}{1}), $scale, 'is full at # events');
figure(1e6 / $cost{apply}{1}, $scale, '1 / apply = # events');
for my $servers (@servers)
{
	my $model = rounded(bench("fan-in of $servers, arrived at the dispatcher", 'reference'), '1,000') =~ s/(\d{3})$/,$1/r;

	fact($servers, $scale, "| # | $model |");
	figure(bench("fan-in of $servers, arrived at the dispatcher", 'reference'), $scale, "| $servers | # | ~ | ~ |");
	figure(bench("fan-in of $servers, arrived at the dispatcher"), $scale, "| $servers | ~ | # | ~ |");
	figure(bench("fan-in of $servers, arrived at the dispatcher", 'ratio'), $scale, "| $servers | ~ | ~ | # |");
}
my $columns = '|';
for my $i (0 .. $#servers)
{
	my $list = 'with the dispatcher and ' . join '', map { $_ == $#servers ? ' or ' : $_ ? ', ' : '', $_ == $i ? '#' : '~' } 0 .. $#servers;

	fact($servers[$i], $scale, "$list enqueueing", $scale, "| where $columns # server");
	$columns .= ' ~ server' . ($servers[$i] > 1 ? 's' : '') . ' |';
}
fact(found('bench/results.md', qr/Intel Xeon, (\d+) cores/), map { ($scale, $_) } 'on the same # cores', 'one machine of # cores', 'A dispatcher of # cores', 'on the # cores, which');

# the tests
my $rounds = found('t/040_crash.pl', qr/the long run has (\d+)/);
my $events = found('t/040_crash.pl', qr/CRASH_ROUNDS\} \? ([\d_]+) :/);
fact($rounds, $operations, 'Its long run has # rounds');
fact($events, $operations, 'rounds of # events');
fact($rounds * $events, $operations, 'two processors: # events');
fact(found('t/092_many_databases.pl', qr/SCALE_DATABASES\} \/\/ (\d+);/), $scale, 'So # databases drain');
fact(3 * found('t/221_source_fanin.pl', qr/(\d+) is the full run/), 'docs/sources.md', 'The full run has # events');
fact(found('t/051_shutdown_modes.pl', qr/stopped in under (\d+ s) with/), $operations, 'it takes less than #');

# ---- numbers that are no facts of this code ----

my $versions = qr/$digits(?:~?\w*)/;
my %tests = map { m{/(\d+)_\w+\.pl$} ? ($1 => 1) : () } glob "$top/t/*.pl";
# those of the reference's table, and the server's own that documents name
my %sqlstates = map { $_ => 1 } slurp($reference) =~ /^\| ([0-9A-Z]{5}) \|/mg, qw(40001 40P01 55P03 57014);
my @kinds = (
	[ 'standards', qr/SHA-(?:1|256|384|512)\b|ISO 3166-1|the 249 there are|none after 2100-01-01|UTF-8|HTTP\/[12](?:\.1)?|TLS 1\.2|UUID of version 7|127\.0\.0\.0\/8|port 443|3-2-4 digits|mode 0600|killed with -9/ ],
	[ 'dates', qr/(?:\d+ )?(?:January|September|November|December) 20\d\d|observed in 2024|since 1970/ ],
	[ 'the API', qr/\b5\.(?:28|31)\.0\b(?: of 2026-09-30)?|code 953/ ],
	[ 'versions', qr/\b(?:Debian|Ubuntu|PostgreSQL|Unicode|psql|libcurl|OpenSSL|utf8proc|Node|Patroni|Citus|pg_auto_failover|repmgr|pg_upgrade|version)\s+\(?(?:(?:from|before)\s+)?$versions(?:(?:,| or| to| and|;)\s+(?:or\s+)?(?:later;\s+)?\d[\d.]*)*|\(from 16 or before\)|1\.0\.0 is the first release/ ],
	[ 'SQLSTATEs', qr/\bclass \d\d\b|\b([0-9][0-9A-Z]{4})\b(?=[\s,.;:)|])/, \%sqlstates ],
	[ 'statuses of HTTP', qr/(?<![\w.,])(?:[2-5]xx|(?:20[04]|302|40[0-8]|410|413|42[1259]|499|50[0-4]|511|520|524|59[89]|600))(?!\w|,\d|\.\d|\s+(?:a\s+)?(?:$units|events|rows|characters|requests|transactions|digits)\b)/ ],
	[ 'statuses of processes', qr/exits with [01]|with 1 to be started/ ],
	[ 'files in t/', qr/(?<=[|,]\s)(\d{3})(?=,| \|)/, \%tests ],
	[ 'items of a list', qr/^\s*(?:\*\*)?\d+\.(?= )|gates 1 and 2 for/m ],
	[ 'examples', qr/(?:Order|order) [1-4]\b|with 2 ms for that, 500 transactions|orders of 16 that|(?<=\()1(?= \/ )|1(?= \/ apply)|each tenth of these has the check digit/ ],
	[ 'limits of PostgreSQL', qr/64 slots for syscache|256 MB in a JSON object|1 GB in an allocation|\(8 unless set\)|with 8 slots/ ],
	# measured once, by hand, where the text says so; no test repeats it
	[ 'what was seen', qr/would be 3 % of an event|some 100 \x{b5}s per event and change|200 events a second of 4,000 on a slow disk|some 25,000 rows a second/ ],
	[ 'what was seen', qr/about 46 s on a bare|about 15 minutes on 2 cores|takes ten minutes|[Ww]ithin about two seconds|about 25 seconds of one processor for 5 million|0 to 5 were sent twice|8 were sent twice/ ],
	[ 'what was seen', qr/50 postmasters, 50 backends and 100 workers killed|9,278 sent twice \(0\.92 %\)/ ],
	# what a service's documentation says, which docs/sources.md links
	[ 'services', qr/for about 40 hours is removed/ ],
	[ 'none, and a share of all', qr/(?<![\w.,])0(?: to 1)?(?![\w,]|\.\d)/ ],
);
#>>>

# ---- the documents ----

for my $document (sort keys %text)
{
	$text{$document} = slurp($document);
	$text{$document} =~ s/(^```.*?^```)/my $b = $1; $b =~ s{[^\n]}{ }gr/msge;
}
my %left = %text;
for (values %left)
{
	s/(`[^`\n]*`)/' ' x length $1/ge;
	s/(\]\([^()\s]*\))/' ' x length $1/ge;
}

# Remove the text that a match covered from the text left to check.
sub cover
{
	my ($document, $from, $to) = @_;
	substr($left{$document}, $from, $to - $from) =~ tr/0-9a-z/x/;
	return;
}

for my $fact (@facts)
{
	my @phrases = @{ $fact->{phrases} };

	while (my ($document, $phrase) = splice @phrases, 0, 2)
	{
		my ($before, $after) = map {
			join '\s+', map { quotemeta =~ s/\\~/$any/gr } split /\s+/, $_, -1
		} split /#/, $phrase, 2;
		my $times = 0;

		while ($text{$document} =~ /$before($any)$after/g)
		{
			my ($from, $to) = ($-[1], $+[1]);
			my ($number, $unit) = $1 =~ /^$quantity$/;
			my $shown = value($number, $unit);
			my $truth = $fact->{truth};

			$times++;
			cover($document, $from, $to);
			if ($fact->{rounded})
			{
				my $scale = $unit{ ($unit // '') =~ s/s$//r }
				  // $unit{ $unit // '' } // 1;
				$truth = rounded($truth / $scale, $number) * $scale;
			}
			cmp_ok(
				abs($shown - $truth),
				'<=',
				1e-9 * abs $truth,
				"$document: $phrase"
			) or diag("it says $shown, the truth is $truth");
		}
		ok($times, "$document: $phrase, is said") unless $times;
	}
}

for my $document (sort keys %left)
{
	for my $kind (@kinds)
	{
		my ($name, $pattern, $known) =
		  ($kind->[0], $kind->[1] =~ s/ /\\s+/gr, $kind->[2]);
		my @spans;

		while ($left{$document} =~ /$pattern/g)
		{
			push @spans, [ $-[0], $+[0] ]
			  if !$known || !defined $1 || $known->{$1};
		}
		cover($document, @$_) for @spans;
	}
	my @loose;
	while ($left{$document} =~ /(?<![\w.])$digits/g)
	{
		my ($at, $number) = ($-[0], $&);
		my $line = 1 + (substr($left{$document}, 0, $at) =~ tr/\n//);
		my $near = substr $text{$document}, $at > 50 ? $at - 50 : 0, 100;
		push @loose, "$document:$line: $number in: " . $near =~ s/\s+/ /gr;
	}

	# numbers in words, of time and size
	while ($left{$document} =~
		/(?<![\w.])(?:half an?|(?!a\b)(?:$words))\s+(?:$long)\b|\b(?:tenth|hundredth|twentieth)\b/g
	  )
	{
		push @loose, "$document:"
		  . (1 + (substr($left{$document}, 0, $-[0]) =~ tr/\n//)) . ": $&";
	}
	is(scalar @loose, 0, "$document: every number is a fact of this test")
	  or diag(join "\n", @loose);
}

done_testing();
