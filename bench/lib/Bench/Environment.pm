# Bench/Environment.pm
#	  Print the machine and versions of the measurement, and the table of results.
package Bench::Environment;

use strict;
use warnings;

use Bench;
use POSIX qw(strftime uname);

sub _lines
{
	my ($path) = @_;

	open my $file, '<', $path or return ();
	my @lines = <$file>;

	close $file;
	chomp @lines;
	return @lines;
}

sub _first
{
	my ($path, $pattern) = @_;

	for (_lines($path))
	{
		return $1 if /$pattern/;
	}
	return undef;
}

sub describe
{
	my (%more) = @_;
	my @uname = uname();
	my @curl = split ' ', `curl --version` // '';
	my ($openssl) = `openssl version` // '';

	chomp $openssl;
	return {
		%more,
		date => strftime('%Y-%m-%d %H:%M UTC', gmtime),
		quick => quick() ? JSON::PP::true : JSON::PP::false,
		machine => $uname[1],
		cpu => _first('/proc/cpuinfo', qr/^model name\s*:\s*(.*)/)
		  // $uname[4],
		cores => scalar(grep { /^processor\s*:/ } _lines('/proc/cpuinfo')),
		memory_gb => sprintf('%.0f',
			(_first('/proc/meminfo', qr/^MemTotal:\s+(\d+)/) // 0) / 1048576)
		  + 0,
		load_before => (split ' ', (_lines('/proc/loadavg'))[0])[0] + 0,
		kernel => "$uname[0] $uname[2] $uname[4]",
		system => _first('/etc/os-release', qr/^PRETTY_NAME="?([^"]*)/),
		postgresql => value('postgres', 'SHOW server_version'),
		libcurl => $curl[3] // 'unknown',
		openssl => $openssl,
		settings => { map { split /\|/ } psql('postgres', <<'SQL') },
SELECT name, current_setting(name) FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'shared_buffers', 'max_wal_size', 'checkpoint_timeout', 'wal_level')
SQL
	};
}

sub _number
{
	my ($x) = @_;

	return '' unless defined $x;
	return sprintf '%.0f', $x if abs($x) >= 1000;
	return sprintf '%.1f', $x if abs($x) >= 100;
	return sprintf '%.2f', $x;
}

# Return the table in Markdown, as bench/results.md has it.
sub print_table
{
	my ($result) = @_;
	my $e = $result->{environment};

	print "\n$e->{command}, $e->{date}",
	  $e->{quick} ? ' (a quick run: sizes are small)' : '', "\n\n";
	print
	  "$e->{machine}: $e->{cpu}, $e->{cores} cores, $e->{memory_gb} GB; $e->{system}, $e->{kernel}; ",
	  "PostgreSQL $e->{postgresql}, $e->{libcurl}, $e->{openssl}; load before: $e->{load_before}; ",
	  sprintf("the stub takes %.0f requests of 1000 events a second\n\n",
		$e->{stub}{requests_per_second});
	print
	  "| figure | median | unit | runs | reference | ratio | at least | aim | reached |\n",
	  "|---|---|---|---|---|---|---|---|---|\n";
	for my $f (@{ $result->{figures} })
	{
		print '| ',
		  join(' | ',
			$f->{name} . ($f->{remark} ? " ($f->{remark})" : ''),
			_number($f->{value}),
			$f->{unit},
			join(' ', map { _number($_) } @{ $f->{runs} }),
			$f->{against} ? "$f->{against}: " . _number($f->{reference}) : '',
			_number($f->{ratio}),
			$f->{least}   // '',
			$f->{aim}     // '',
			$f->{reached} // ''),
		  " |\n";
	}
	return;
}

1;
